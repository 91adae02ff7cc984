from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, ClipLabels
from lsinet_monai.formats.cvat_tracks import CvatFile
from lsinet_monai.formats.labels import Labels
from tests.formats.cvat_files import OUTSIDE, left_edges, of_task, polygon, track


def read_labels(content: str, clip: ClipInfo, labels: Labels | None = None) -> ClipLabels:
    file = CvatFile()
    for event, element in ElementTree.iterparse(io.StringIO(content), events=("start", "end")):
        file.take(event, element)
    return file.labels(clip, labels)


SHAPES = [
    ("polygon", 'polygon points="2,1;4,1;4,3;2,3"', (slice(1, 3), slice(2, 4))),
    ("ellipse", 'ellipse cx="3" cy="2" rx="1.3" ry="1.3"', (slice(1, 3), slice(2, 4))),
    ("mask", 'mask rle="0, 4" left="2" top="1" width="2" height="2"', (slice(1, 3), slice(2, 4))),
    ("outside", 'polygon outside="1" points="2,1;4,1;4,3"', (slice(0), slice(0))),
    ("outside, by other tools", 'polygon outside="True" points="2,1;4,1;4,3"', (slice(0), slice(0))),
]


@pytest.mark.parametrize(("_", "shape", "inside"), SHAPES, ids=[case[0] for case in SHAPES])
def test_shapes(clip: ClipInfo, _: str, shape: str, inside: tuple[slice, slice]) -> None:
    expected = np.zeros(clip.size, np.int32)
    expected[inside] = 1
    content = of_task(f'<track id="0" label="polyp"><{shape} frame="4"/></track>')
    np.testing.assert_array_equal(read_labels(content, clip)[4], expected)


NO_MASKS = [
    ("points", '<points frame="{}" points="1,1"/>', "1 points"),
    ("a line", '<polyline frame="{}" points="2,1;4,1;4,3"/>', "1 polyline"),
    ("a box", '<box frame="{}" xtl="2" ytl="1" xbr="4" ybr="3"/>', "1 box"),
    ("a skeleton", '<skeleton frame="{}"><points frame="4" points="1,1"/></skeleton>', "1 skeleton"),
    ("a box among polygons", '<polygon frame="3" points="2,1;4,1;4,3"/><box frame="{}" xtl="2"/>', "1 box"),
]


@pytest.mark.parametrize(("_", "shapes", "found"), NO_MASKS, ids=[case[0] for case in NO_MASKS])
def test_what_is_no_mask_is_refused(clip: ClipInfo, _: str, shapes: str, found: str) -> None:
    content = of_task(f'<track label="polyp">{shapes.format(4)}</track>')
    with pytest.raises(InputError, match=rf"that are no masks \({found}, first in frame 4\); draw polygons or masks"):
        read_labels(content, clip)
    read_labels(of_task(f'<track label="tool">{shapes.format(4)}</track>'), clip, labels={"tool": None})


def test_lesions_of_a_file_that_people_changed(clip: ClipInfo) -> None:
    found = [("polyp", "7"), ("polyp", None), ("tool", ""), ("polyp", "7"), ("polyp", "-1")]
    tracks = "".join(
        track(
            label,
            polygon(frame, inner=f'<attribute name="lesion">{lesion}</attribute>' if lesion is not None else ""),
            polygon(frame + 1, more=OUTSIDE),
        )
        for frame, (label, lesion) in enumerate(found)
    )
    content = of_task(tracks)
    both = read_labels(content, clip, labels=["polyp", "tool"])
    assert [labels.max() for labels in both.values()] == [7, 8, 9, 7, 10, 0, 0, 0, 0]
    only = read_labels(content, clip, labels={"tool": "polyp", "polyp": None})
    assert [labels.max() for labels in only.values()] == [0, 0, 8] + [0] * 6
    one = read_labels(content, clip, labels={"tool": 3, "polyp": None})
    assert [labels.max() for labels in one.values()] == [0, 0, 3] + [0] * 6


KEY_FRAMES = [
    ("to the next key frame", [polygon(0), polygon(4, 9), polygon(6, 9, OUTSIDE)], [0, 0, 0, 0, 9, 9]),
    ("to the end", [polygon(6, 9)], [None] * 6 + [9, 9, 9]),
    ("out of order", [polygon(4, 9), polygon(5, more=OUTSIDE), polygon(2)], [None, None, 0, 0, 9]),
    (
        "with frames that CVAT interpolated",
        [polygon(0), polygon(1, 5, 'keyframe="0"'), polygon(2, 9)],
        [0, 5] + [9] * 7,
    ),
    (
        "twice",
        [polygon(1), polygon(3, 0, OUTSIDE), polygon(5), polygon(6, 0, OUTSIDE)],
        [None, 0, 0, None, None, 0],
    ),
]


