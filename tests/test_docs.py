"""Builds the documentation like ``make docs`` and checks its pages."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lsinet_monai.version import __version__
from tests.preloaded import Preloaded, run_module

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.required_in_ci]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Any warning of mkdocs, such as a broken link, is an error."""
    pytest.importorskip("mkdocs", reason='mkdocs is not installed: pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_nothing_comes_from_another_host(site: Path) -> None:
    fetched = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="(https?:[^"]+)|<link[^>]*\shref="(https?:[^"]+)')
    pages = sorted(site.rglob("*.html"))
    assert pages
    assert [found[0] for page in pages for found in fetched.finditer(page.read_text())] == []


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("networks", "lsinet_monai.networks.LSINet.encode"),
        ("inferers", "lsinet_monai.inferers.VideoSession.add_mask"),
        ("data", "lsinet_monai.data.open_video"),
        ("metrics", "lsinet_monai.metrics.clinical_scores"),
        ("masks", "lsinet_monai.masks.logit_to_probability"),
        ("evaluation", "lsinet_monai.evaluation.score_folders"),
        ("export", "lsinet_monai.export.export_network"),
        ("workflow", "lsinet_monai.workflow.reruns.run_with"),
        ("transforms", "lsinet_monai.transforms.RandColourd"),
        ("ops", "lsinet_monai.ops.deform_conv2d"),
    ],
)
def test_the_api_has_what_a_subpackage_exports(site: Path, page: str, name: str) -> None:
    assert f'id="{name}"' in (site / "api" / f"{page}.html").read_text()


def test_docstrings_refer_by_links(site: Path) -> None:
    for page in (site / "api").glob("*.html"):
        text = page.read_text()
        assert not re.search(r":(?:class|func|meth|attr|data|mod):<", text), page.name
    link = 'href="inferers.html#lsinet_monai.inferers.SequentialVideoInferer"'
    assert link in (site / "api/networks.html").read_text()


def test_the_front_page_is_the_readme_with_the_sites_links(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert 'href="train.html"' in page and 'src="demo.jpg"' in page
    assert "docs/train" not in page


@pytest.mark.parametrize("name", ["corrections", "memory", "training"])
def test_an_experiment_runs_as_a_module(preloaded: Preloaded, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(ROOT)
    run = preloaded.run(run_module(f"experiments.{name}"), "--help")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage:")


def test_the_readme_s_python_runs(preloaded: Preloaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (program,) = re.findall(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.S)
    run = preloaded.run(f"{program}\nassert loss.item() > 0 and logits.shape[:3] == (1, 1, 3)")
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_container_starts_the_server_as_the_guide_does() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    starts = [json.loads(words) for words in re.findall(r"^(?:ENTRYPOINT|CMD) (.+)$", dockerfile, re.M)]
    guide = re.search(r"^\$ (monailabel start_server .+)$", (ROOT / "apps/lsinet_label/README.md").read_text(), re.M)
    assert guide
    documented = guide[1].replace("VIDEOS", "/videos").split()
    assert sorted(word for words in starts for word in words) == sorted(documented)


FOLDERS = "apps|benchmarks|bundle/configs|docs|examples|experiments|lsinet_monai|scripts|tests"
GUIDE = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    ROOT / "apps/lsinet_label/README.md",
    ROOT / "bundle/docs/README.md",
]


@pytest.mark.parametrize("page", GUIDE, ids=[str(page.relative_to(ROOT)) for page in GUIDE])
def test_every_path_that_the_guide_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./]*)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_contributing_answers_twenty_questions_or_more_with_one_place_each() -> None:
    _, _, section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Where would you change ...\n")
    rows = re.findall(r"^\| .+\? \| `[\w./]+` \|$", section.partition("\n## ")[0], re.M)
    assert len(rows) >= 20
