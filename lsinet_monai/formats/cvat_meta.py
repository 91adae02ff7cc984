"""What CVAT's XML says about itself: its tasks, and which of them is a clip's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from lsinet_monai.errors import InputError
from lsinet_monai.formats.clip_labels import ClipInfo, Reading
from lsinet_monai.formats.frame_names import find_video

__all__ = ["Meta", "Task", "choose_task", "read_meta"]


@dataclass(frozen=True)
class Task:
    """A task, or a job: a video in CVAT, or a part of it.

    Args:
        id: its number, as tracks of a project give it.
        name: its name.
        source: the video file that it was made from; empty if unknown.
        size: height and width of its frames, if known.
        frames: the indices of its frames in the video.
        offset: the number that CVAT adds to the indices in a project's file: the frames of the earlier tasks.
        is_video: whether its frames are those of a video file, and not pictures, which CVAT sorts itself.
    """

    id: str
    name: str
    source: str
    size: tuple[int, int] | None
    frames: range
    offset: int = 0
    is_video: bool = True


@dataclass(frozen=True)
class Meta:
    """The header of a file: its tasks, and the labels that it declares."""

    tasks: list[Task]
    labels: list[str]
    is_project: bool


def read_meta(meta: ElementTree.Element) -> Meta:
    """Read ``<meta>``: a project has several tasks; the file of a task or a job has one.

    Raises:
        ValueError: if a number is damaged.
    """
    labels = [label.findtext("name") or "" for label in meta.iter("label")]
    project = meta.find("project")
    if project is None:
        found = [element for tag in ("task", "job") for element in meta.findall(tag)]
        # For a job, CVAT writes the size and the source next to the job, not in it.
        return Meta([_read_task(element, meta) for element in found], labels, is_project=False)
    tasks: list[Task] = []
    ends: dict[str, int] = {}
    for element in project.iter("task"):
        subset = element.findtext("subset") or ""
        tasks.append(_read_task(element, element, ends.get(subset, 0)))
        # CVAT numbers the frames of a subset through all its tasks.
        frames = tasks[-1].frames
        ends[subset] = ends.get(subset, 0) + frames.start + frames.step * len(frames)
    return Meta(tasks, labels, is_project=True)


def _read_task(element: ElementTree.Element, around: ElementTree.Element, offset: int = 0) -> Task:
    def text(name: str) -> str:
        return (element.findtext(name) or around.findtext(name) or "").strip()

    size = next((found for e in (element, around) if (found := e.find("original_size")) is not None), None)
    step = re.fullmatch("step=([0-9]{1,9})", text("frame_filter"))
    first, last = max(int(text("start_frame") or 0), 0), int(text("stop_frame") or -1)
    return Task(
        id=text("id"),
        name=text("name"),
        source=text("source"),
        size=None if size is None else (int(size.findtext("height") or ""), int(size.findtext("width") or "")),
        frames=range(first, last + 1, max(int(step[1]) if step else 1, 1)),
        offset=offset,
        is_video=text("mode") != "annotation",
    )


def choose_task(meta: Meta, task_ids: Iterable[str | None], clip: ClipInfo, reading: Reading) -> Task | None:
    """Choose the clip's task: the only one, or the one whose video or else whose name is that of the clip.

    Args:
        meta: the header.
        task_ids: the tasks of the file's tracks.
        clip: the clip.
        reading: gets notes.

    Returns:
        The task; None if the file names none.

    Raises:
        InputError: if it is unclear which task is the clip's, or its frames are not those of the clip.
    """
    ids = set(task_ids)
    if len(meta.tasks) > 1 or len(ids - {None}) > 1:
        task = _task_of_clip(meta, clip)
        if None in ids:
            raise InputError("has several tasks and a track without task_id; export the task of this video alone")
    elif meta.tasks:
        task = meta.tasks[0]
    else:
        reading.notes.append("the file does not say which frames it is about, nor their size: check that it fits")
        return None
    _check_size(task, clip, reading)
    name = task.source or (task.name if meta.is_project else "")
    if name and not find_video([name], clip.name):
        reading.notes.append(f"the file was made from {name!r}, not from '{clip.name}'")
    if task.frames and task.frames[-1] >= clip.frame_count:
        reading.notes.append(f"the file has frames up to {task.frames[-1]}, '{clip.name}' up to {clip.frame_count - 1}")
    if not task.is_video and not clip.files:
        reading.notes.append(f"the task was made from pictures: check that they are the frames of '{clip.name}'")
    if not task.is_video and list(clip.files.values()) != sorted(clip.files.values()):
        raise InputError(
            "numbers pictures in the order of CVAT (image10 before image9) and gives no names; export COCO, which "
            "names the pictures"
        )
    return task


def _task_of_clip(meta: Meta, clip: ClipInfo) -> Task:
    by: Mapping[str, list[str]] = {
        "source": [task.source for task in meta.tasks],
        "name": [task.name for task in meta.tasks],
    }
    for field, names in by.items():
        found = find_video(names, clip.name)
        if len(found) == 1:
            return next(task for task in meta.tasks if getattr(task, field) == found[0])
    listed = ", ".join(f"{task.id} ({task.source or task.name!r})" for task in meta.tasks)
    raise InputError(
        f"holds the tasks {listed or 'of several videos'}, and not exactly one of them is of '{clip.name}'; export the "
        "task of this video alone"
    )


def _check_size(task: Task, clip: ClipInfo, reading: Reading) -> None:
    if task.size is None:
        reading.notes.append("the file does not give the size of its frames: check that the masks fit")
    elif task.size != clip.size:
        raise InputError(clip.mismatch(task.size))
