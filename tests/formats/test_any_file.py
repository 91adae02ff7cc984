"""Whatever a file holds: its masks are those that somebody drew, in their own frames, or it is refused in one line.

Each test makes files of any content and works out the right answer in its own, slow way.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, ClipLabels, read_coco, read_cvat, read_png_folder, read_stack

pytestmark = pytest.mark.slow

SIZE = (12, 16)
FRAMES = 8
CLIP = ClipInfo("clip.mp4", SIZE, FRAMES)
CHOICES: list[Any] = [None, "polyp", {"polyp": "polyp", "tool": None}]

Expected = dict[int, np.ndarray] | None
"""The masks of the frames that the file speaks of; None if it must be refused."""


def _square(x: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[2:6, x : x + 4] = True
    return mask


def _corners(x: float, scale: float = 1) -> list[float]:
    return [value * scale for value in (x, 2, x + 4, 2, x + 4, 6, x, 6)]


def _check(read: Any, path: Path, choice: Any, expected: Expected) -> ClipLabels | None:
    """Compare what a reader gives with what it must give."""
    try:
        found = read(path, CLIP, labels=choice)
        masks = {index: found.mask(index) for index in found}
    except InputError as error:
        assert expected is None, error
        assert "\n" not in str(error) and str(path) in str(error)
        return None
    assert expected is not None
    assert masks.keys() == expected.keys()
    for index, mask in masks.items():
        np.testing.assert_array_equal(mask, expected[index])
    return found


# COCO -----------------------------------------------------------------------------------------------------------------

NAMES = [
    "{video}_frame_{frame:06d}.PNG",
    "{video}_mp4-{frame}_jpg.rf.0a1b2c{code}.jpg",
    "{code}3f25a7-{video}_{frame}.png",
    "train/{video}/{frame}.png",
]
KINDS: dict[str, Any] = {
    "polygon": lambda x: [_corners(x)],
    "runs": lambda x: {"size": list(SIZE), "counts": _runs(_square(x))},
    "box": lambda x: [],
    "null": lambda x: None,
    "shares": lambda x: [_corners(x, 1 / 16)],
    "of a larger frame": lambda x: [_corners(x + 4, 10)],
    "no pixel": lambda x: {"size": list(SIZE), "counts": [SIZE[0] * SIZE[1]]},
}


def _runs(mask: np.ndarray) -> list[int]:
    values = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(int)))
    return np.diff(np.concatenate([[0], edges, [values.size]])).tolist()


class Image(NamedTuple):
    video: str
    frame: int
    shapes: list[tuple[str, str, int]]
    """Category, kind, left edge."""


shapes = st.lists(
    st.tuples(
        st.sampled_from(["polyp", "polyp", "tool", "tool", "unlisted"]),
        st.sampled_from(["polygon", "runs"] * 5 + list(KINDS)),
        st.integers(0, 10),
    ),
    max_size=3,
)
images = st.lists(
    st.builds(Image, st.sampled_from(["clip", "clip", "other"]), st.integers(0, FRAMES - 1), shapes), max_size=4
)


@settings(max_examples=150)
@given(images, st.sampled_from(NAMES), st.integers(10, 99), st.sampled_from(CHOICES))
def test_coco(tmp_path_factory: pytest.TempPathFactory, images: list[Image], name: str, code: int, choice: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    categories = ["polyp", "tool"]
    content: dict[str, Any] = {"categories": [{"id": id, "name": name} for id, name in enumerate(categories)]}
    content["images"] = [
        {"id": id, "file_name": name.format(video=video, frame=frame, code=code)}
        for id, (video, frame, _) in enumerate(images)
    ]
    content["annotations"] = [
        {
            "id": 1,
            "image_id": id,
            "category_id": categories.index(category) if category in categories else 9,
            "bbox": [x, 2, 4, 4],
            "segmentation": KINDS[kind](x),
        }
        for id, image in enumerate(images)
        for category, kind, x in image.shapes
    ]
    path.write_text(json.dumps(content))

    videos = {image.video for image in images}
    ours = [image for image in images if image.video == "clip" or len(videos) == 1]
    taken = [kind for image in ours for category, kind, _ in image.shapes if category == "polyp"]
    unlisted = any(category == "unlisted" for image in images for category, *_ in image.shapes)
    is_damaged = unlisted or set(taken) - {"polygon", "runs"} or len({image.frame for image in ours}) < len(ours)
    expected: Expected = None if is_damaged else {}
    alone = set()
    for _, frame, found in ours if expected is not None else []:
        polyps = [_square(x) for category, _, x in found if category == "polyp"]
        if not polyps and found and not isinstance(choice, dict):
            alone.add(frame)
        else:
            expected[frame] = np.any([np.zeros(SIZE, bool), *polyps], axis=0)
    labels = _check(read_coco, path, choice, expected)
    if labels is not None:
        assert set(labels.reading.left_alone) == alone
        is_left_out = len(ours) < len(images) or any(shape[0] == "tool" for image in ours for shape in image.shapes)
        assert bool(labels.reading.left_out) == is_left_out


# CVAT -----------------------------------------------------------------------------------------------------------------


class Track(NamedTuple):
    label: str
    shapes: dict[int, tuple[str, int]]
    """Frame -> tag, or "outside", and left edge."""


tracks = st.lists(
    st.builds(
        Track,
        st.sampled_from(["polyp", "polyp", "tool"]),
        st.dictionaries(
            st.integers(0, FRAMES - 1),
            st.tuples(st.sampled_from(["polygon"] * 5 + ["outside"] * 3 + ["box"]), st.integers(0, 12)),
            min_size=1,
            max_size=4,
        ),
    ),
    max_size=3,
)
own_frames = st.none() | st.builds(range, st.integers(0, 2), st.integers(4, FRAMES), st.integers(1, 2))


@settings(max_examples=150)
@given(tracks, own_frames, st.sampled_from(["task", "job"]), st.sampled_from(CHOICES))
def test_cvat(
    tmp_path_factory: pytest.TempPathFactory, tracks: list[Track], own: range | None, tag: str, choice: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.xml"
    meta = "<labels><label><name>polyp</name></label><label><name>tool</name></label></labels>"
    if own is not None:
        meta += f"<start_frame>{own.start}</start_frame><stop_frame>{own.stop - 1}</stop_frame>"
        meta += f"<frame_filter>step={own.step}</frame_filter>"
    body = ""
    for track in tracks:
        body += f'<track label="{track.label}">'
        for frame, (kind, x) in track.shapes.items():
            outside = int(kind == "outside")
            points = ";".join(f"{a},{b}" for a, b in np.reshape(_corners(x), (-1, 2)))
            shape = f'box xtl="{x}" ytl="2" xbr="{x + 4}" ybr="6"' if kind == "box" else f'polygon points="{points}"'
            body += f'<{shape} frame="{frame}" outside="{outside}"/>'
        body += "</track>"
    path.write_text(f"<annotations><meta><{tag}>{meta}</{tag}></meta>{body}</annotations>")

    drawn = [(track.label, frame, kind) for track in tracks for frame, (kind, _) in track.shapes.items()]
    drawn = [shape for shape in drawn if shape[2] != "outside"]
    is_elsewhere = own is not None and any(frame not in own for _, frame, _ in drawn)
    is_box = any((label, kind) == ("polyp", "box") for label, _, kind in drawn)
    expected: Expected = None if is_elsewhere or is_box else {}
    alone = set()
    for frame in (own or range(FRAMES)) if expected is not None else []:
        shown = {}
        for number, track in enumerate(tracks):
            before = [other for other in track.shapes if other <= frame]
            if before and track.shapes[max(before)][0] != "outside":
                shown[number] = track.label, track.shapes[max(before)][1]
        polyps = [_square(x) for label, x in shown.values() if label == "polyp"]
        if shown and not polyps and not isinstance(choice, dict):
            alone.add(frame)
        elif own is not None or polyps:
            expected[frame] = np.any([np.zeros(SIZE, bool), *polyps], axis=0)
    labels = _check(read_cvat, path, choice, expected)
    if labels is not None:
        assert set(labels.reading.left_alone) == alone
        assert bool(labels.reading.left_out) == any(label == "tool" for label, *_ in drawn)


# Stacks ---------------------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(
    st.integers(1, FRAMES + 2),
    st.none() | st.integers(0, FRAMES),
    st.booleans(),
    st.integers(0, 12),
    st.none() | st.permutations(["LR", "PA", "SI"]).flatmap(lambda axes: st.tuples(*map(st.sampled_from, axes))),
)
def test_stacks(
    tmp_path_factory: pytest.TempPathFactory,
    frames: int,
    first: int | None,
    is_stated: bool,
    x: int,
    axes: tuple[str, ...] | None,
) -> None:
    """A stack has no orientation, or a tool has turned it to other axes."""
    path = tmp_path_factory.getbasetemp() / "any.nii"
    stack = np.zeros((*SIZE[::-1], frames), np.uint8)
    stack[:, :, frames // 2] = _square(x).T
    image = nibabel.Nifti1Image(stack, np.eye(4))
    if axes is not None:
        image = nibabel.Nifti1Image(stack, np.diag([-1, -1, 1, 1]))
        before, after = map(nibabel.orientations.axcodes2ornt, ("LPS", axes))
        image = image.as_reoriented(nibabel.orientations.ornt_transform(before, after))
    start = first
    if first is not None and is_stated:
        image.header["descrip"] = f"first_frame={first}"
        start = None
    image.to_filename(path)
    begin = first if first is not None else 0 if frames == FRAMES else None
    expected: Expected = None
    if begin is not None and begin + frames <= FRAMES:
        expected = {begin + place: stack[:, :, place].T > 0 for place in range(frames)}
    _check(lambda path, clip, labels: read_stack(path, clip, start, labels), path, None, expected)


# Folders of pictures --------------------------------------------------------------------------------------------------

PICTURE_NAMES = {
    "{frame}.png": "",
    "frame_{frame:06d}.PNG": "",
    "{frame}_mask.png": "",
    "clip_mp4-{frame}_jpg.rf.0a1b2c.bmp": "clip",
    "other_{frame}.png": "other",
    "x{frame}.png": "",
    "{frame:06d}_1.png": "",
}
"""Names, and the video that each says. ``x3`` is no frame, and ``000003_1`` may be lesion 1 of frame 3, or frame 1."""
pictures = st.lists(
    st.tuples(st.integers(0, FRAMES), st.sampled_from(sorted(PICTURE_NAMES)), st.none() | st.integers(0, 12)),
    min_size=1,
    max_size=5,
    unique_by=lambda picture: picture[1].format(frame=picture[0]).lower(),
)


@settings(max_examples=150)
@given(pictures, st.sampled_from([1, 128, 255]), st.none() | st.sampled_from([(6, 8), (16, 12)]))
def test_pictures(
    tmp_path_factory: pytest.TempPathFactory,
    pictures: list[tuple[int, str, int | None]],
    value: int,
    other_size: tuple[int, int] | None,
) -> None:
    """A picture shows a square, or nothing; one of them may have another size."""
    folder = tmp_path_factory.getbasetemp() / "any_pictures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    drawn: list[tuple[int, np.ndarray]] = []
    for frame, name, x in pictures:
        mask = np.zeros(SIZE, bool) if x is None else _square(x)
        drawn.append((frame, mask))
        size = other_size if other_size and len(drawn) == 1 else SIZE
        picture = (mask * value).astype(np.uint8) if size == SIZE else np.full(size, value, np.uint8)
        PIL.Image.fromarray(picture).save(folder / name.format(frame=frame))
    videos = [PICTURE_NAMES[name] for _, name, _ in pictures]
    is_taken = [video == "clip" or "other" not in videos or set(videos) == {"other"} for video in videos]
    frames = [frame for (frame, _), taken in zip(drawn, is_taken, strict=True) if taken]
    names = [name for (_, name, _), taken in zip(pictures, is_taken, strict=True) if taken]
    is_elsewhere = FRAMES in frames or any(name.startswith("x") or name.endswith("_1.png") for name in names)
    is_size_wrong = other_size is not None and is_taken[0]
    is_damaged = not frames or is_elsewhere or len(set(frames)) < len(frames) or is_size_wrong
    expected = {frame: mask for (frame, mask), taken in zip(drawn, is_taken, strict=True) if taken}
    labels = _check(read_png_folder, folder, None, None if is_damaged else expected)
    if labels is not None:
        assert sum(labels.reading.left_out.values()) == is_taken.count(False)
