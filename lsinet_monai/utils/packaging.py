"""The bundle and the label app: next to the package in the repository, inside the package once it is installed.

Only the standard library is imported at the top, because setup.py reads this file before anything is installed.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from lsinet_monai.utils.shipped_model import LICENCE_FILE, MODEL_FILE, is_shipped_model

__all__ = ["SHIPPED", "copy_shipped", "shipped_files", "shipped_folder"]

SHIPPED = {
    "bundle": ("bundle", ("LICENSE", "configs/*", "docs/*", MODEL_FILE, LICENCE_FILE)),
    "label": ("apps/lsinet_label", ("README.md", "main.py", "lib/**/*.py", "page/*")),
}
"""The folder and the files to ship, by name. Of models only the package's own is shipped; logs never are."""

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_files(name: str, root: Path) -> list[Path]:
    """List the files of the bundle or the label app.

    Another model in the place of the shipped one, such as one that was trained on patients, is left out with a warning.

    Args:
        name: a key of :data:`SHIPPED`.
        root: the folder that contains it.

    Returns:
        their paths below ``root``, sorted.
    """
    folder, patterns = SHIPPED[name]
    files = [path for pattern in patterns for path in (root / folder).glob(pattern) if path.is_file()]
    other_model = root / folder / MODEL_FILE
    if other_model in files and not is_shipped_model(other_model):
        logger.warning("%s is not the model that this package ships: it is left out", other_model)
        files.remove(other_model)
    return sorted(path.relative_to(root) for path in files)


def shipped_folder(name: str) -> Path:
    """Find the bundle or the label app: inside an installed package, or next to the package in the repository.

    Args:
        name: a key of :data:`SHIPPED`.
    """
    folder, _ = SHIPPED[name]
    installed = _PACKAGE / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def copy_shipped(name: str, destination: str | os.PathLike[str]) -> Path:
    """Copy the bundle or the label app to a folder where a person can read and change it.

    Args:
        name: a key of :data:`SHIPPED`.
        destination: the folder to make, which appears complete or not at all; it may exist if it is empty.

    Returns:
        the folder.

    Raises:
        InputError: the destination is a file, holds files, or cannot be made.
    """
    from lsinet_monai.errors import InputError

    target = Path(destination)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is there already; choose another folder")
    source = shipped_folder(name)
    root = source.parents[SHIPPED[name][0].count("/")]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            copy = Path(temporary, target.name)
            for file in shipped_files(name, root):
                to = copy / (root / file).relative_to(source)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file, to)
            copy.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error.strerror}); choose another folder") from error
    return target
