"""Who does which video, with an engine that plays its part without processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.schedule import Event, run_all
from lsinet_monai.archive.segmenter import Outcome
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

VIDEOS = [ArchiveVideo(f"{number}.mp4", f"/in/{number}.mp4", number) for number in range(1, 6)]
Plan = Callable[[ArchiveVideo, int], Outcome | str]


class Stage:
    """An engine whose workers answer at once: what a plan says of a video and of the number of its try."""

    def __init__(self, plan: Plan, rooms: Sequence[int] = (2,), starts: Sequence[Outcome | str] = ()) -> None:
        self.plan = plan
        self.rooms = list(rooms)
        self.starts = list(starts)
        self.begun: list[str] = []
        self.ended: list[int] = []
        self.resting: list[int] = []
        self.start_on: list[str] = []
        self.answers: dict[str, Outcome] = {}
        self.machines: dict[int, str] = {}
        self.workers = 0
        self.most_at_a_time = 0
        self._events: list[Event] = []

    def capacity(self) -> int:
        return (self.rooms.pop(0) if len(self.rooms) > 1 else self.rooms[0]) - len(self.resting)

    def start(self) -> int:
        self.workers += 1
        free = [name for name in self.start_on if name not in self.machines.values()]
        self.machines[self.workers] = free[0] if free else "here"
        start = self.starts.pop(0) if self.starts else Outcome("done", machine=self.machines[self.workers])
        is_ready = isinstance(start, Outcome)
        outcome, reason = (start, "") if isinstance(start, Outcome) else (None, start)
        self._events.append(Event(self.workers, "ready" if is_ready else "died", outcome, reason))
        return self.workers

    def submit(self, worker: int, video: ArchiveVideo) -> None:
        self.begun.append(video.name)
        answer = self.answers.get(self.machines[worker]) or self.plan(video, self.begun.count(video.name))
        if isinstance(answer, Outcome):
            self._events.append(Event(worker, "outcome", answer))
        else:
            self._events.append(Event(worker, "lost" if answer == "lost" else "died", reason=answer))

    def rest(self, worker: int) -> None:
        self.resting.append(worker)

    def lose_resting(self) -> None:
        """Their machine goes."""
        self._events += [Event(worker, "lost") for worker in self.resting]
        self.resting.clear()

    def end(self, worker: int) -> None:
        self.ended.append(worker)
        del self.machines[worker]

    def wait(self) -> list[Event]:
        self.most_at_a_time = max(self.most_at_a_time, len(self._events))
        events, self._events = self._events, []
        return events


def _done(video: ArchiveVideo, _: int = 1) -> Outcome:
    return Outcome("done", {"video": video.name})


@pytest.fixture
def failures(tmp_path: Path) -> Failures:
    return Failures(tmp_path / "failures.jsonl")


def _run(stage: Stage, failures: Failures) -> tuple[list[str], list[str]]:
    """Run all videos: the names of those that were done, and of those that failed, in order."""
    done: list[str] = []
    failed: list[str] = []
    run_all(stage, VIDEOS, failures, lambda row: done.append(row["video"]), lambda video: failed.append(video.name))
    return done, failed


def test_each_video_once_the_largest_first(failures: Failures) -> None:
    stage = Stage(_done)
    done, failed = _run(stage, failures)
    assert stage.begun == ["5.mp4", "4.mp4", "3.mp4", "2.mp4", "1.mp4"]
    assert sorted(done) == [video.name for video in VIDEOS] and failed == []
    assert stage.workers == stage.most_at_a_time == 2


def test_there_are_no_more_workers_than_videos_and_new_machines_are_used(failures: Failures) -> None:
    many = Stage(_done, rooms=[64])
    _run(many, failures)
    assert many.workers == 5
    growing = Stage(_done, rooms=[1, 1, 3])
    _run(growing, failures)
    assert growing.workers == 3


@pytest.mark.parametrize("answer", [Outcome("failed", reason="cut off"), Outcome("broken", reason="CUDA"), "killed"])
def test_a_video_that_fails_three_times_is_set_aside_behind_the_others(
    answer: Outcome | str, failures: Failures
) -> None:
    stage = Stage(lambda video, _: answer if video.name == "4.mp4" else _done(video))
    done, failed = _run(stage, failures)
    assert sorted(done) == ["1.mp4", "2.mp4", "3.mp4", "5.mp4"] and failed == ["4.mp4"] * 3
    assert stage.begun.index("1.mp4") < stage.begun.index("4.mp4", 2)
    assert [failures.is_set_aside(video) for video in VIDEOS] == [False, False, False, True, False]
    reason = "/in/4.mp4: its worker died (killed)" if answer == "killed" else answer.reason  # type: ignore[union-attr]
    assert failures.reason(VIDEOS[3]) == f"{reason} (3 tries)"


def test_a_worker_that_may_be_spoilt_is_replaced(failures: Failures) -> None:
    stage = Stage(lambda video, count: Outcome("broken", reason="CUDA") if count == 1 else _done(video), rooms=[1])
    done, failed = _run(stage, failures)
    assert len(done) == len(failed) == 5
    assert stage.ended == [1, 2, 3, 4, 5] and stage.workers == 6


def test_a_lost_machine_is_no_failure_of_the_video(failures: Failures) -> None:
    stage = Stage(lambda video, count: "lost" if count < 5 and video.size == 3 else _done(video))
    done, failed = _run(stage, failures)
    assert sorted(done) == [video.name for video in VIDEOS] and failed == []


def test_a_video_under_which_every_machine_is_lost_is_set_aside(failures: Failures) -> None:
    stage = Stage(lambda video, count: "lost" if video.size == 3 and count < 99 else _done(video))
    done, failed = _run(stage, failures)
    assert len(done) == 4 and failed == ["3.mp4"] * 3
    assert stage.begun.count("3.mp4") == 13
    assert failures.reason(VIDEOS[2]) == "/in/3.mp4: its worker was lost (lost) (3 tries)"


def test_a_full_disk_ends_the_run_and_is_no_failure(failures: Failures) -> None:
    full = Outcome("stop", reason="cannot write x (No space left on device): make room")
    with pytest.raises(InputError, match=r"^cannot write x .*: make room, then run the same command again$"):
        _run(Stage(lambda video, _: full if video.size == 3 else _done(video)), failures)
    assert not any(map(failures.is_set_aside, VIDEOS))


def test_workers_that_never_begin_end_the_run(failures: Failures) -> None:
    stage = Stage(_done, starts=["no memory"] * 9)
    with pytest.raises(InputError, match="3 workers in a row died before their first video: no memory"):
        _run(stage, failures)
    done, _ = _run(Stage(_done, rooms=[1], starts=["killed", "killed"]), failures)
    assert len(done) == 5


LACKING = Outcome("stop", reason="b has another file, or none, at model.pt: copy the model there")


def test_a_machine_that_lacks_something_does_no_video_and_the_others_go_on(failures: Failures) -> None:
    """Its worker rests, so that no other starts there; when the machine goes, the place is free again."""
    stage = Stage(_done, rooms=[2], starts=[Outcome("done"), LACKING])
    said: list[str] = []
    done: list[str] = []

    def on_done(row: dict[str, str]) -> None:
        done.append(row["video"])
        if len(done) == 2:
            stage.lose_resting()

    run_all(stage, VIDEOS, failures, on_done, lambda _: None, on_trouble=said.append)
    assert len(done) == 5 and said == [LACKING.reason]
    assert stage.resting == [] and stage.workers == 3


def test_machines_that_all_lack_something_end_the_run(failures: Failures) -> None:
    stage = Stage(_done, rooms=[2], starts=[LACKING, LACKING])
    with pytest.raises(InputError, match=r"^b has another file, .* copy the model there, then run the same command"):
        _run(stage, failures)
    assert stage.begun == []


def test_the_first_machine_may_lack_something(failures: Failures) -> None:
    stage = Stage(_done, rooms=[2], starts=[LACKING])
    stage.capacity = lambda: 1 if not stage.resting else 2 - len(stage.resting)  # type: ignore[method-assign]
    done, _ = _run(stage, failures)
    assert len(done) == 5


def test_a_machine_on_which_workers_die_at_once_does_not_end_a_run_in_which_others_work(failures: Failures) -> None:
    stage = Stage(_done, rooms=[2], starts=[Outcome("done"), *["no memory"] * 9])
    said: list[str] = []
    done: list[str] = []
    run_all(stage, VIDEOS, failures, lambda row: done.append(row["video"]), lambda _: None, on_trouble=said.append)
    assert len(done) == 5 and said == ["3 workers in a row died before their first video: no memory"]
    assert stage.workers == 4


def test_a_run_without_any_machine_ends(failures: Failures) -> None:
    stage = Stage(lambda video, _: "lost" if video.size < 5 else _done(video), rooms=[1, 1, 1, 0])
    with pytest.raises(InputError, match=r"^there is no machine any more that can work; the same command continues$"):
        run_all(stage, VIDEOS, failures, lambda row: None, lambda _: None, patience=0)


BREAKS = Outcome("broken", reason="CUDA error")


def test_a_machine_that_breaks_all_videos_harms_few_of_them(failures: Failures) -> None:
    """The others go on with the rest, and do those that broke."""
    videos = [ArchiveVideo(f"{number}.mp4", f"/in/{number}.mp4", 1) for number in range(60)]
    stage = Stage(_done, rooms=[2])
    stage.start_on = ["good", "bad"]
    stage.answers = {"bad": BREAKS}
    said: list[str] = []
    done: list[str] = []
    run_all(stage, videos, failures, lambda row: done.append(row["video"]), lambda _: None, on_trouble=said.append)
    assert len(done) == 60 and said == ["bad: 3 videos broke there, the last one by CUDA error"]
    assert len(stage.resting) == 1


def test_a_lone_machine_that_breaks_all_videos_ends_the_run(failures: Failures) -> None:
    videos = [ArchiveVideo(f"{number}.mp4", f"/in/{number}.mp4", 1) for number in range(60)]
    with pytest.raises(
        InputError, match=r"^10 videos broke, and none was done, the last one by CUDA error: look for what is wro"
    ):
        run_all(Stage(lambda *_: BREAKS), videos, failures, lambda row: None, lambda _: None)
    assert not any(map(failures.is_set_aside, videos))


def test_a_few_videos_that_break_are_set_aside_also_at_the_end(failures: Failures) -> None:
    """Their second and third tries come one after the other, behind all other videos."""
    videos = [ArchiveVideo(f"{number}.mp4", f"/in/{number}.mp4", 1) for number in range(40)]
    stage = Stage(lambda video, _: BREAKS if int(video.name[:-4]) < 6 else _done(video), rooms=[1])
    done: list[str] = []
    run_all(stage, videos, failures, lambda row: done.append(row["video"]), lambda _: None)
    assert len(done) == 34 and sum(map(failures.is_set_aside, videos)) == 6


def test_of_a_thousand_videos_none_is_lost_and_none_done_twice(failures: Failures) -> None:
    """20 videos are broken, and each 30th start of a video ends in the death of its worker."""
    videos = [ArchiveVideo(f"{number}.mp4", f"/in/{number}.mp4", 1 + number % 7) for number in range(1000)]
    starts = 0

    def plan(video: ArchiveVideo, _: int) -> Outcome | str:
        nonlocal starts
        starts += 1
        if starts % 30 == 0:
            return "killed"
        return Outcome("failed", reason="cut off") if int(video.name[:-4]) % 50 == 0 else _done(video)

    done: list[str] = []
    run_all(Stage(plan), videos, failures, lambda row: done.append(row["video"]), lambda _: None)
    assert len(done) == len(set(done)) == 980
    assert sorted(video.name for video in videos if failures.is_set_aside(video)) == sorted(
        {video.name for video in videos} - set(done)
    )
