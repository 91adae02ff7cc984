from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_coco, write_coco
from lsinet_monai.formats.coco import _mask

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


@settings(max_examples=100)
@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)))
def test_run_lengths_are_those_of_pycocotools(mask: np.ndarray) -> None:
    code = coco_masks.encode(np.asfortranarray(mask))
    segmentation = {"size": list(mask.shape), "counts": code["counts"].decode()}
    np.testing.assert_array_equal(_mask(segmentation, mask.shape), mask)


SEGMENTATIONS = [
    ("polygons", [[0, 0, 2, 0, 2, 1, 0, 1], [3, 2, 4, 2, 4, 3, 3, 3]], [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
    ("runs, column by column", {"size": [3, 4], "counts": [0, 1, 2, 1, 8]}, [[1, 1, 0, 0], [0] * 4, [0] * 4]),
]


@pytest.mark.parametrize(("_", "segmentation", "mask"), SEGMENTATIONS, ids=[case[0] for case in SEGMENTATIONS])
def test_other_segmentations(_: str, segmentation: Any, mask: list) -> None:
    np.testing.assert_array_equal(_mask(segmentation, (3, 4)), mask)


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
    labels = _read(tmp_path, clip, _content())
    assert list(labels) == [3] and set(np.unique(labels[3])) == {0, 1, 2}
    assert (_read(tmp_path, clip, _content(), label="Polyp")[3] == np.repeat([1, 0], 30)[:, None]).all()


BAD_FILES = [
    ("no JSON", "{", "cannot be read as COCO instances"),
    ("no object", [], "cannot be read as COCO instances"),
    ("deep", "[" * 100000, "cannot be read as COCO instances"),
    ("nothing in it", {}, "'categories' is missing"),
    ("another size", _content(images=[{"id": 5, "file_name": "3", "width": 60, "height": 80}]), "is 60x80"),
    ("another clip", _content(images=[{"id": 5, "file_name": "99"}]), "image '99' is not a frame of 'case1/part2'"),
    ("no such image", _content(images=[]), "5 is missing"),
]


@pytest.mark.parametrize(("_", "content", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _read(tmp_path, clip, content)


def test_a_label_that_is_not_there(tmp_path: Path, clip: ClipInfo) -> None:
    with pytest.raises(InputError, match="has no category 'polyp'; its categories: 'Polyp', 'tool'"):
        _read(tmp_path, clip, _content(), label="polyp")


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
    [[float("nan")] * 6],
    ["x"],
    7,
    None,
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


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["images", "categories", "annotations"]), st.sampled_from(KEYS), JSON)
def test_no_value_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, part: str, key: str, value: Any) -> None:
    content = _content()
    content[part][0] = content[part][0] | {key: value} if key else value
    try:
        labels = _read(tmp_path_factory.getbasetemp(), ClipInfo("a", (60, 80), 9), content)
        assert all(labels[index].shape == (60, 80) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)
