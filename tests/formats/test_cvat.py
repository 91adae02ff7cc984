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
from lsinet_monai.formats import ClipInfo, ClipLabels, UnclearLabels, read_cvat, write_cvat
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


@settings(max_examples=50)
@given(arrays(np.int32, (3, 9, 11), elements=st.integers(0, 2)))
def test_any_labels_there_and_back(tmp_path_factory: pytest.TempPathFactory, stack: np.ndarray) -> None:
    clip = ClipInfo("a", (9, 11), frame_count=3)
    found = read_cvat(_write(tmp_path_factory.getbasetemp() / "a.xml", clip, dict(enumerate(stack))), clip)
    for index, frame in enumerate(stack):
        # Where two lesions interlock, the filled holes of one may hide pixels of the other.
        assert _iou(found.mask(index), frame > 0) >= 0.98 or not frame.any()


SHAPES = [
    ("polygon", 'polygon points="2,1;4,1;4,3;2,3"', (slice(1, 3), slice(2, 4))),
    ("ellipse", 'ellipse cx="3" cy="2" rx="1.3" ry="1.3"', (slice(1, 3), slice(2, 4))),
    ("mask", 'mask rle="0, 4" left="2" top="1" width="2" height="2"', (slice(1, 3), slice(2, 4))),
    ("outside", 'polygon outside="1" points="2,1;4,1;4,3"', (slice(0), slice(0))),
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


NO_MASKS = [
    ("points", '<points frame="{}" points="1,1"/>', "1 points"),
    ("a line", '<polyline frame="{}" points="2,1;4,1;4,3"/>', "1 polyline"),
    ("a box", '<box frame="{}" xtl="2" ytl="1" xbr="4" ybr="3"/>', "1 box"),
    ("a skeleton", '<skeleton frame="{}"><points frame="4" points="1,1"/></skeleton>', "1 skeleton"),
    ("a box among polygons", '<polygon frame="3" points="2,1;4,1;4,3"/><box frame="{}" xtl="2"/>', "1 box"),
]


@pytest.mark.parametrize(("_", "shapes", "found"), NO_MASKS, ids=[case[0] for case in NO_MASKS])
def test_what_is_no_mask_is_refused(tmp_path: Path, clip: ClipInfo, _: str, shapes: str, found: str) -> None:
    path = _file(tmp_path, f'<track label="polyp">{shapes.format(4)}</track>')
    with pytest.raises(InputError, match=rf"that are no masks \({found}, first in frame 4\); draw polygons or masks"):
        read_cvat(path, clip)
    read_cvat(_file(tmp_path, f'<track label="tool">{shapes.format(4)}</track>'), clip, labels={"tool": None})


def _polygon(frame: int, x: int = 0, more: str = "", inner: str = "") -> str:
    """A square of 4x4 pixels whose left edge is at x."""
    points = f"{x},0;{x + 4},0;{x + 4},4;{x},4"
    return f'<polygon frame="{frame}" points="{points}" {more}>{inner}</polygon>'


def _track(label: str, *shapes: str, more: str = "") -> str:
    return f'<track label="{label}" {more}>{"".join(shapes)}</track>'


OUTSIDE = 'outside="1"'


def _left_edges(labels: ClipLabels) -> dict[int, list[int]]:
    """Each frame, and the left edges of its lesions."""
    return {
        index: sorted(int(np.flatnonzero((frame == lesion).any(0))[0]) for lesion in np.unique(frame[frame > 0]))
        for index, frame in labels.items()
    }


def test_lesions_of_a_file_that_people_changed(tmp_path: Path, clip: ClipInfo) -> None:
    found = [("polyp", "7"), ("polyp", None), ("tool", ""), ("polyp", "7"), ("polyp", "-1")]
    tracks = "".join(
        _track(
            label,
            _polygon(frame, inner=f'<attribute name="lesion">{lesion}</attribute>' if lesion is not None else ""),
            _polygon(frame + 1, more=OUTSIDE),
        )
        for frame, (label, lesion) in enumerate(found)
    )
    path = _file(tmp_path, tracks)
    both = read_cvat(path, clip, labels=["polyp", "tool"])
    assert [labels.max() for labels in both.values()] == [7, 8, 9, 7, 10, 0, 0, 0, 0]
    only = read_cvat(path, clip, labels={"tool": "polyp", "polyp": None})
    assert [labels.max() for labels in only.values()] == [0, 0, 8] + [0] * 6
    one = read_cvat(path, clip, labels={"tool": 3, "polyp": None})
    assert [labels.max() for labels in one.values()] == [0, 0, 3] + [0] * 6


def test_labels_are_chosen(tmp_path: Path, clip: ClipInfo, caplog: pytest.LogCaptureFixture) -> None:
    box = '<box frame="5" xtl="0" ytl="0" xbr="80" ybr="60"/>'
    tracks = _track("polyp", _polygon(3), _polygon(4, more=OUTSIDE)) + _track(
        "tool", _polygon(3, 20), _polygon(4, 20), _polygon(5, more=OUTSIDE)
    )
    path = _file(tmp_path, tracks + _track("bleeding", box, box.replace('"5"', '"6" outside="1"')))
    with caplog.at_level(logging.WARNING):
        found = read_cvat(path, clip)
    assert _left_edges(found) == {0: [], 1: [], 2: [], 3: [0], 6: [], 7: [], 8: []}
    assert found.reading.labels == {"polyp": 1} and found.reading.left_alone == [4, 5]
    assert found.reading.left_out == {"label 'tool'": 2, "label 'bleeding'": 1}
    assert "taken as polyps: polyp (1); left out: label 'tool' (2), label 'bleeding' (1); left alone" in caplog.text
    known = read_cvat(path, clip, labels={"polyp": "polyp", "tool": None, "bleeding": None})
    assert _left_edges(known) == {3: [0]} | {index: [] for index in (0, 1, 2, 4, 5, 6, 7, 8)}
    assert known.reading.left_alone == []
    with pytest.raises(UnclearLabels, match=r"has no label 'Polyp': choose .* 'polyp' \(1\), 'tool' \(2\)"):
        read_cvat(path, clip, labels="Polyp")


def test_a_label_that_may_be_a_polyp_is_a_question(tmp_path: Path, clip: ClipInfo) -> None:
    path = _file(tmp_path, _track("lesion", _polygon(3)) + _track("tool", _polygon(3)))
    with pytest.raises(UnclearLabels, match="does not say which labels are polyps: choose labels=NAME") as caught:
        read_cvat(path, clip)
    assert caught.value.details == {"labels": {"lesion": 1, "tool": 1}}


KEY_FRAMES = [
    ("to the next key frame", [_polygon(0), _polygon(4, 9), _polygon(6, 9, OUTSIDE)], [0, 0, 0, 0, 9, 9]),
    ("to the end", [_polygon(6, 9)], [None] * 6 + [9, 9, 9]),
    ("out of order", [_polygon(4, 9), _polygon(5, more=OUTSIDE), _polygon(2)], [None, None, 0, 0, 9]),
    (
        "with frames that CVAT interpolated",
        [_polygon(0), _polygon(1, 5, 'keyframe="0"'), _polygon(2, 9)],
        [0, 5] + [9] * 7,
    ),
    (
        "twice",
        [_polygon(1), _polygon(3, 0, OUTSIDE), _polygon(5), _polygon(6, 0, OUTSIDE)],
        [None, 0, 0, None, None, 0],
    ),
]


@pytest.mark.parametrize(("_", "shapes", "edges"), KEY_FRAMES, ids=[case[0] for case in KEY_FRAMES])
def test_polygons_stay_until_the_next_key_frame(
    tmp_path: Path, clip: ClipInfo, _: str, shapes: list[str], edges: list[int | None]
) -> None:
    found = read_cvat(_file(tmp_path, _track("polyp", *shapes)), clip)
    edges = edges + [None] * (9 - len(edges))
    assert _left_edges(found) == {index: [] if edge is None else [edge] for index, edge in enumerate(edges)}
    without_meta = tmp_path / "c.xml"
    without_meta.write_text(f"<annotations>{_track('polyp', *shapes)}</annotations>")
    found = read_cvat(without_meta, clip)
    assert _left_edges(found) == {index: [edge] for index, edge in enumerate(edges) if edge is not None}
    assert "does not say which frames it is about" in found.reading.notes[0]


def test_the_frames_of_a_job(tmp_path: Path, clip: ClipInfo) -> None:
    path = tmp_path / "job.xml"
    job = "<job><id>7</id><start_frame>2</start_frame><stop_frame>5</stop_frame></job>"
    size = "<original_size><width>{}</width><height>60</height></original_size>"
    for width, tracks, expected in (
        (80, _track("polyp", _polygon(3), _polygon(4, more=OUTSIDE)), {2: [], 3: [0], 4: [], 5: []}),
        (80, _track("polyp", _polygon(4)), {2: [], 3: [], 4: [0], 5: [0]}),
        (80, _track("polyp", _polygon(0)), "frame 0, which is not one of its own frames, 2 to 5"),
        (1920, _track("polyp", _polygon(3)), "is 1920x60"),
    ):
        path.write_text(f"<annotations><meta>{job}{size.format(width)}</meta>{tracks}</annotations>")
        if isinstance(expected, dict):
            assert _left_edges(read_cvat(path, clip)) == expected
        else:
            with pytest.raises(InputError, match=expected):
                read_cvat(path, clip)


def _project(folder: Path, *tasks: tuple[int, str, str, int], tracks: str) -> Path:
    path = folder / "project.xml"
    found = "".join(
        f"<task><id>{id}</id><name>{id}</name><subset>{subset}</subset><start_frame>0</start_frame>"
        f"<stop_frame>{frames - 1}</stop_frame><source>{source}</source></task>"
        for id, source, subset, frames in tasks
    )
    path.write_text(f"<annotations><meta><project><tasks>{found}</tasks></project></meta>{tracks}</annotations>")
    return path


def _of_task(id: int, frame: int, x: int) -> str:
    return _track("polyp", _polygon(frame, x), _polygon(frame + 1, x, OUTSIDE), more=f'task_id="{id}"')


TWO, SAME = ((1, "a.mp4", "Train", 9), (2, "b.mp4", "Val", 9)), ((1, "a.mp4", "Train", 9), (2, "b.mp4", "Train", 9))
LONG = (1, "a.mp4", "", 4), (2, "b.mp4", "", 9)
PROJECTS = [
    ("the first task", TWO, "a.mp4", _of_task(1, 3, 0) + _of_task(2, 3, 9), {3: [0]}),
    ("the second", TWO, "b.mp4", _of_task(1, 3, 0) + _of_task(2, 3, 9), {3: [9]}),
    ("counted through a subset", SAME, "b", _of_task(1, 3, 0) + _of_task(2, 12, 9), {3: [9]}),
    ("counted from 0", SAME, "b.mp4", _of_task(1, 3, 0) + _of_task(2, 3, 9), {3: [9]}),
    (
        "counted from anywhere",
        LONG,
        "b.mp4",
        _of_task(2, 5, 9),
        "does not say from where it counts the frames of task 2",
    ),
    (
        "another video",
        TWO,
        "c.mp4",
        _of_task(1, 3, 0),
        r"holds the tasks 1 \('a.mp4'\), 2 .* of 'c.mp4'; export the task",
    ),
    ("a track of nobody", TWO, "a.mp4", _of_task(1, 3, 0) + _track("polyp", _polygon(3)), "a track without task_id"),
]


@pytest.mark.parametrize(("_", "tasks", "name", "tracks", "expected"), PROJECTS, ids=[case[0] for case in PROJECTS])
def test_a_project_holds_several_videos(
    tmp_path: Path, _: str, tasks: tuple, name: str, tracks: str, expected: dict[int, list[int]] | str
) -> None:
    path, clip = _project(tmp_path, *tasks, tracks=tracks), ClipInfo(name, (60, 80), 9)
    if isinstance(expected, dict):
        found = read_cvat(path, clip)
        assert {index: edges for index, edges in _left_edges(found).items() if edges} == expected and len(found) == 9
        assert len(found.reading.left_out) == 1
    else:
        with pytest.raises(InputError, match=expected):
            read_cvat(path, clip)


def test_pictures_that_cvat_sorted(tmp_path: Path) -> None:
    clip = ClipInfo("a", (60, 80), 2, files={0: "image9.jpg", 1: "image10.jpg"})
    task = "<mode>annotation</mode><stop_frame>1</stop_frame>"
    with pytest.raises(InputError, match="export COCO, which names the pictures"):
        read_cvat(_file(tmp_path, _track("polyp", _polygon(0)), task), clip)


def test_notes_on_another_video(tmp_path: Path, clip: ClipInfo) -> None:
    task = "<stop_frame>20</stop_frame><source>other.mp4</source>"
    notes = read_cvat(_file(tmp_path, _track("polyp", _polygon(0)), task), clip).reading.notes
    assert [note for note in notes if "other.mp4" in note] and [note for note in notes if "frames up to 20" in note]


def test_a_score_of_somebody_else(tmp_path: Path, clip: ClipInfo) -> None:
    score = '<attribute name="score">good</attribute>'
    found = read_cvat(_file(tmp_path, _track("polyp", _polygon(3, inner=score))), clip)
    assert found[3].any() and found.attributes(3) == {1: {"score": "good"}}


def test_the_frames_are_the_task_s(tmp_path: Path, clip: ClipInfo) -> None:
    task = "<start_frame>1</start_frame><stop_frame>100</stop_frame><frame_filter>step=3</frame_filter>"
    assert list(read_cvat(_file(tmp_path, "", task), clip)) == [1, 4, 7]


NO_FIT = [
    ("shares of the frame", "0.1,0.1;0.5,0.1;0.5,0.5", "between 0 and 1; export them in pixels"),
    ("of a larger frame", "10,10;500,10;500,400", "far beyond the frame of 80x60"),
    ("no pixel", "10.1,10.1;10.2,10.1;10.2,10.2", "covers no pixel"),
    ("a line", "10,10;30,10", "covers no pixel"),
]


@pytest.mark.parametrize(("_", "points", "message"), NO_FIT, ids=[case[0] for case in NO_FIT])
def test_polygons_that_do_not_fit(tmp_path: Path, clip: ClipInfo, _: str, points: str, message: str) -> None:
    found = read_cvat(_file(tmp_path, SHAPE.format(4, points)), clip)
    with pytest.raises(InputError, match=f"the polygon of frame 4 .*{message}"):
        found[4]


SHAPE = '<track label="polyp"><polygon frame="{}" points="{}"/></track>'
ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><annotations>&b;</annotations>'
BAD_FILES = [
    ("no XML", "x", "cannot be read as CVAT's XML"),
    ("cut off", "<annotations><track>", "cannot be read as CVAT's XML"),
    ("another XML", "<html></html>", "starts with <html>"),
    ("CVAT for images", '<annotations><image id="0"/></annotations>', "export the task as 'CVAT for video 1.1'"),
    (
        "CVAT for images, with shapes",
        '<annotations><image id="0"><polygon label="polyp" points="1,1;5,1;5,5"/></image></annotations>',
        "export the task as 'CVAT for video 1.1'",
    ),
    ("an archive", "PK\3\4...", "is a ZIP archive; unpack it"),
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
        '<track label="polyp"><mask frame="1" rle="4" left="79" top="0" width="2" height="2"/></track>',
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
        labels = read_cvat(_file(tmp_path_factory.getbasetemp(), tracks), ClipInfo("a", (6, 8), 9))
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
