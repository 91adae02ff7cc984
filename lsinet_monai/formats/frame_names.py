"""Which frame, and which video, the name of a picture refers to.

Tools name the frames of a video in their own ways: ``frame_000042.PNG`` (CVAT), ``clip_mp4-42_jpg.rf.0a1b2c.jpg``
(Roboflow, with a hash), ``3f25a7c1-clip_42.jpg`` (Label Studio). A number counts as the frame only where it stands for
one, so that no digit of a hash is taken for a frame, nor the second of several numbers: ``000012_1.png`` may be the
first lesion of frame 12, and ``clip_00-00-05.png`` a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

__all__ = ["FrameName", "find_video", "has_several_numbers", "picture_stem", "split_name"]

_PICTURES = "jpe?g|png|bmp|tiff?|webp|gif"
_HASHED = re.compile(rf"(.+)_(?:{_PICTURES})\.rf\.[0-9a-z]+(?:\.[a-z]+)?", re.IGNORECASE | re.DOTALL)
_SUFFIX = re.compile(r"\.[a-z][0-9a-z]*$", re.IGNORECASE)
_PICTURE_SUFFIX = re.compile(rf"\.(?:{_PICTURES})$", re.IGNORECASE)
_KIND = re.compile(r"[ _-]+(?:masks?|labels?|seg|segmentation|gt|annotation)$", re.IGNORECASE)
_WORD = "frames?|images?|img|pictures?|pic|masks?"
# int() refuses very long numbers, and no clip has that many frames.
_LAST = re.compile(rf"(?:(.*)[^0-9a-z])?(?:{_WORD})?([0-9]{{1,12}})", re.IGNORECASE | re.DOTALL)
_MARKED = re.compile(r"(?:(.*?)[^0-9a-z])??frame[ _-]*([0-9]{1,12})(?![0-9a-z])", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(rf"(?<![^\W_])(?:{_WORD})?[0-9]+(?![^\W_])", re.IGNORECASE)  # not p01, 25fps
_VIDEO = re.compile(r"[._](?:mp4|m4v|mov|avi|mkv|webm|wmv|mpe?g)$", re.IGNORECASE)
_WORD_AT_END = re.compile(rf"(?:^|[^0-9a-z]+)(?:{_WORD})?[^0-9a-z]*$", re.IGNORECASE)
_DECIMAL = re.compile(r"[0-9]\.[0-9]+$")
_UPLOAD = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of each upload
_UPLOAD_OF_DIGITS = re.compile("^[0-9]{8}-")  # or a date
_ANY_FOLDER = re.compile(r"\.?|train|val|valid|validation|test|images?|imgs|frames|data|default", re.IGNORECASE)
"""Folders whose names say nothing about the video."""


class FrameName(NamedTuple):
    """What the name of a picture says."""

    video: str
    """The folders and the text before the frame's number, as far as they may name a video; often empty."""
    number: int | None
    """The frame's number; None if the name has none, or several that differ."""


def picture_stem(file: str) -> str:
    """Return the name of a picture without its folders, its suffixes and Roboflow's hash."""
    name = PurePosixPath(file.replace("\\", "/")).name
    hashed = _HASHED.fullmatch(name)
    return hashed[1] if hashed else _PICTURE_SUFFIX.sub("", _SUFFIX.sub("", name))


def split_name(file: str, clip_name: str = "") -> FrameName:
    """Find the frame's number in the name of a picture, and the text that may name its video.

    The number is the last part of the name, as in ``p01_0042``, ``frame42`` and ``42_mask``, or follows the word
    ``frame``, as in ``frame_42-3f25a7c1``. If the two differ, as in ``frame_42_task_7``, there is none. There is none
    either if other numbers come before, as in ``000042_1``, except before ``frame``, in the clip's own name, or in that
    of a video file, as in ``case_7.mp4_0042``.

    Args:
        file: the name, with or without folders.
        clip_name: the name of the clip, which may have numbers too: ``case3_1_0042`` is frame 42 of ``case3_1.mp4``,
            and ``case3_1`` is no frame of it.
    """
    folders = [part for part in file.replace("\\", "/").split("/")[:-1] if not _ANY_FOLDER.fullmatch(part)]
    stem = _stem(file)
    marked, last = _MARKED.match(stem), _LAST.fullmatch(stem)
    numbers = {int(match[2]) for match in (marked, last) if match and not _DECIMAL.search(stem)}
    number = next(iter(numbers)) if len(numbers) == 1 else None
    match = marked or last
    before = _WORD_AT_END.sub("", match[1] or "") if match and number is not None else ""
    if _is_same(without_upload := _UPLOAD_OF_DIGITS.sub("", before), clip_name):
        before = without_upload
    if before and stem == picture_stem(clip_name):
        number, before = None, ""
    is_clear = marked or _VIDEO.search(before) or _is_same(before, clip_name)
    if not is_clear and (other := _NUMBER.search(before)):
        number, before = None, _WORD_AT_END.sub("", before[: other.start()])
    return FrameName("/".join(filter(None, [*folders, before])), number)


def has_several_numbers(file: str) -> bool:
    """Whether several numbers in the name of a picture may be that of the frame."""
    return len(_NUMBER.findall(_stem(file))) > 1


def _stem(file: str) -> str:
    return _UPLOAD.sub("", _KIND.sub("", picture_stem(file)), count=1)


def find_video(names: Iterable[str], clip_name: str) -> list[str]:
    """Find the names that stand for a clip: folders, suffixes, case and signs do not matter.

    ``clip_mp4`` (Roboflow), ``/data/clip.mp4`` and ``Clip`` stand for ``clip.mp4``.

    Returns:
        The names that agree with the clip's in their folders too; if there are none, those that agree without them.
    """
    names = list(names)
    whole = [name for name in names if _keys(name) & _keys(clip_name)]
    return whole or [name for name in names if _keys(_last(name)) & _keys(_last(clip_name))]


def _is_same(text: str, clip_name: str) -> bool:
    return bool(_keys(text) & _keys(_last(clip_name)))


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _keys(name: str) -> set[str]:
    return {re.sub("[^0-9a-z]", "", text.lower()) for text in (name, _SUFFIX.sub("", name))} - {""}
