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
from lsinet_monai.formats import ClipInfo, UnclearLabels, read_cvat, write_cvat
from lsinet_monai.masks import LesionLinker
from tests.formats.cvat_files import OUTSIDE, left_edges, of_task, polygon, track, write

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
    for (index, id), shape in polygons.items():
        mask = labels[index] == id + 1
        drawn = datumaro.util.mask_tools.rles_to_mask([shape.points], *mask.shape[::-1])
        assert _iou(drawn > 0, mask) >= 0.95  # it draws in steps of a fifth of a pixel, and lines count
        assert float(shape.attributes["score"]) == attributes[id + 1]["score"]


@pytest.mark.slow
def test_iou_of_phantom_masks(tmp_path: Path) -> None:
    linker = LesionLinker()
    masks = [mask > 0 for _, mask in phantom_clip(12, (120, 160), seed=3)]
    clip = ClipInfo("phantom", (120, 160), frame_count=12)
    found = read_cvat(_write(tmp_path / "a.xml", clip, {i: linker(mask) for i, mask in enumerate(masks)}), clip)
    assert any(mask.any() for mask in masks)
    assert all(_iou(found.mask(index), mask) >= 0.98 for index, mask in enumerate(masks) if mask.any())


@settings(max_examples=50)
@given(arrays(np.int32, (3, 9, 11), elements=st.integers(0, 2)))
def test_any_labels_there_and_back(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    clip = ClipInfo("a", (9, 11), frame_count=3)
    found = read_cvat(_write(tmp_path_factory.getbasetemp() / "a.xml", clip, dict(enumerate(stack))), clip)
    for index, frame in enumerate(stack):
        # Where two lesions interlock, the filled holes of one may hide pixels of the other.
        assert _iou(found.mask(index), frame > 0) >= 0.98 or not frame.any()


def test_labels_are_chosen(tmp_path: Path, clip: ClipInfo, caplog: pytest.LogCaptureFixture) -> None:
    box = '<box frame="5" xtl="0" ytl="0" xbr="80" ybr="60"/>'
    tracks = track("polyp", polygon(3), polygon(4, more=OUTSIDE)) + track(
        "tool", polygon(3, 20), polygon(4, 20), polygon(5, more=OUTSIDE)
    )
    path = write(tmp_path, of_task(tracks + track("bleeding", box, box.replace('"5"', '"6" outside="1"'))))
    with caplog.at_level(logging.WARNING):
        found = read_cvat(path, clip)
    assert left_edges(found) == {0: [], 1: [], 2: [], 3: [0], 6: [], 7: [], 8: []}
    assert found.reading.labels == {"polyp": 1} and found.reading.left_alone == [4, 5]
    assert found.reading.left_out == {"label 'tool'": 2, "label 'bleeding'": 1}
    assert "taken as polyps: polyp (1); left out: label 'tool' (2), label 'bleeding' (1); left alone" in caplog.text
    known = read_cvat(path, clip, labels={"polyp": "polyp", "tool": None, "bleeding": None})
    assert left_edges(known) == {3: [0]} | {index: [] for index in (0, 1, 2, 4, 5, 6, 7, 8)}
    assert known.reading.left_alone == []
    with pytest.raises(UnclearLabels, match=r"has no label 'Polyp': choose .* 'polyp' \(1\), 'tool' \(2\)"):
        read_cvat(path, clip, labels="Polyp")


def test_a_label_that_may_be_a_polyp_is_a_question(tmp_path: Path, clip: ClipInfo) -> None:
    path = write(tmp_path, of_task(track("lesion", polygon(3)) + track("tool", polygon(3))))
    with pytest.raises(UnclearLabels, match="does not say which labels are polyps: choose labels=NAME") as caught:
        read_cvat(path, clip)
    assert caught.value.details == {"labels": {"lesion": 1, "tool": 1}}


SHAPE = '<track label="polyp"><polygon frame="{}" points="{}"/></track>'
ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>'
BAD_FILES = [
    ("no XML", "x", r"is not XML, or is cut off \(syntax error.*\); export it from CVAT again"),
    ("cut off", "<annotations><track>", "is not XML, or is cut off"),
    ("a web page", "<!doctype html><html><br></html>", "is not XML, or is cut off"),
    ("another XML", "<html></html>", "it starts with <html>; export 'CVAT for video 1.1' from CVAT, or COCO"),
    (
        "Pascal VOC",
        "<annotation></annotation>",
        r"starts with <annotation> \(Pascal VOC or labelme\); export 'CVAT for",
    ),
    (
        "no attribute frame",
        '<track><polygon points="0,0;1,1"/></track>',
        "<polygon> has no 'frame'; export it from CV",
    ),
    ("no centre", '<track><ellipse frame="3" cy="1" rx="1" ry="1"/></track>', "<ellipse> of frame 3 has no 'cx'"),
    ("CVAT for images", '<annotations><image id="0"/></annotations>', "export the task as 'CVAT for video 1.1'"),
    (
        "CVAT for images, with shapes",
        '<annotations><image id="0"><polygon label="polyp" points="1,1;5,1;5,5"/></image></annotations>',
        "export the task as 'CVAT for video 1.1'",
    ),
    ("an archive", "PK\3\4...", "is a ZIP archive; unpack it"),
    ("entities", ENTITIES, "cannot be read as CVAT's XML"),
    ("a frame too far", SHAPE.format(9, "0,0;1,1"), "frame 9 is not in 'case1/part2', which has 9 frames"),
    ("no frame", SHAPE.format("", "0,0;1,1"), "which is no whole number; export"),
    ("a huge number", SHAPE.format("9" * 5000, "0,0;1,1"), "which is no whole number; export"),
    ("no points", SHAPE.format(1, ""), "needs an x and a y for each point"),
    ("an odd number", SHAPE.format(1, "0,0;1"), "needs an x and a y for each point"),
    ("nan", SHAPE.format(1, "0,0;1,nan"), "not within 1000000 pixels"),
    ("far away", SHAPE.format(1, "0,0;1,1e9"), "not within 1000000 pixels"),
    (
        "a mask outside",
        '<track label="polyp"><mask frame="1" rle="4" left="79" top="0" width="2" height="2"/></track>',
        "beyond the frame",
    ),
    (
        "a damaged mask",
        '<track><mask frame="1" rle="5" left="0" top="0" width="2" height="2"/></track>',
        r"cannot be read as CVAT's XML \(the run lengths do not add up to 4 pixels\): export it again",
    ),
]


@pytest.mark.parametrize(("_", "content", "message"), BAD_FILES, ids=[case[0] for case in BAD_FILES])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, content: str, message: str) -> None:
    path = tmp_path / "b.xml"
    path.write_text(f"<annotations>{content}</annotations>" if content.startswith("<track") else content)
    with pytest.raises(InputError, match=message) as caught:
        read_cvat(path, clip)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
@settings(max_examples=200)
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
    tracks = f'<track label="polyp">{ElementTree.tostring(shape, encoding="unicode")}</track>'
    try:
        labels = read_cvat(write(tmp_path_factory.getbasetemp(), of_task(tracks)), ClipInfo("a", (6, 8), 9))
        assert all(labels[index].shape == (6, 8) for index in labels)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100)
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
