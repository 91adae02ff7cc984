"""Which frame, and which video, the name of a picture refers to.

Tools name the frames of a video in their own ways: ``frame_000042.PNG`` (CVAT), ``clip_mp4-42_jpg.rf.0a1b2c.jpg``
(Roboflow, with a hash), ``3f25a7c1-clip_42.jpg`` (Label Studio). A number counts as the frame only where it stands for
one, so that no digit of a hash is taken for a frame, nor the second of several numbers: ``000012_1.png`` may be the
first lesion of frame 12, and ``clip_00-00-05.png`` a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from lsinet_monai.data.folders import composed
from lsinet_monai.data.frames import FRAME_SUFFIXES
from lsinet_monai.data.video_files import VIDEO_SUFFIXES

__all__ = ["FrameName", "find_video", "has_several_numbers", "picture_stem", "split_name", "without_uploads"]

_PICTURES = "jpe?g|png|bmp|tiff?|webp|gif"
_HASHED = re.compile(rf"(.+)_(?:{_PICTURES})\.rf\.[0-9a-z]+(?:\.[a-z]+)?", re.IGNORECASE | re.DOTALL)
_SUFFIX = re.compile(r"\.[a-z][0-9a-z]*$", re.IGNORECASE)
_PICTURE_SUFFIX = re.compile(rf"\.(?:{_PICTURES})$", re.IGNORECASE)
_KIND = re.compile(r"[ _-]+(?:masks?|labels?|seg|segmentation|gt|annotation)$", re.IGNORECASE)
_KIND_BEFORE = re.compile(r"(?<![^\W_])(?:masks?|labels?|seg|segmentation|gt|groundtruth)[ _-]+(?=.)", re.IGNORECASE)
_WORD = "frames?|images?|img|pictures?|pic|masks?"
# int() refuses very long numbers, and no clip has that many frames.
_LAST = re.compile(rf"(?:(.*)[^0-9a-z])?(?:{_WORD})?([0-9]{{1,12}})", re.IGNORECASE | re.DOTALL)
_MARKED = re.compile(r"(?:(.*?)[^0-9a-z])??frame[ _-]*([0-9]{1,12})(?![0-9a-z])", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(rf"(?<![^\W_])(?:{_WORD})?[0-9]+(?![^\W_])", re.IGNORECASE)  # not p01, 25fps
_VIDEO = re.compile(r"[._](?:mp4|m4v|mov|avi|mkv|webm|wmv|mpe?g)$", re.IGNORECASE)
_WORD_AT_END = re.compile(rf"(?:^|[^0-9a-z]+)(?:{_WORD})?[^0-9a-z]*$", re.IGNORECASE)
_DECIMAL = re.compile(r"[0-9]\.[0-9]+$")
_NEGATIVE = re.compile("[-\u2212\u2013][0-9]")
_UPLOAD = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of each upload
_UPLOAD_OF_DIGITS = re.compile("^[0-9]{8}-")  # or a date
_MAYBE_UPLOAD = re.compile("[0-9a-f]{8}-(?=.)")
_ANY_FOLDER = re.compile(r"\.?|train|val|valid|validation|test|images?|imgs|frames|data|default", re.IGNORECASE)
"""Folders whose names say nothing about the video."""
_FILE_SUFFIXES = VIDEO_SUFFIXES | {*FRAME_SUFFIXES, ".frames"}
_DATE_DIGITS = 8


class FrameName(NamedTuple):
    """What the name of a picture says."""

    video: str
    """The folders and the text before the frame's number, as far as they may name a video; often empty."""
    number: int | None
    """The frame's number; None if the name has none, or several that differ."""


def picture_stem(file: str) -> str:
    """Return the name of a picture without its folders, its suffixes and Roboflow's hash, with composed letters."""
    name = composed(_last(file))
    hashed = _HASHED.fullmatch(name)
    return hashed[1] if hashed else _PICTURE_SUFFIX.sub("", _SUFFIX.sub("", name))


def split_name(file: str, clip_name: str = "") -> FrameName:
    """Find the frame's number in the name of a picture, and the text that may name its video.

    The number is the last part of the name, as in ``p01_0042``, ``frame42``, ``mask_42`` and ``42_mask``, or follows
    the word ``frame``, as in ``frame_42-3f25a7c1``. If the two differ, as in ``frame_42_task_7``, there is none. There
    is none either if the name begins with a minus, or if other numbers come before, as in ``000042_1``, except before
    ``frame``, in the clip's own name, or in that of a video file, as in ``case_7.mp4_0042``.

    Args:
        file: the name, with or without folders.
        clip_name: the name of the clip, which may have numbers too: ``case3_1_0042`` is frame 42 of ``case3_1.mp4``,
            and ``case3_1`` is no frame of it. Of ``VID_20230506_101530.mp4``, the date and time are enough.
    """
    folders = [part for part in file.replace("\\", "/").split("/")[:-1] if not _ANY_FOLDER.fullmatch(part)]
    stem = _stem(file)
    before, number = _split_stem(stem, clip_name)
    if not _is_clip(before, clip_name):  # of mask_7.mp4, mask_7_0042 is a frame
        before, number = _split_stem(_KIND_BEFORE.sub("", stem, count=1), clip_name)
    return FrameName("/".join(filter(None, [*folders, before])), number)


