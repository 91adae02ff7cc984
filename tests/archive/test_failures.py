"""How often videos have failed."""

from __future__ import annotations

from pathlib import Path

from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.videos import ArchiveVideo

A, B = ArchiveVideo("a.mp4", "/in/a.mp4", 5), ArchiveVideo("b.mp4", "/in/b.mp4", 5)


def test_three_failures_set_a_video_aside_over_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    first = Failures(path)
    first.add(A, "cut off")
    first.add(B, "cut off")
    first.add(A, "cut off")
    assert not first.is_set_aside(A)
    second = Failures(path)
    second.add(A, "its worker died")
    assert second.is_set_aside(A) and not second.is_set_aside(B)
    assert second.reason(A) == "its worker died (3 tries)"
    assert Failures(path).is_set_aside(A)


def test_another_video_of_the_name_has_not_failed(tmp_path: Path) -> None:
    failures = Failures(tmp_path / "failures.jsonl")
    for _ in range(3):
        failures.add(A, "cut off")
    assert not failures.is_set_aside(ArchiveVideo("a.mp4", "/in/a.mp4", 6))
    assert not failures.is_set_aside(ArchiveVideo("a.mp4", "/in/of/another/site/a.mp4", 5))


def test_the_failures_of_some_videos_can_be_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    for video in (A, B) * 3:
        Failures(path).add(video, "cut off")
    failures = Failures(path, forget=[A])
    assert not failures.is_set_aside(A) and failures.is_set_aside(B)
    assert path.read_text().count("a.mp4") == 0 and len(path.read_text().splitlines()) == 3


def test_a_line_that_a_crash_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "failures.jsonl"
    Failures(path).add(A, "cut off")
    with path.open("a") as file:
        file.write('{"video": "a.m')
    for _ in range(2):
        Failures(path).add(A, "cut off")
    assert Failures(path).is_set_aside(A)
