"""What can be segmented below a path: videos, DICOM files and folders of frames, side by side."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lsinet_monai.data.frames import FRAME_SUFFIXES, frame_size
from lsinet_monai.data.sun_seg import Clip, check_clip_ids, clip_id_of, walk
from lsinet_monai.data.video import is_dicom, open_video
from lsinet_monai.errors import InputError

__all__ = ["VIDEO_SUFFIXES", "check_all_read", "clip_extent", "find_inputs", "share_clips"]

_FORMATS = (
    "mp4 m4v mov avi mkv webm mpg mpeg m2v ts mts m2ts wmv asf flv 3gp h264 264 h265 hevc "  # by FFmpeg
    "dcm dicom"
)
VIDEO_SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
"""By these, in lower or upper case, files are taken for videos among others in a folder."""


def find_inputs(path: str | os.PathLike[str]) -> list[Clip]:
    """Find the videos and clips to segment at or below a path. No video is opened.

    Args:
        path: one file, whatever its name; or a folder with, at any depth, videos (by :data:`VIDEO_SUFFIXES`, or a DICOM
            file under any name) and folders of frames, SUN-SEG's layout among them (see
            :func:`~lsinet_monai.data.find_clips`).

    Returns:
        The clips in natural order. ``clip_id`` is the path below ``path``; that of a video is without its suffix,
        unless it would then be called as another. A video is the clip's ``video``; frames are its ``image``.

    Raises:
        InputError: there is nothing at the path, nothing to segment below it, or two clips would have one ``clip_id``.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"input={path!r} reads as a number, not as a path: write ./ before the name")
    if "::" in str(path) and not os.path.exists(path):
        raise InputError(
            f"{path}: no such folder or file; if its name has a '#', which a config takes for '::', rename it"
        )
    root = Path(path)
    if os.path.isfile(path):
        return [{"clip_id": root.stem, "video": str(root), "label": None}]
    if not os.path.isdir(path):
        raise InputError(f"{root}: no such folder or file; give a video, or a folder of videos or frames")
    clips: list[Clip] = []
    for found, frames in walk(root, _is_video):
        if frames:
            clips.append({"clip_id": clip_id_of(root, found), "image": [str(x) for x in frames], "label": None})
        else:
            clips.append({"clip_id": clip_id_of(root, found.with_suffix("")), "video": str(found), "label": None})
    if not clips:
        raise InputError(
            f"{root}: holds no frames ({', '.join(FRAME_SUFFIXES)}) and no videos, nor do the folders in it"
        )
    count = Counter(clip["clip_id"] for clip in clips)
    for clip in clips:
        if "video" in clip and count[clip["clip_id"]] > 1:
            clip["clip_id"] = clip_id_of(root, Path(clip["video"]))
    check_clip_ids(root, clips)
    return clips


def _is_video(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() in VIDEO_SUFFIXES or is_dicom(path))


def share_clips(clips: Sequence[Clip], rank: int, ranks: int) -> list[Clip]:
    """Deal out whole clips to several processes, so that each has about as many frames to segment.

    Args:
        clips: the clips; videos among them are opened, to count their frames.
        rank: whose clips are asked for, from 0.
        ranks: the number of processes.

    Returns:
        Its clips, in the order given. Together the processes have all.
    """
    frames = {at: _count_frames(clip) for at, clip in enumerate(clips)}
    loads = [0] * ranks
    mine = []
    for at in sorted(frames, key=lambda at: -frames[at]):  # the longest first, each to whoever has least
        least = loads.index(min(loads))
        loads[least] += frames[at]
        if least == rank:
            mine.append(at)
    return [clips[at] for at in sorted(mine)]


def _count_frames(clip: Clip) -> int:
    extent = clip_extent(clip)
    return extent[2] - clip.get("start", (0, 0))[0] if extent else 0


def clip_extent(clip: Clip) -> tuple[int, int, int] | None:
    """Find out how large a clip is, without decoding it.

    Args:
        clip: as :func:`find_inputs` lists it.

    Returns:
        height, width and number of its frames; None for a video that cannot be read, which is told by whoever reads it.
    """
    if "image" in clip:
        return (*frame_size(clip["image"][0]), len(clip["image"]))
    try:
        with open_video(clip["video"]) as video:
            return (*video.size, len(video))
    except InputError:
        return None


def check_all_read(failed: dict[str, str]) -> None:
    """Make it known, at the end of a run over videos, that some could not be read.

    Args:
        failed: what is wrong with each, by ``clip_id``; see :class:`~lsinet_monai.data.VideoPieces`.

    Raises:
        InputError: there are any.
    """
    if len(failed) == 1:
        raise InputError(*failed.values())
    if failed:
        raise InputError(f"{len(failed)} videos could not be read; all others are done: {'; '.join(failed.values())}")
