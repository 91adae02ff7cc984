"""Which pictures of a file or folder show a clip's video, and not another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, Reading
from lsinet_monai.formats.frame_names import find_video, split_name

__all__ = ["choose_video", "video_name"]


def video_name(file: str, clip: ClipInfo) -> str:
    """Return what the name of a picture says of its video: folders, and the text before the frame's number."""
    path = file.replace("\\", "/")
    # The names of files may begin with anything; only the numbered frames of a video are named after it.
    return split_name(path.rpartition("/")[0] + "/" if clip.files else path, clip.name).video


def choose_video(names: Iterable[str], clip: ClipInfo, kind: str, reading: Reading) -> set[str]:
    """Choose the clip's video among those that pictures are named after.

    Args:
        names: what :func:`video_name` returns for each picture.
        clip: the clip.
        kind: what the pictures are: ``images`` or ``masks``.
        reading: gets notes on what was taken and left out.

    Returns:
        The names whose pictures are to be taken: those like the clip's. Pictures whose names say nothing are taken too,
        if there are no other videos that they may belong to.

    Raises:
        InputError: if there are several videos, and not exactly one of them is named like the clip.
    """
    count = Counter(names)
    chosen = set(find_video(count, clip.name))
    if len(count) == 1 and not chosen and any(count):
        reading.notes.append(f"its {kind} are named after {next(iter(count))!r}, not after '{clip.name}'")
    if len(count) <= 1:
        return set(count)
    if len(chosen) != 1:
        listed = ", ".join(repr(name) if name else "no video name" for name in list(count)[:5])
        raise InputError(
            f"holds {kind} of several videos ({listed}), and not exactly one of them is named like '{clip.name}'; "
            "export the masks of this video alone"
        )
    if len(count) == 2 and "" in count:
        return set(count)
    for name in count.keys() - chosen:
        which = f"of the video {name!r}" if name else "without a video name, which may be of any of these videos"
        reading.left_out[f"{kind} {which}"] = count[name]
    return chosen
