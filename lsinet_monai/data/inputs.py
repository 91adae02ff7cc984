"""What people give to inference: a video, a DICOM file, a folder of frames, or a folder of any of these."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.folders import check_no_masks, clip_id_of, few, is_picture, say_how_read, walk
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.data.video import holds_several, is_dicom
from lsinet_monai.data.video_files import has_video_suffix, looks_like_video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import check_paths
from lsinet_monai.utils.files import check_link

__all__ = ["check_all_read", "find_clips", "find_inputs"]

logger = logging.getLogger(__name__)


def find_inputs(path: str | os.PathLike[str]) -> list[Clip]:
    """Find the videos and folders of frames to segment at or below a path. No video is decoded.

    Args:
        path: one file, whatever its name; or a folder with, at any depth, videos (files with
            :data:`~lsinet_monai.data.VIDEO_SUFFIXES` and DICOM files) and folders of frames, as in :func:`find_clips`.
            An image file of several pictures, such as a TIFF of several pages, is a video. Other files that look like
            a video or a picture are named in the log.

    Returns:
        The clips in natural order. ``clip_id`` is the path below ``path``. A video's is without its suffix, unless two
        clips would then have the same one.

    Raises:
        InputError: nothing lies at the path or nothing below it can be segmented, or two clips would have the same
            ``clip_id``.
    """
    check_paths(input=path)
    if not os.fspath(path):
        raise InputError("input is empty: give a video, or a folder of videos or frames")
    root = Path(path)
    check_link(root)
    if os.path.isfile(path):
        return [Clip(root.stem, video=str(root))]
    if not os.path.isdir(path):
        raise InputError(f"{root}: no such folder or file; give a video, or a folder of videos or frames")
    clips = []
    left_out: list[Path] = []
    frame_folders = set()

    def is_video(path: Path) -> bool:
        if _is_video(path):
            return True
        if path.is_file() and path.suffix.lower() not in FRAME_SUFFIXES:
            left_out.append(path)
        return False

    for found, frames in walk(root, is_video):
        videos = [found]
        if frames:
            frame_folders.add(found)
            videos = [frame for frame in frames if holds_several(frame)]
            frames = [frame for frame in frames if frame not in videos]
            _say_what_is_a_video(found, frames, videos)
        if frames:
            clips.append(Clip(clip_id_of(root, found), image=[str(frame) for frame in frames]))
        clips += [Clip(clip_id_of(root, video.with_suffix("")), video=str(video)) for video in videos]
    # `say_how_read` names the pictures next to frames.
    unread = [path for path in left_out if looks_like_video(path)]
    unread += [path for path in left_out if path.parent not in frame_folders and is_picture(path)]
    names = few(sorted(repr(str(path.relative_to(root))) for path in dict.fromkeys(unread)))
    way_out = "convert them to MP4 or PNG, or give them a suffix that says what they are, such as .mp4"
    if not clips and unread:
        raise InputError(f"{root}: holds no frames and videos that are read, only {names}: {way_out}")
    if not clips:
        raise InputError(
            f"{root}: holds no frames ({', '.join(FRAME_SUFFIXES)}) and no videos, nor do the folders in it"
        )
    if unread:
        logger.warning("%s: left out, because files of these names are not read: %s; %s", root, names, way_out)
    count = Counter(clip.clip_id for clip in clips)
    for at, clip in enumerate(clips):
        if clip.video is not None and count[clip.clip_id] > 1:
            clips[at] = replace(clip, clip_id=clip_id_of(root, Path(clip.video)))
    _check_clip_ids(root, clips)
    return clips


def _say_what_is_a_video(folder: Path, frames: Sequence[Path], videos: Sequence[Path]) -> None:
    """Log how a folder of frames is read, and which pictures in it are not taken as its frames."""
    if not frames:
        return
    check_no_masks(frames)
    say_how_read(folder, frames, is_read=lambda path: path in videos or _is_video(path))
    animations = [path for path in folder.iterdir() if path.suffix.lower() in (".gif", ".apng")]
    for video in sorted([*videos, *animations]):
        logger.warning("%s: is read as a video of its own, not as a frame of its folder", video)


def _is_video(path: Path) -> bool:
    if has_video_suffix(path.name):
        check_link(path)
    return path.is_file() and (has_video_suffix(path.name) or is_dicom(path))


def find_clips(folder: str | os.PathLike[str]) -> list[Clip]:
    """Find the folders of frames at or below a folder; videos are ignored.

    Args:
        folder: a dataset, one of its splits, a ``Frame`` folder, a folder of frame folders at any depth, or one folder
            of frames. Next to a ``Frame`` folder nothing (``GT``, ``Edge``, ...) is read.

    Returns:
        the clips in natural order. ``clip_id`` is the path below ``folder`` without its ``Frame`` components, or the
        name of ``folder`` if it holds the frames itself; ``label`` is None.

    Raises:
        InputError: the folder does not exist or holds no frames, masks lie among frames, or two clips would have the
            same ``clip_id``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give a folder of frames, or of folders of frames")
    clips = []
    for frame_folder, frames in walk(root):
        check_no_masks(frames)
        clips.append(Clip(clip_id_of(root, frame_folder), image=[str(frame) for frame in frames]))
    if not clips:
        raise InputError(f"{root}: holds no frames ({', '.join(FRAME_SUFFIXES)}), nor do the folders in it")
    _check_clip_ids(root, clips)
    return clips


def _check_clip_ids(root: Path, clips: Sequence[Clip]) -> None:
    twice = [clip_id for clip_id, count in Counter(clip.clip_id for clip in clips).items() if count > 1]
    if twice:
        raise InputError(f"{root}: has two clips that would be called {twice[0]!r}; give them one at a time")


def check_all_read(failed: dict[str, str]) -> None:
    """At the end of a run over videos, raise if some could not be read.

    Args:
        failed: the reasons, by ``clip_id``; see :class:`~lsinet_monai.data.ClipPieces`.

    Raises:
        InputError: ``failed`` is not empty.
    """
    if len(failed) == 1:
        raise InputError(*failed.values())
    if failed:
        raise InputError(f"{len(failed)} videos could not be read; all others are done: {'; '.join(failed.values())}")
