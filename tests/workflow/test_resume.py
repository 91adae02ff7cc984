from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.data import Clip, ResumePoint
from lsinet_monai.errors import InputError
from lsinet_monai.workflow import remaining_clips
from tests.clip_runs import CLIPS, piece, run


def test_what_remains_after_another_error(tmp_path: Path) -> None:
    pieces = [piece("a/b", 0, 1, True), piece("case1", 0, 2, False), piece("out of memory", 0, 1, True)]
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path, *pieces, save_frames=1, settings={"adjacent": "next"})
    case1, _, video = CLIPS
    settings = {"adjacent": "next"}
    assert remaining_clips(CLIPS, tmp_path, True, settings) == [replace(case1, resume=ResumePoint(2, 2)), video]
    with pytest.raises(InputError, match=r"'case1' was begun with adjacent='next'.*'previous'.*--overwrite"):
        remaining_clips(CLIPS, tmp_path, True, {"adjacent": "previous"})
    with pytest.raises(InputError, match="'a/b' was begun with adjacent='next'"):
        remaining_clips(CLIPS[1:], tmp_path, True, {"adjacent": "previous"})
    assert remaining_clips(CLIPS, tmp_path, False, settings) == CLIPS
    assert remaining_clips(CLIPS, tmp_path, True, settings) == CLIPS


def test_a_clip_that_breaks_off_can_be_resumed(tmp_path: Path) -> None:
    pieces = piece("case1", 0, 2, False), piece("a/b", 0, 1, True), piece("video", 0, 1, False)
    settings = {"adjacent": "next"}
    run(tmp_path, *pieces, save_frames=1, settings=settings)
    remaining = remaining_clips(CLIPS, tmp_path, True, settings)
    assert {clip.clip_id: clip.resume for clip in remaining} == {
        "case1": ResumePoint(2, 2),
        "video": ResumePoint(1, 1),
    }


def test_another_clip_of_the_same_name_is_not_taken_for_the_one_that_is_done(tmp_path: Path) -> None:
    settings = {"threshold": 0.5}
    run(tmp_path, piece("a/b", 0, 1, True), settings=settings)
    assert remaining_clips(CLIPS[1:2], tmp_path, True, settings) == []
    other = Clip("a/b", image=["elsewhere/0.png", "elsewhere/1.png"])
    with pytest.raises(InputError, match="'a/b' was begun with source='1 frames', and this run has '2 frames'"):
        remaining_clips([other], tmp_path, True, settings)


# settings as an earlier version recorded them, and those of a run that resumes
OLD_SETTINGS = [
    ({"write_csv": False, "write_coco": False, "write_cvat": False, "write_stack": None}, []),
    ({"write_csv": True, "write_coco": False, "write_cvat": True, "write_stack": "nrrd"}, ["csv", "cvat", "nrrd"]),
]


@pytest.mark.parametrize(("old", "exports"), OLD_SETTINGS)
def test_a_run_of_an_earlier_version_is_resumed(tmp_path: Path, old: dict[str, Any], exports: list[str]) -> None:
    pieces = piece("a/b", 0, 1, True), piece("case1", 0, 2, False)
    run(tmp_path, *pieces, save_frames=1, settings={"threshold": 0.5, **old})
    settings = {"threshold": 0.5, "exports": exports, "model_sha256": "0a1b"}
    (case1,) = remaining_clips(CLIPS[:2], tmp_path, True, settings)
    assert (case1.clip_id, case1.resume) == ("case1", ResumePoint(2, 2))
    for clip, name in zip(CLIPS, ("case1", "a/b"), strict=False):
        with pytest.raises(InputError, match=f"'{name}' was begun with exports="):
            remaining_clips([clip], tmp_path, True, {"threshold": 0.5, "exports": ["coco"]})


def test_a_run_of_another_model_under_the_same_name_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, piece("case1", 0, 2, False), save_frames=1, settings={"model_sha256": "0a1b"})
    with pytest.raises(InputError, match="begun with model_sha256='0a1b', and this run has '2c3d'"):
        remaining_clips(CLIPS[:1], tmp_path, True, {"model_sha256": "2c3d"})
