"""The bundle that a config belongs to."""

from __future__ import annotations

from pathlib import Path

from lsinet_monai.workflow.call import find_call

__all__ = ["bundle_root"]


def bundle_root() -> str:
    """Find the bundle of the running config, from any current folder. Called in an expression of a config.

    Returns:
        the folder that holds the first of the given config files in its folder ``configs``. If none lies in such a
        folder, or the files are not known, it is the current folder's ``bundle``, or the current folder.
    """
    call = find_call()
    folders = []
    if call is not None:
        if call.workflow is not None:
            folders.append(Path(call.workflow.config_root_path))
        folders += [Path(file).parent for file in call.files]
    for folder in folders:
        if folder.name == "configs":
            return str(folder.parent)
        if folder.resolve().name == "configs":  # such as "." in the folder itself
            return str(folder / "..")
    return "bundle" if Path("bundle/configs").is_dir() else "."
