from __future__ import annotations

import logging
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lsinet_monai.data import phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_cvat, write_cvat
from lsinet_monai.masks import LesionLinker

Frames = dict[int, np.ndarray]
Attributes = dict[int, dict[str, object]]


def _write(path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes | None = None) -> Path:
    with write_cvat(path, clip) as add:
        for index, frame in labels.items():
            add(index, frame, attributes or {})
    return path


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1)


def test_there_and_back(tmp_path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> None:
    found = read_cvat(_write(tmp_path / "a.xml", clip, labels, attributes), clip)
    assert list(found) == [2, 3, 4, 5, 6, 7]
    assert not found[5].any() and not found[7].any()
    for index, frame in labels.items():
        lesions = np.unique(frame[frame > 0]).tolist()
        assert found.attributes(index) == {lesion: attributes[lesion] for lesion in lesions}
        assert all(_iou(found[index] == lesion, frame == lesion) >= 0.98 for lesion in lesions)
        assert found[index].max() == frame.max()


def test_tracks_are_closed(tmp_path: Path, clip: ClipInfo, labels: Frames) -> None:
    root = ElementTree.parse(_write(tmp_path / "a.xml", clip, labels)).getroot()
    tracks = {
        track.get("id"): [(shape.get("frame"), shape.get("outside"), shape.get("keyframe")) for shape in track]
        for track in root.iter("track")
    }
    assert tracks == {
        "0": [("2", "0", "1"), ("3", "0", "1"), ("4", "1", "1"), ("6", "0", "1"), ("7", "1", "1")],
        "3": [("3", "0", "1"), ("4", "0", "1"), ("5", "1", "1"), ("6", "0", "1"), ("7", "1", "1")],
    }
    task = root.find("meta/task")
    assert task is not None
    texts = [task.findtext(name) for name in ("size", "start_frame", "stop_frame", "original_size/width", "mode")]
    assert texts == ["6", "2", "7", "80", "interpolation"]
    assert [name.text for name in task.iter("name")] == ["case1/part2", "polyp", "lesion"]


def test_datumaro_reads_it(tmp_path: Path, clip: ClipInfo, labels: Frames, attributes: Attributes) -> None:
    datumaro = pytest.importorskip("datumaro")
    dataset = datumaro.Dataset.import_from(str(_write(tmp_path / "a.xml", clip, labels, attributes)), "cvat")
    polygons = {
        (item.attributes["frame"], shape.attributes["track_id"]): shape
        for item in dataset
        for shape in item.annotations
        if not shape.attributes["outside"]
    }
    assert set(polygons) == {(2, 0), (3, 0), (3, 3), (4, 3), (6, 0), (6, 3)}
    for (index, track), polygon in polygons.items():
        mask = labels[index] == track + 1
        drawn = datumaro.util.mask_tools.rles_to_mask([polygon.points], *mask.shape[::-1])
        assert _iou(drawn > 0, mask) >= 0.95  # it draws in steps of a fifth of a pixel, and lines count
        assert float(polygon.attributes["score"]) == attributes[track + 1]["score"]


def test_iou_of_phantom_masks(tmp_path: Path) -> None:
    linker = LesionLinker()
    masks = [mask > 0 for _, mask in phantom_clip(12, (120, 160), seed=3)]
    clip = ClipInfo("phantom", (120, 160), frame_count=12)
    found = read_cvat(_write(tmp_path / "a.xml", clip, {i: linker(mask) for i, mask in enumerate(masks)}), clip)
    assert any(mask.any() for mask in masks)
    assert all(_iou(found.mask(index), mask) >= 0.98 for index, mask in enumerate(masks) if mask.any())


@settings(max_examples=50, deadline=None)
@given(arrays(np.int32, (3, 9, 11), elements=st.integers(0, 2)))
def test_any_labels_there_and_back(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    clip = ClipInfo("a", (9, 11), frame_count=3)
    found = read_cvat(_write(tmp_path_factory.getbasetemp() / "a.xml", clip, dict(enumerate(stack))), clip)
    for index, frame in enumerate(stack):
        # Where two lesions interlock, the filled holes of one may hide pixels of the other.
        assert _iou(found.mask(index), frame > 0) >= 0.98 or not frame.any()


SHAPES = [
    ("polygon", 'polygon points="2,1;4,1;4,3;2,3"', (slice(1, 3), slice(2, 4))),
    ("box", 'box xtl="2" ytl="1" xbr="4" ybr="3"', (slice(1, 3), slice(2, 4))),
    ("a box on its side", 'box xtl="1" ytl="2" xbr="5" ybr="4" rotation="90"', (slice(1, 5), slice(2, 4))),
    ("ellipse", 'ellipse cx="3" cy="2" rx="1.3" ry="1.3"', (slice(1, 3), slice(2, 4))),
    ("mask", 'mask rle="0, 4" left="2" top="1" width="2" height="2"', (slice(1, 3), slice(2, 4))),
    ("outside", 'polygon outside="1" points="2,1;4,1;4,3"', (slice(0), slice(0))),
    ("a line", 'polyline points="2,1;4,1;4,3"', (slice(0), slice(0))),
]


def _file(folder: Path, tracks: str, task: str = "<size>9</size><stop_frame>8</stop_frame>") -> Path:
    path = folder / "b.xml"
    path.write_text(f"<annotations><meta><task>{task}</task></meta>{tracks}</annotations>")
    return path


@pytest.mark.parametrize(("_", "shape", "inside"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes(tmp_path: Path, clip: ClipInfo, _: str, shape: str, inside: tuple[slice, slice]) -> None:
    expected = np.zeros(clip.size, np.int32)
    expected[inside] = 1
    path = _file(tmp_path, f'<track id="0" label="polyp"><{shape} frame="4"/></track>')
    np.testing.assert_array_equal(read_cvat(path, clip)[4], expected)


def test_what_is_no_area_is_said(tmp_path: Path, clip: ClipInfo, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_cvat(_file(tmp_path, '<track label="a"><points frame="4" points="1,1"/></track>'), clip)
    assert "skipped shapes without an area: 1 points" in caplog.text


def _track(label: str, frame: int, lesion: str | None) -> str:
    attribute = f'<attribute name="lesion">{lesion}</attribute>' if lesion is not None else ""
    return f'<track label="{label}"><box frame="{frame}" xtl="0" ytl="0" xbr="4" ybr="4">{attribute}</box></track>'


def test_lesions_of_a_file_that_people_changed(tmp_path: Path, clip: ClipInfo) -> None:
    tracks = [("polyp", 0, "7"), ("polyp", 1, None), ("tool", 2, ""), ("polyp", 3, "7"), ("polyp", 4, "-1")]
    path = _file(tmp_path, "".join(_track(*track) for track in tracks))
    assert [labels.max() for labels in read_cvat(path, clip).values()] == [7, 8, 9, 7, 10, 0, 0, 0, 0]
    assert [labels.max() for labels in read_cvat(path, clip, label="tool").values()] == [0, 0, 8] + [0] * 6
    with pytest.raises(InputError, match="no track of label 'Polyp'; its labels: 'polyp', 'tool'"):
        read_cvat(path, clip, label="Polyp")


def test_the_frames_are_the_task_s(tmp_path: Path, clip: ClipInfo) -> None:
    task = "<start_frame>1</start_frame><stop_frame>100</stop_frame><frame_filter>step=3</frame_filter>"
    assert list(read_cvat(_file(tmp_path, "", task), clip)) == [1, 4, 7]


SHAPE = '<track label="polyp"><polygon frame="{}" points="{}"/></track>'
ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>'
BAD_FILES = [
    ("no XML", "x", "cannot be read as CVAT's XML"),
    ("cut off", "<annotations><track>", "cannot be read as CVAT's XML"),
    ("another XML", "<html></html>", "starts with <html>"),
    ("CVAT for images", '<annotations><image id="0"/></annotations>', "export the task as 'CVAT for video 1.1'"),
    ("entities", ENTITIES, "cannot be read as CVAT's XML"),
    ("a frame too far", SHAPE.format(9, "0,0;1,1"), "frame 9 is not in 'case1/part2', which has 9 frames"),
    ("no frame", SHAPE.format("", "0,0;1,1"), "cannot be read"),
    ("a huge number", SHAPE.format("9" * 5000, "0,0;1,1"), "cannot be read"),
    ("no points", SHAPE.format(1, ""), "cannot be read"),
    ("an odd number", SHAPE.format(1, "0,0;1"), "cannot be read"),
    ("nan", SHAPE.format(1, "0,0;1,nan"), "not within 1000000 pixels"),
    ("far away", SHAPE.format(1, "0,0;1,1e9"), "not within 1000000 pixels"),
    (
        "a mask outside",
        '<track><mask frame="1" rle="4" left="79" top="0" width="2" height="2"/></track>',
        "beyond the frame",
    ),
    ("a damaged mask", '<track><mask frame="1" rle="5" left="0" top="0" width="2" height="2"/></track>', "4 pixels"),
]


@pytest.mark.parametrize(("_", "content", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, content: str, message: str) -> None:
    path = tmp_path / "b.xml"
    path.write_text(f"<annotations>{content}</annotations>" if content.startswith("<track") else content)
    with pytest.raises(InputError, match=message) as caught:
        read_cvat(path, clip)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_another_clip_s_size(tmp_path: Path, clip: ClipInfo) -> None:
    task = "<original_size><width>60</width><height>80</height></original_size>"
    with pytest.raises(InputError, match="is 60x80"):
        read_cvat(_file(tmp_path, "", task), clip)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["frame", "points", "outside", "xtl", "rle", "left", "cx", "rx", "rotation"]),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.from_regex(r"\A[-+0-9.,;einfa]*\Z"),
    st.sampled_from(["polygon", "box", "ellipse", "mask", "x"]),
)
def test_no_value_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, name: str, value: str, tag: str) -> None:
    shape = ElementTree.fromstring(
        f'<{tag} frame="1" points="0,0;5,0;5,5" xtl="1" ytl="1" xbr="5" ybr="5" cx="3" cy="3" rx="2" ry="2" rle="0,4" '
        'left="1" top="1" width="2" height="2"/>'
    )
    shape.set(name, value)
    tracks = f"<track>{ElementTree.tostring(shape, encoding='unicode')}</track>"
    try:
        labels = read_cvat(_file(tmp_path_factory.getbasetemp(), tracks), ClipInfo("a", (6, 8), 9))
        assert all(labels[index].shape == (6, 8) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp()
    clip = ClipInfo("a", (6, 8), 3)
    content = bytearray(
        _write(folder / "c.xml", clip, {1: np.eye(6, 8, dtype=np.int32)}, {1: {"score": 1}}).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "c.xml").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        labels = read_cvat(folder / "c.xml", clip)
        assert all(labels[index].shape == (6, 8) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)
