"""The file of a session: its masks, its options, and the memory of its propagation."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lsinet_monai.data.video.identity import is_same_picture, thumbnail
from lsinet_monai.errors import InputError
from lsinet_monai.inferers.feature_store import FrameSource
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.files import read_torch_file, write_torch_file

__all__ = ["SavedSession", "read_session", "write_session"]

_FORMAT = 2
# Format 1 had other names for two of the entries.
_RENAMED = {"pictures": "thumbnails", "run": "propagation"}


@dataclass
class SavedSession:
    """The content of a session file that a new session needs."""

    image_size: tuple[int, int]
    """Height and width of the network's frames, in pixels."""
    reach: int
    """See :class:`VideoSession`."""
    inferer: dict[str, Any]
    """The arguments of the session's inferer."""
    masks: dict[int, np.ndarray]
    """Per corrected frame its mask, bool, (H, W)."""
    thumbnails: dict[int, np.ndarray]
    """Per corrected frame its thumbnail, uint8, (16, 16, 3), by which :func:`read_session` recognises the video."""
    propagation: dict[str, Any] | None
    """The state dict of the last propagation, or None."""


def write_session(path: str | Path, session: SavedSession, network: LSINet, source: FrameSource) -> None:
    """Write a session file, which appears complete or not at all. It holds no weights and no frames.

    Args:
        path: the file.
        session: its content.
        network: the session's network, which the file identifies by a hash of its weights.
        source: the session's video, which the file identifies by its length and a few thumbnails.

    Raises:
        OSError: the file cannot be written.
    """
    thumbnails = dict(session.thumbnails)
    with suppress(InputError):  # The first frame may be damaged.
        thumbnails[0] = thumbnail(source[0])
    content = {
        "lsinet_monai_session": _FORMAT,
        "network": network.fingerprint(),
        "frames": len(source),
        "thumbnails": {frame: torch.from_numpy(pixels) for frame, pixels in thumbnails.items()},
        "image_size": list(session.image_size),
        "reach": session.reach,
        "inferer": session.inferer,
        "masks": {frame: torch.from_numpy(mask) for frame, mask in session.masks.items()},
        "propagation": session.propagation,
    }
    write_torch_file(content, path)


def read_session(path: str | Path, network: LSINet, source: FrameSource) -> SavedSession:
    """Read a session file, of this format or an earlier one, and check that it belongs to a network and a video.

    Args:
        path: the file.
        network: the session's network.
        source: the session's video.

    Raises:
        InputError: the file is missing, damaged or not a session file, or its network or video is another one.
    """
    content = _read(path)
    if content["network"] != network.fingerprint():
        raise InputError(f"{path}: the session used another network: load it with the weights that it began with")
    _check_source(path, content, source)
    height, width = content["image_size"]
    return SavedSession(
        (height, width),
        content["reach"],
        content["inferer"],
        {frame: mask.numpy() for frame, mask in content["masks"].items()},
        {frame: pixels.numpy() for frame, pixels in content["thumbnails"].items()},
        content["propagation"],
    )


def _read(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give a file written by VideoSession.save")
    try:
        content = read_torch_file(path)
    except InputError as error:
        raise InputError(
            f"{path}: cannot be read as a session ({error}); give a file written by VideoSession.save"
        ) from error
    if not isinstance(content, dict) or content.get("lsinet_monai_session") not in (1, _FORMAT):
        raise InputError(f"{path}: not a session file of this version; give a file written by VideoSession.save")
    return {_RENAMED.get(str(name), str(name)): value for name, value in content.items()}


def _check_source(path: str | Path, content: dict[str, Any], source: FrameSource) -> None:
    """Check that a source is the video of a session."""
    if content["frames"] != len(source):
        raise InputError(
            f"{path}: the session's video has {content['frames']} frames, and this one {len(source)}: "
            "open the session's video"
        )
    for frame, stored in content["thumbnails"].items():
        if not is_same_picture(stored, source[frame]):
            raise InputError(f"{path}: frame {frame} differs from the session's: open the session's video")
