from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo
from lsinet_monai.formats.clip_labels import Reading
from lsinet_monai.formats.cvat_meta import Meta, Task, choose_task, read_meta

SIZE = "<original_size><width>80</width><height>60</height></original_size>"


def _read(content: str) -> Meta:
    return read_meta(ElementTree.fromstring(f"<meta>{content}</meta>"))


# what it is, the header, the task
TASKS = [
    ("a task", f"<task><id>3</id><name>t</name><mode>interpolation</mode><stop_frame>8</stop_frame>{SIZE}</task>",
     Task("3", "t", "", (60, 80), range(9))),
    ("a part of a video", "<task><id>3</id><start_frame>4</start_frame><stop_frame>8</stop_frame></task>",
     Task("3", "", "", None, range(4, 9))),
    ("every third frame",
     "<task><start_frame>1</start_frame><stop_frame>9</stop_frame><frame_filter>step=3</frame_filter></task>",
     Task("", "", "", None, range(1, 10, 3))),
    ("another filter", "<task><stop_frame>9</stop_frame><frame_filter>step=0</frame_filter></task>",
     Task("", "", "", None, range(10))),
    ("a job, with its video next to it",
     f"<job><id>7</id><start_frame>2</start_frame><stop_frame>5</stop_frame></job>{SIZE}<source>a.mp4</source>",
     Task("7", "", "a.mp4", (60, 80), range(2, 6))),
    ("pictures", "<task><mode>annotation</mode><stop_frame>1</stop_frame></task>",
     Task("", "", "", None, range(2), is_video=False)),
    ("no frames", "<task><id> 3 </id></task>", Task("3", "", "", None, range(0))),
]  # fmt: skip


@pytest.mark.parametrize(("content", "task"), [case[1:] for case in TASKS], ids=[case[0] for case in TASKS])
def test_a_task(content: str, task: Task) -> None:
    label = "<labels><label><name>polyp</name></label><label><name>tool</name></label></labels>"
    assert _read(content + label) == Meta([task], ["polyp", "tool"], is_project=False)


def test_the_frames_of_a_subset_are_counted_through_its_tasks() -> None:
    tasks = "".join(
        f"<task><id>{id}</id><subset>{subset}</subset><start_frame>{start}</start_frame>"
        f"<stop_frame>{stop}</stop_frame></task>"
        for id, subset, start, stop in ((1, "Train", 0, 8), (2, "Val", 0, 3), (3, "Train", 2, 4), (4, "Train", 0, 1))
    )
    meta = _read(f"<project><tasks>{tasks}</tasks></project>")
    assert meta.is_project and [(task.id, task.offset) for task in meta.tasks] == [
        ("1", 0), ("2", 0), ("3", 9), ("4", 14),
    ]  # fmt: skip


@pytest.mark.parametrize("content", [
    "<stop_frame>x</stop_frame>",
    f"<stop_frame>{'9' * 5000}</stop_frame>",
    "<original_size><width>80</width></original_size>",
])  # fmt: skip
def test_a_damaged_number_is_refused(content: str) -> None:
    with pytest.raises(ValueError):
        _read(f"<task>{content}</task>")


def _task(id: str = "1", name: str = "", source: str = "a.mp4", stop: int = 9) -> Task:
    return Task(id, name, source, (60, 80), range(stop))


VIDEO = ClipInfo("a.mp4", (60, 80), 9)
FIRST, SECOND = _task("1", source="a.mp4"), _task("2", source="b.mp4")
NAMED = [_task("1", "a", source=""), _task("2", "b", source="")]

# what it is, the tasks, those of the tracks, the task that is chosen
CHOSEN = [
    ("the only task", [SECOND], [None], SECOND),
    ("the task of the video", [FIRST, SECOND], ["1", "2"], FIRST),
    ("a video of another suffix next to it", [_task("1", source="a.avi"), FIRST], ["1", "2"], FIRST),
    ("the task of the name", NAMED, ["1", "2"], NAMED[0]),
    ("no task", [], [None], None),
]