@pytest.mark.parametrize(("_", "shapes", "edges"), KEY_FRAMES, ids=[case[0] for case in KEY_FRAMES])
def test_polygons_stay_until_the_next_key_frame(
    clip: ClipInfo, _: str, shapes: list[str], edges: list[int | None]
) -> None:
    found = read_labels(of_task(track("polyp", *shapes)), clip)
    edges = edges + [None] * (9 - len(edges))
    assert left_edges(found) == {index: [] if edge is None else [edge] for index, edge in enumerate(edges)}
    found = read_labels(f"<annotations>{track('polyp', *shapes)}</annotations>", clip)
    assert left_edges(found) == {index: [edge] for index, edge in enumerate(edges) if edge is not None}
    assert "does not say which frames it is about" in found.reading.notes[0]


STILL = "{} masks between key frames repeat the one before, as CVAT shows them"
MOVING = (
    "{} masks between key frames repeat the one before, while CVAT would move it towards the next: check them, or "
    "export from CVAT, which writes every frame"
)
ELLIPSE = '<ellipse frame="{}" cx="9" cy="9" rx="4" ry="{}"/>'
MASK = '<mask frame="{}" rle="0,4" left="{}" top="1" width="2" height="2"/>'
END = polygon(8, more=OUTSIDE)
COPIES = [
    ("every frame", [polygon(7), END], []),
    ("to the end", [polygon(6)], [STILL.format(2)]),
    ("in place", [polygon(2), polygon(5), END], [STILL.format(4)]),
    ("moving", [polygon(2), polygon(5, 9), polygon(6, more=OUTSIDE)], [MOVING.format(2)]),
    ("moving, then in place", [polygon(2), polygon(5, 9), END], [STILL.format(2), MOVING.format(2)]),
    ("an ellipse that grows", [ELLIPSE.format(2, 3), ELLIPSE.format(4, 5), END], [STILL.format(3), MOVING.format(1)]),
    ("another shape", [polygon(2), ELLIPSE.format(7, 3), END], [MOVING.format(4)]),
    ("masks, which stay", [MASK.format(2, 1), MASK.format(7, 9), END], [STILL.format(4)]),
]


@pytest.mark.parametrize(("shapes", "notes"), [case[1:] for case in COPIES], ids=[case[0] for case in COPIES])
def test_what_is_repeated_is_said(clip: ClipInfo, shapes: list[str], notes: list[str]) -> None:
    assert read_labels(of_task(track("polyp", *shapes)), clip).reading.notes[1:] == notes


def test_other_elements_are_left_out(clip: ClipInfo) -> None:
    content = of_task('<tag label="polyp" frame="2"/>' + track("polyp", polygon(3), '<tag frame="5"/>', END))
    found = read_labels(content, clip)
    assert left_edges(found) == {index: [0] if 3 <= index < 8 else [] for index in range(9)}
    assert found.reading.left_out == {"elements <tag>": 2}
    found = read_labels(of_task(track("polyp", '<tag frame="5"/>')), clip)
    assert found.reading.left_out == {"elements <tag>": 1} and not any(frame.any() for frame in found.values())


def test_the_frames_of_a_job(clip: ClipInfo) -> None:
    job = "<job><id>7</id><start_frame>2</start_frame><stop_frame>5</stop_frame></job>"
    for tracks, expected in (
        (track("polyp", polygon(3), polygon(4, more=OUTSIDE)), {2: [], 3: [0], 4: [], 5: []}),
        (track("polyp", polygon(4)), {2: [], 3: [], 4: [0], 5: [0]}),
        (track("polyp", polygon(0)), "frame 0, which is not one of its own frames, 2 to 5"),
    ):
        content = f"<annotations><meta>{job}</meta>{tracks}</annotations>"
        if isinstance(expected, dict):
            assert left_edges(read_labels(content, clip)) == expected
        else:
            with pytest.raises(InputError, match=expected):
                read_labels(content, clip)


