"""Hooks of the documentation's build: use README and other files of the repository as pages of the site.

All files link to files of the repository. For the site, these links become links to its pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

PAGES = {  # file in the repository: page of the site
    "README.md": "index.md",
    "apps/lsinet_label/README.md": "annotate.md",
    "bundle/docs/README.md": "bundle.md",
    "bundle/docs/failures.jpg": "failures.jpg",
    "bundle/models/LICENSE-model.txt": "LICENSE-model.txt",
    "examples/stills/README.md": "stills.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "LICENSE",
}
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages whose files are outside ``docs/``."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn a page's links to files of the repository into links to pages of the site."""
    here = page.file.src_uri
    source = _SOURCES.get(here, f"docs/{here}")

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        return posixpath.relpath(PAGES.get(target, target.removeprefix("docs/")), posixpath.dirname(here) or ".")

    return _LINK.sub(in_site, markdown)