@pytest.mark.parametrize(("tasks", "ids", "chosen"), [case[1:] for case in CHOSEN], ids=[case[0] for case in CHOSEN])
def test_the_task_of_a_clip(tasks: list[Task], ids: list[str | None], chosen: Task | None) -> None:
    assert choose_task(Meta(tasks, [], is_project=True), ids, VIDEO, Reading()) == chosen


TWICE = [_task("1", source="x/a.mp4"), _task("2", source="y/a.mp4")]
UNCLEAR = [
    (
        "no task of the clip",
        [SECOND, _task("3", "c", "")],
        ["2"],
        r"the tasks 2 \('b\.mp4'\), 3 \('c'\), and not",
    ),
    ("two tasks of the clip", TWICE, ["1"], "not exactly one of them is of 'a.mp4'; export the task of this video"),
    ("tracks of several tasks", [], ["1", "2"], "holds the tasks of several videos"),
    ("a track of no task", [FIRST, SECOND], ["1", None], "a track without task_id; export the task of this video"),
]


@pytest.mark.parametrize(("tasks", "ids", "message"), [case[1:] for case in UNCLEAR], ids=[c[0] for c in UNCLEAR])
def test_an_unclear_task_is_refused(tasks: list[Task], ids: list[str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_task(Meta(tasks, [], is_project=True), ids, VIDEO, Reading())


# what it is, the task, whether it is of a project, what the notes say
NOTES = [
    ("the clip's", _task(), False, []),
    ("another video", _task(source="other.mp4"), False, ["the file was made from 'other.mp4', not from 'a.mp4'"]),
    ("another name of a task", _task(name="today", source=""), False, []),
    ("another name in a project", _task(name="today", source=""), True, ["was made from 'today', not from 'a.mp4'"]),
    ("a longer video", _task(stop=21), False, ["the file has frames up to 20, 'a.mp4' up to 8"]),
    ("no size", Task("1", "", "a.mp4", None, range(9)), False, ["does not give the size of its frames"]),
    (
        "pictures",
        Task("1", "", "a.mp4", (60, 80), range(9), is_video=False),
        False,
        ["the task was made from pictures: check that they are the frames of 'a.mp4'"],
    ),
    ("no task", None, False, ["does not say which frames it is about, nor their size"]),
]


@pytest.mark.parametrize(("task", "is_project", "notes"), [case[1:] for case in NOTES], ids=[case[0] for case in NOTES])
def test_notes(task: Task | None, is_project: bool, notes: list[str]) -> None:
    reading = Reading()
    choose_task(Meta([task] if task else [], [], is_project), ["1"], VIDEO, reading)
    assert len(reading.notes) == len(notes)
    assert all(text in note for text, note in zip(notes, reading.notes, strict=True))


def test_another_clip_s_size_is_refused() -> None:
    task = Task("1", "", "", (80, 60), range(9))
    with pytest.raises(InputError, match=r"is 60x80 \(width x height\), the frames of 'a\.mp4' are 80x60"):
        choose_task(Meta([task], [], is_project=False), [None], VIDEO, Reading())


@pytest.mark.parametrize(("files", "is_clear"), [
    ({0: "image09.jpg", 1: "image10.jpg"}, True),
    ({0: "image9.jpg", 1: "image10.jpg"}, False),
])  # fmt: skip
def test_pictures_that_cvat_sorted(files: Mapping[int, str], is_clear: bool) -> None:
    clip = ClipInfo("a", (60, 80), 2, files=files)
    meta = Meta([Task("1", "", "", (60, 80), range(2), is_video=False)], [], is_project=False)
    if is_clear:
        assert choose_task(meta, [None], clip, Reading()) == meta.tasks[0]
    else:
        with pytest.raises(InputError, match="export COCO, which names the pictures"):
            choose_task(meta, [None], clip, Reading())
