from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, UnclearLabels, read_coco, write_coco

Frames = dict[int, np.ndarray]
Attributes = dict[int, dict[str, object]]


def _write(path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> Path:
    with write_coco(path, clip) as add:
        for index, frame in labels.items():
            add(index, frame, attributes)
    return path


def test_there_and_back(tmp_path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> None:
    found = read_coco(_write(tmp_path / "a.json", clip, labels, attributes), clip)
    assert list(found) == list(labels)
    for index, frame in labels.items():
        np.testing.assert_array_equal(found[index], frame)
        assert found.attributes(index) == {lesion: attributes[lesion] for lesion in np.unique(frame[frame > 0])}


def test_pycocotools_reads_it(tmp_path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> None:
    coco = COCO(_write(tmp_path / "a.json", clip, labels, attributes))
    assert [coco.imgs[id]["frame_id"] for id in coco.getImgIds()] == list(labels)
    assert [coco.imgs[id]["seconds"] for id in coco.getImgIds()] == list(clip.seconds.values())
    assert coco.dataset["videos"][0]["fps"] == 25
    for index, frame in labels.items():
        instances = coco.loadAnns(coco.getAnnIds(imgIds=[index + 1]))
        assert [instance["attributes"]["track_id"] for instance in instances] == np.unique(frame[frame > 0]).tolist()
        for instance in instances:
            mask = frame == instance["attributes"]["track_id"]
            np.testing.assert_array_equal(coco.annToMask(instance), mask)
            (rows, columns), (x, y, width, height) = np.nonzero(mask), instance["bbox"]
            assert (x, y, x + width, y + height) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert instance["area"] == mask.sum() and instance["score"] in (0.75, 0.5)


def test_datumaro_reads_it(tmp_path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> None:
    datumaro = pytest.importorskip("datumaro")
    (tmp_path / "images").mkdir()  # datumaro wants the folder, not the images
    _write(tmp_path / "annotations" / "instances_video.json", clip, labels, attributes)
    dataset = datumaro.Dataset.import_from(str(tmp_path), "coco_instances")
    found = {int(item.id): item.annotations for item in dataset}
    assert found.keys() == labels.keys()
    for index, frame in labels.items():
        masks = [shape.image > 0 for shape in found[index] if shape.type is datumaro.AnnotationType.mask]
        np.testing.assert_array_equal(sum(masks, np.zeros(clip.size, bool)), frame > 0)


def test_a_block_that_fails_leaves_no_file(tmp_path: Path, clip: ClipInfo, labels: Frames) -> None:
    with pytest.raises(KeyboardInterrupt), write_coco(tmp_path / "a.json", clip) as add:
        add(2, labels[2], {})
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def _decode(folder: Path, segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Read a file with one segmentation in its only frame."""
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    categories = [{"id": 1, "name": "polyp"}]
    content = {"images": [{"id": 1, "file_name": "0.png"}], "categories": categories, "annotations": [annotation]}
    (folder / "one.json").write_text(json.dumps(content))
    return read_coco(folder / "one.json", ClipInfo("one", size, 1))[0]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)).filter(np.any))
def test_run_lengths_are_those_of_pycocotools(tmp_path: Path, mask: np.ndarray) -> None:
    code = coco_masks.encode(np.asfortranarray(mask))
    segmentation = {"size": list(mask.shape), "counts": code["counts"].decode()}
    np.testing.assert_array_equal(_decode(tmp_path, segmentation, mask.shape), mask)


SEGMENTATIONS = [
    ("polygons", [[0, 0, 2, 0, 2, 1, 0, 1], [3, 2, 4, 2, 4, 3, 3, 3]], [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
    ("one polygon, flat", [0, 0, 2, 0, 2, 1, 0, 1.0], [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
    ("runs, column by column", {"size": [3, 4], "counts": [0, 1, 2, 1, 8]}, [[1, 1, 0, 0], [0] * 4, [0] * 4]),
]


@pytest.mark.parametrize(("_", "segmentation", "mask"), SEGMENTATIONS, ids=[case[0] for case in SEGMENTATIONS])
def test_other_segmentations(tmp_path: Path, _: str, segmentation: Any, mask: list) -> None:
    np.testing.assert_array_equal(_decode(tmp_path, segmentation, (3, 4)), mask)


def _content(**changes: Any) -> dict[str, Any]:
    """A small file from another tool."""
    annotation = {"id": 1, "image_id": 5, "category_id": 3, "segmentation": [[0, 0, 80, 0, 80, 30, 0, 30]]}
    return {
        "images": [{"id": 5, "file_name": "frame_000003.PNG", "width": 80, "height": 60}],
        "categories": [{"id": 3, "name": "Polyp"}, {"id": 4, "name": "tool"}],
        "annotations": [annotation, annotation | {"id": 2, "category_id": 4, "segmentation": [[0, 30, 9, 30, 9, 39]]}],
    } | changes


def _read(folder: Path, clip: ClipInfo, content: Any, **options: Any) -> Any:
    (folder / "b.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_coco(folder / "b.json", clip, **options)


def test_a_file_of_another_tool(tmp_path: Path, clip: ClipInfo) -> None:
    labels = _read(tmp_path, clip, _content(), labels=["Polyp", "tool"])
    assert list(labels) == [3] and set(np.unique(labels[3])) == {0, 1, 2} and not labels.reading.ids
    for choice in (None, "Polyp", {"Polyp": 1, "tool": None}):
        labels = _read(tmp_path, clip, _content(), labels=choice)
        assert (labels[3] == np.repeat([1, 0], 30)[:, None]).all()
        assert labels.reading.labels == {"Polyp": 1} and labels.reading.left_out == {"category 'tool'": 1}


def test_ids_of_tracks_become_lesions(tmp_path: Path, clip: ClipInfo) -> None:
    """CVAT numbers tracks from 0. A shape without an id is none of them."""
    square = {"segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]], "category_id": 1}
    ids = [0, 250, 300, None, 0]
    annotations = [
        {**square, "id": place, "image_id": 1 + place // 4, **({} if id is None else {"attributes": {"track_id": id}})}
        for place, id in enumerate(ids)
    ]
    images = [{"id": id, "file_name": f"frame_{id:06d}.PNG"} for id in (1, 2)]
    labels = _read(
        tmp_path,
        clip,
        {"images": images, "categories": [{"id": 1, "name": "polyp"}], "annotations": annotations},
    )
    assert list(labels.attributes(1)) == [1, 250, 2, 251] and list(labels.attributes(2)) == [1]
    assert labels.reading.ids == {1, 2, 250}


def test_a_frame_that_shows_only_something_unknown_is_left_alone(tmp_path: Path, clip: ClipInfo) -> None:
    content = _content()
    content["images"] += [{"id": index, "file_name": f"frame_{index}.png"} for index in (6, 7)]
    content["annotations"][1]["image_id"] = 6
    labels = _read(tmp_path, clip, content)
    assert list(labels) == [3, 7] and not labels[7].any() and labels.reading.left_alone == [6]
    assert list(_read(tmp_path, clip, content, labels={"Polyp": "polyp", "tool": None})) == [3, 6, 7]


def test_two_videos_of_one_file(tmp_path: Path, clip: ClipInfo) -> None:
    content = _content(videos=[{"id": 1, "name": "other.mp4"}, {"id": 2, "name": "case1/part2"}])
    content["images"] = [content["images"][0] | {"id": id, "video_id": id, "frame_id": 3} for id in (1, 2)]
    content["annotations"] = [content["annotations"][0] | {"image_id": 2}]
    labels = _read(tmp_path, clip, content)
    assert list(labels) == [3] and labels[3].any() and labels.reading.left_out == {"images of the video 'other.mp4'": 1}
    content["videos"][1]["name"] = "third.mp4"
    with pytest.raises(InputError, match=r"several videos \('other.mp4', 'third.mp4'\), .* like 'case1/part2'"):
        _read(tmp_path, clip, content)


MISSING = "is not a file of COCO instances: images, annotations, categories missing"
BAD_FILES = [
    ("no JSON", "{", "cannot be read as COCO instances"),
    ("deep", "[" * 100000, "cannot be read as COCO instances"),
    ("no object", [], f"{MISSING}; export it as 'COCO instances'"),
    ("nothing in it", {}, f"{MISSING}; export"),
    ("a number", 3, f"{MISSING}; export"),
    ("labelme", {"shapes": [], "imagePath": "3.png"}, f"{MISSING}, as in a file of labelme; export it"),
    ("Supervisely", {"size": {}, "frames": [], "objects": []}, f"{MISSING}, as in a file of Supervisely"),
    ("VIA", {"3.png99": {"filename": "3.png", "regions": []}}, f"{MISSING}, as in a file of VGG Image Annotator"),
    ("a project of VIA", {"_via_img_metadata": {}}, f"{MISSING}, as in a file of VGG Image Annotator"),
    ("Label Studio", [{"annotations": [], "data": {"image": "3.png"}}], f"{MISSING}, as in a file of Label Studio"),
    ("results", [{"image_id": 1, "category_id": 1, "score": 0.9}], f"{MISSING}, as in a file of COCO results"),
    (
        "YouTube-VIS",
        {"videos": [], "annotations": [], "categories": []},
        "of COCO instances: images missing, as in a file of YouTube-VIS",
    ),
    ("no annotations", {"images": [], "categories": []}, "of COCO instances: annotations missing; export"),
    ("another size", _content(images=[{"id": 5, "file_name": "3", "width": 60, "height": 80}]), "is 60x80"),
    ("another clip", _content(images=[{"id": 5, "file_name": "99"}]), "image '99' is not a frame of 'case1/part2'"),
    ("no such image", _content(images=[]), "image 5 is missing in 'images'"),
    ("no such category", _content(categories=[{"id": 4, "name": "tool"}]), "category 3 of annotation 1 is missing"),
    (
        "two names",
        _content(categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]),
        "two categories have the id 3",
    ),
    (
        "panoptic",
        {"images": [], "categories": [], "annotations": [{"image_id": 1, "segments_info": []}]},
        "is a file of COCO panoptic, whose masks are in pictures; export it as 'COCO instances'",
    ),
    ("an archive", "PK\3\4...", "is a ZIP archive; unpack it"),
]


@pytest.mark.parametrize(("_", "content", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _read(tmp_path, clip, content)


def test_a_label_that_is_not_there(tmp_path: Path, clip: ClipInfo) -> None:
    with pytest.raises(UnclearLabels, match=r"has no label 'adenoma': .* 'Polyp' \(1\), 'tool' \(1\)") as caught:
        _read(tmp_path, clip, _content(), labels="adenoma")
    assert caught.value.details == {"labels": {"Polyp": 1, "tool": 1}}


PACKED = [
    (gzip.compress(b"{}", mtime=0), r"b.json: is packed with gzip; unpack it, and give the .json in it$"),
    (b"\x89PNG\r\n", r"\(it is not text in UTF-8, UTF-16 or UTF-32\); export it again, as 'COCO instances' in JSON$"),
]


@pytest.mark.parametrize(("content", "message"), PACKED)
def test_what_is_no_text_is_refused(tmp_path: Path, clip: ClipInfo, content: bytes, message: str) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_coco(tmp_path / "b.json", clip)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_any_utf_is_read(tmp_path: Path, clip: ClipInfo, encoding: str) -> None:
    (tmp_path / "b.json").write_text(json.dumps(_content(), ensure_ascii=False), encoding=encoding)
    assert (read_coco(tmp_path / "b.json", clip)[3] == np.repeat([1, 0], 30)[:, None]).all()


def test_what_was_deleted_in_coco_annotator_is_left_out(tmp_path: Path, clip: ClipInfo) -> None:
    content = _content()
    square = {"image_id": 5, "category_id": 3, "segmentation": [[0, 40, 4, 40, 4, 44, 0, 44]]}
    content["annotations"] += [{**square, "id": 3, "deleted": True}, {**square, "id": 4, "image_id": 6}]
    content["images"] += [{"id": 6, "file_name": "frame_000004.PNG", "deleted": True}]
    labels = _read(tmp_path, clip, content)
    assert list(labels) == [3] and not labels[3][30:].any()
    assert labels.reading.left_out == {"category 'tool'": 1, "deleted images": 1, "deleted annotations": 2}


NO_MASKS = [
    ("a box", {"segmentation": []}, "has a box and no mask"),
    ("an empty polygon", {"segmentation": [[]]}, "has a box and no mask"),
    ("null", {"segmentation": None}, "has a box and no mask"),
    ("nothing", {}, "has a box and no mask"),
    ("COCO Annotator's", {"segmentation": [[10, 10, 30, 10, 30, 30]], "isbbox": True}, "has a box and no mask"),
    ("points", {"keypoints": [1, 1, 2]}, "has points and no mask"),
]


@pytest.mark.parametrize(("_", "changes", "message"), NO_MASKS, ids=[case[0] for case in NO_MASKS])
def test_what_is_no_mask_is_refused(tmp_path: Path, clip: ClipInfo, _: str, changes: dict, message: str) -> None:
    content = _content()
    annotation = content["annotations"][0]
    del annotation["segmentation"]
    annotation |= {"bbox": [10, 10, 20, 20]} | changes
    with pytest.raises(InputError, match=f"annotation 1 of frame 3 {message}, as have 1 of 1; draw polygons or masks"):
        _read(tmp_path, clip, content)
    assert _read(tmp_path, clip, content, labels={"Polyp": None, "tool": "polyp"})[3].any()


NO_FIT = [
    ([[0.1, 0.1, 0.5, 0.1, 0.5, 0.5]], "between 0 and 1; export them in pixels"),
    ([[100, 100, 900, 100, 900, 700]], "far beyond the frame of 80x60"),
    ([[10, 10, 30, 10]], "no polygon has three points"),
    ([{"size": [60, 80], "counts": [0, 4800]}], "run lengths are in a list; write them without it"),
    ([[10, 10, 30, 10, 30]], "has 5 numbers, and needs an x and a y for each; draw it again"),
    ([[10, 10], [30, 10], [30, 30]], "made of single points; write the numbers one after the other"),
    ([[[10, 10], [30, 10], [30, 30]]], "made of pairs; write the numbers one after the other"),
    ([[{"x": 10, "y": 10}, {"x": 30, "y": 10}, {"x": 30, "y": 30}]], "made of pairs"),
    ([{"x": 10, "y": 10}, {"x": 30, "y": 10}, {"x": 30, "y": 30}], "made of pairs"),
    ({"size": [60, 80], "counts": [4800]}, "covers no pixel of the frame"),
    ({"size": [80, 60], "counts": [0, 4800]}, r"size \[80, 60\] is width, height; it must be height, width"),
    ("[[1,2,3,4,5,6]]", "it must be polygons or run lengths, not str"),
]


@pytest.mark.parametrize(("segmentation", "message"), NO_FIT)
def test_masks_that_do_not_fit(tmp_path: Path, clip: ClipInfo, segmentation: Any, message: str) -> None:
    content = _content()
    content["annotations"][0]["segmentation"] = segmentation
    labels = _read(tmp_path, clip, content)
    with pytest.raises(InputError, match=f"annotation 1: .*{message}"):
        labels[3]


BAD_SEGMENTATIONS = [
    {"size": [60, 80], "counts": [1, 2]},
    {"size": [60, 80], "counts": [-1, 4801]},
    {"size": [60, 80], "counts": [10**30]},
    {"size": [60, 80], "counts": ""},
    {"size": [60, 80], "counts": "~~~~"},
    {"size": [60, 80], "counts": "o" * 50},
    {"size": [6, 8], "counts": [48]},
    {"size": [60, 80]},
    [[1, 2, 3]],
    [1, 2, 3],
    [[float("nan")] * 6],
    ["x"],
    7,
]


@pytest.mark.parametrize("segmentation", BAD_SEGMENTATIONS)
def test_damaged_segmentations(tmp_path: Path, clip: ClipInfo, segmentation: Any) -> None:
    content = _content()
    content["annotations"][0] |= {"segmentation": segmentation}
    with pytest.raises(InputError, match="a segmentation is damaged"):
        _read(tmp_path, clip, content)[3]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
)
KEYS = [
    "id",
    "file_name",
    "width",
    "frame_id",
    "image_id",
    "category_id",
    "segmentation",
    "attributes",
    "name",
    "score",
]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.sampled_from(["images", "categories", "annotations"]), st.sampled_from(KEYS), JSON)
def test_no_value_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, part: str, key: str, value: Any) -> None:
    content = _content()
    content[part][0] = content[part][0] | {key: value} if key else value
    try:
        labels = _read(tmp_path_factory.getbasetemp(), ClipInfo("a", (60, 80), 9), content)
        assert all(labels[index].shape == (60, 80) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)
