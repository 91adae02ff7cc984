"""Checks of where results go, before a run starts: the output folder and the model file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_paths
from lsinet_monai.utils.files import check_writable

__all__ = ["FRAME_RESULTS", "check_model_file", "prepare_output_dir"]

FRAME_RESULTS = ("masks", "maps")
"""The folders of an output folder that hold one file per frame, ``<kind>/<clip_id>/<frame>.png``."""

_TRACKING = ("config_[0-9]*_[0-9]*.json", "mlruns.db*", "mlruns/**/*")
"""What MONAI's ``--tracking mlflow`` writes to an output folder, in part before a run begins. It replaces nothing."""


def prepare_output_dir(
    path: str | Path,
    overwrite: bool = False,
    input_dir: str | Path | None = None,
    leftovers: Collection[Path] = (),
    resume: bool = False,
) -> Path:
    """Create a folder for results. Refuse one in which results would mix with other files.

    Args:
        path: the folder; it and its parents are created if missing.
        overwrite: accept a folder that already holds files. A run replaces the files that it writes; the others stay.
        input_dir: the folder whose frames the run reads, including all folders below it.
        leftovers: files in the folder to ignore: an earlier run of the same kind left them before it had any result.
        resume: accept the files of the run that is resumed.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds files, and ``overwrite`` and ``resume`` are off; it is ``input_dir`` or lies in it;
            ``input_dir`` lies in one of the folders for results; the path is a file or reads as a number, or the folder
            cannot be created.
    """
    check_paths(output_dir=path)
    accepts_files = as_bool(overwrite, "overwrite") | as_bool(resume, "resume")
    folder = Path(path)
    if input_dir is not None and folder.resolve().is_relative_to(Path(input_dir).resolve()):
        raise InputError(
            f"output_dir '{folder}' lies in the input '{input_dir}', so a second run would read its masks as frames: "
            "choose a folder outside the input"
        )
    for kind in (*FRAME_RESULTS, "overlays"):
        if input_dir is not None and Path(input_dir).resolve().is_relative_to((folder / kind).resolve()):
            raise InputError(
                f"the input '{input_dir}' lies where results would be written, in output_dir '{folder}': choose "
                "another output_dir"
            )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output_dir '{folder}' is a file: choose a folder")
    ignored = {*leftovers, *(path for pattern in _TRACKING for path in folder.glob(pattern))}
    found = next((path for path in folder.rglob("*") if not path.is_dir() and path not in ignored), None)
    if found is not None and not accepts_files:
        raise InputError(
            f"output_dir '{folder}' holds files that this run did not write (e.g. '{found.relative_to(folder)}'): "
            "choose another folder, or pass --overwrite, which replaces results of the same names and keeps all others"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"output_dir '{folder}' cannot be created ({error.strerror}): choose another folder"
        ) from error
    return folder


def check_model_file(path: str | Path) -> Path:
    """Check before training that the model file can be written.

    Raises:
        InputError: the path reads as a number; or see :func:`lsinet_monai.utils.files.check_writable`.
    """
    check_paths(model_file=path)
    return check_writable(path, "model_file")