def _split_stem(stem: str, clip_name: str) -> tuple[str, int | None]:
    """Split the name of a picture into the text before the frame's number, and the number."""
    marked, last = _MARKED.match(stem), _LAST.fullmatch(stem)
    if last and _is_clip(_before(last), clip_name):
        marked = None  # frame_3_0042 of frame_3.mp4
    numbers = {int(match[2]) for match in (marked, last) if match}
    match = marked or last
    if match is None or len(numbers) > 1 or _DECIMAL.search(stem) or _NEGATIVE.match(stem):
        return "", None
    before = _before(match)
    for text in (before, _UPLOAD_OF_DIGITS.sub("", before)):
        if _is_clip(text, clip_name):
            return text, numbers.pop()
    if before and _is_clip(stem, clip_name):
        return stem, None
    is_clear = marked or _VIDEO.search(before)
    if not is_clear and (other := _NUMBER.search(before)):
        return _WORD_AT_END.sub("", before[: other.start()]), None
    return before, numbers.pop()


def _before(match: re.Match[str]) -> str:
    return _WORD_AT_END.sub("", match[1] or "")


def without_uploads(files: Iterable[str]) -> list[str]:
    """Remove the eight hexadecimal digits that Label Studio puts before the names of uploads.

    Eight digits without a letter may be a date. They are removed if most files of the set begin with such a code, and
    at least half of these have a letter.
    """
    files = list(files)
    codes = [name[:8] for name in map(_last, files) if _MAYBE_UPLOAD.match(name)]
    if 2 * len(codes) <= len(files) or 2 * sum(not code.isdigit() for code in codes) < len(codes):
        return files
    names = [_last(file) for file in files]
    return [
        file[: len(file) - len(name)] + _MAYBE_UPLOAD.sub("", name, count=1)
        for file, name in zip(files, names, strict=True)
    ]


def has_several_numbers(file: str) -> bool:
    """Whether several numbers in the name of a picture may be that of the frame."""
    return len(_NUMBER.findall(_stem(file))) > 1


def _stem(file: str) -> str:
    return _UPLOAD.sub("", _KIND.sub("", picture_stem(file)), count=1)


def find_video(names: Iterable[str], clip_name: str) -> list[str]:
    """Find the names that stand for a clip. Folders, suffixes, case, and signs do not matter, except between numbers.

    ``clip_mp4`` (Roboflow), ``/data/clip.mp4`` and ``Clip`` stand for ``clip.mp4``; ``case11_2`` does not stand for
    ``case1_12.mp4``.

    Returns:
        The names that agree with the clip's in their folders too; if there are none, those that agree without them. Of
        these, the exact ones, if there are any; else those that are exact without their suffix.
    """
    names = list(filter(None, names))
    clip = _last(clip_name)
    for found in (
        [name for name in names if _keys(name) & _keys(clip_name, is_clip=True)],
        [name for name in names if _keys(_last(name)) & _keys(clip, is_clip=True)],
    ):
        if found:
            exact = [name for name in found if _last(name) == clip]
            return exact or [name for name in found if _last(name) == _SUFFIX.sub("", clip)] or found
    return []


def _is_clip(text: str, clip_name: str) -> bool:
    """Whether a text is the clip's name, or its date, for which other letters may stand before it."""
    keys, clip_keys = _keys(text), _keys(_last(clip_name), is_clip=True)
    return bool(keys & clip_keys or _dates(keys) & _dates(clip_keys))


@lru_cache(maxsize=1024)
def _dates(keys: frozenset[str]) -> set[str]:
    dates = {re.sub("^[^0-9]*", "", key) for key in keys}
    return {date for date in dates if len(re.sub("[^0-9]", "", date)) >= _DATE_DIGITS}


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


@lru_cache(maxsize=1024)
def _keys(name: str, is_clip: bool = False) -> frozenset[str]:
    """Return the letters and numbers of a name, with and without its suffix; only a clip's may be an unknown one."""
    has_suffix = is_clip or PurePosixPath(name).suffix.lower() in _FILE_SUFFIXES
    return frozenset({_key(name), _key(_SUFFIX.sub("", name) if has_suffix else name)} - {""})


def _key(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = re.sub(r"(?<![0-9])[\W_]+|[\W_]+(?![0-9])", "", text)
    return re.sub(r"[\W_]+", "-", text)