def _project(*tasks: tuple[int, str, str, int], tracks: str) -> str:
    found = "".join(
        f"<task><id>{id}</id><name>{id}</name><subset>{subset}</subset><start_frame>0</start_frame>"
        f"<stop_frame>{frames - 1}</stop_frame><source>{source}</source></task>"
        for id, source, subset, frames in tasks
    )
    return f"<annotations><meta><project><tasks>{found}</tasks></project></meta>{tracks}</annotations>"


def _of_task(id: int, frame: int, x: int) -> str:
    return track("polyp", polygon(frame, x), polygon(frame + 1, x, OUTSIDE), more=f'task_id="{id}"')


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
    ("a track of nobody", TWO, "a.mp4", _of_task(1, 3, 0) + track("polyp", polygon(3)), "a track without task_id"),
]


@pytest.mark.parametrize(("_", "tasks", "name", "tracks", "expected"), PROJECTS, ids=[case[0] for case in PROJECTS])
def test_a_project_holds_several_videos(
    _: str, tasks: tuple, name: str, tracks: str, expected: dict[int, list[int]] | str
) -> None:
    content, clip = _project(*tasks, tracks=tracks), ClipInfo(name, (60, 80), 9)
    if isinstance(expected, dict):
        found = read_labels(content, clip)
        assert {index: edges for index, edges in left_edges(found).items() if edges} == expected and len(found) == 9
        assert len(found.reading.left_out) == 1
    else:
        with pytest.raises(InputError, match=expected):
            read_labels(content, clip)


def test_a_score_of_somebody_else(clip: ClipInfo) -> None:
    score = '<attribute name="score">good</attribute>'
    found = read_labels(of_task(track("polyp", polygon(3, inner=score))), clip)
    assert found[3].any() and found.attributes(3) == {1: {"score": "good"}}


NO_FIT = [
    ("shares of the frame", "0.1,0.1;0.5,0.1;0.5,0.5", "between 0 and 1; export them in pixels"),
    ("of a larger frame", "10,10;500,10;500,400", "far beyond the frame of 80x60"),
    ("no pixel", "10.1,10.1;10.2,10.1;10.2,10.2", "covers no pixel"),
    ("a line", "10,10;30,10", "covers no pixel"),
]


@pytest.mark.parametrize(("_", "points", "message"), NO_FIT, ids=[case[0] for case in NO_FIT])
def test_polygons_that_do_not_fit(clip: ClipInfo, _: str, points: str, message: str) -> None:
    shape = f'<polygon frame="4" points="{points}"/>'
    found = read_labels(of_task(track("polyp", shape)), clip)
    with pytest.raises(InputError, match=f"the polygon of frame 4 .*{message}"):
        found[4]


def test_a_polygon_with_half_a_point_is_refused(clip: ClipInfo) -> None:
    shape = '<polygon frame="4" points="10,10;30,10;30"/>'
    with pytest.raises(InputError, match="has 5 numbers, and needs an x and a y for each point; draw it again"):
        read_labels(of_task(track("polyp", shape)), clip)


def test_elements_are_freed_after_use() -> None:
    file = CvatFile()
    content = io.StringIO(of_task(2 * track("polyp", polygon(0), polygon(1))))
    opened = []
    for event, element in ElementTree.iterparse(content, events=("start", "end")):
        opened.append(element)
        file.take(event, element)
        assert event == "start" or element.tag != "polygon" or not element.attrib
        assert event == "start" or element.tag != "track" or not len(opened[0])


def test_single_shapes_are_no_tracks(clip: ClipInfo) -> None:
    """CVAT writes each as a track of one frame. Longer tracks keep their ids, and so do lesions with a number."""
    single = [track("polyp", polygon(frame, 9), polygon(frame + 1, 9, OUTSIDE)) for frame in (1, 2, 3)]
    long = track("polyp", polygon(1), polygon(2), polygon(3, 0, OUTSIDE))
    numbered = track("polyp", polygon(4, 0, "", '<attribute name="lesion">300</attribute>'), polygon(5, 0, OUTSIDE))
    assert read_labels(of_task("".join([*single, long])), clip).reading.ids == {1}
    labels = read_labels(of_task("".join([*single, long, numbered])), clip)
    assert labels.reading.ids == {1, 2} and list(labels.attributes(1)) == [3, 2] and list(labels.attributes(4)) == [1]
    assert read_labels(of_task(single[0] + long), clip).reading.ids == {1, 2}
