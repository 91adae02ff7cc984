"""Which images of a COCO file are frames of a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, Reading
from lsinet_monai.formats.frame_names import without_uploads
from lsinet_monai.formats.video_choice import choose_video, video_name

__all__ = ["frames_of_images"]

_FRAME_KEYS = ("frame_id", "frame")


def frames_of_images(content: Mapping[str, Any], clip: ClipInfo, reading: Reading) -> dict[Any, int | None]:
    """Find the frame of each image: by its ``file_name``, and by its ``frame_id`` or ``frame``, which must agree.

    Args:
        content: the file. Its images may be of several videos, which ``videos``, the images' folders, or the text
            before the frame's number tell apart; then those of the video that is named like the clip are taken.
        clip: the clip.
        reading: gets notes on what was taken and left out.

    Returns:
        An image's id -> the index of its frame; None for an image of another video.

    Raises:
        InputError: if it is unclear which video or which frame an image shows, or it has another size.
    """
    images = content["images"]
    ids = Counter(image["id"] for image in images)
    twice = [id for id, count in ids.items() if count > 1]
    if twice:
        raise InputError(f"two images have the id {twice[0]!r}; number the images")
    videos = {video["id"]: str(video["name"]) for video in content.get("videos") or [] if "name" in video}
    file_names = [str(image.get("file_name", "")) for image in images]
    files = dict(zip(ids, without_uploads(file_names), strict=True))
    names = {image["id"]: videos.get(image.get("video_id")) or video_name(files[image["id"]], clip) for image in images}
    chosen = choose_video(names.values(), clip, "images", reading)
    frames: dict[Any, int | None] = dict.fromkeys(ids)
    image_of_frame: dict[int, str] = {}
    has_size = True
    for image in images:
        if names[image["id"]] not in chosen:
            continue
        has_size &= _check_size(image, clip)
        index = frames[image["id"]] = _index(image, files[image["id"]], clip)
        name = str(image.get("file_name", image["id"]))
        if index in image_of_frame:
            raise InputError(
                f"images {image_of_frame[index]!r} and {name!r} are both frame {index} of '{clip.name}'; export the "
                "masks of this video alone"
            )
        image_of_frame[index] = name
    if not has_size:
        reading.notes.append("the file does not give the size of its images: check that the masks fit")
    return frames


def _check_size(image: Mapping[str, Any], clip: ClipInfo) -> bool:
    """Check an image's size; returns whether it has one. Some tools write numbers as texts."""
    size = image.get("height"), image.get("width")
    if None not in size and size not in (clip.size, tuple(map(str, clip.size))):
        raise InputError(clip.mismatch(size))
    return None not in size


def _index(image: Mapping[str, Any], file: str, clip: ClipInfo) -> int:
    name = image.get("file_name")
    by_name = None
    if isinstance(name, str):
        by_name = clip.index_of(name) if clip.files else None
        by_name = clip.index_of(file) if by_name is None else by_name
    key = next((key for key in _FRAME_KEYS if image.get(key) is not None), None)
    if key is None:
        if by_name is None:
            raise InputError(f"image {name!r} {clip.why_unknown(str(name))}")
        return by_name
    index = image[key]
    if type(index) is not int or not 0 <= index < clip.frame_count:
        raise InputError(
            f"image {name!r} has the {key} {index!r}; '{clip.name}' has the frames 0 to {clip.frame_count - 1}"
        )
    if by_name not in (None, index):
        raise InputError(
            f"image {name!r} has the {key} {index}, but is named like frame {by_name} of '{clip.name}'; count both "
            "from 0"
        )
    return index
