from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.evaluation import Evaluation, score_folders, write_side_by_side
from lsinet_monai.evaluation.pictures import worst_frames
from lsinet_monai.writers import PREDICTION_COLOUR, TRUTH_COLOUR

SPLIT = "TestEasyDataset/Unseen"


def _shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether a line of a colour is in a picture, in spite of its compression."""
    return bool((np.abs(picture.astype(int) - colour).max(-1) < 60).sum() > 10)


def _without_frames(evaluation: Evaluation) -> Evaluation:
    clips = {key: dataclasses.replace(clip, frames={}) for key, clip in evaluation.clips.items()}
    return dataclasses.replace(evaluation, clips=clips)


def test_worst_frames_are_two_of_each_clip_the_worst_first(evaluation: Evaluation) -> None:
    frames = worst_frames(evaluation, "blurred", SPLIT)
    assert [frame.dice for frame in frames] == sorted(frame.dice for frame in frames)
    assert sorted(frame.case for frame in frames) == ["case1", "case1", "case2", "case2"]
    lowest = min(dice for clip in evaluation.results["blurred"][SPLIT].values() for dice, _, _ in clip.worst_frames)
    assert frames[0].dice == lowest
    assert all(frame.name in evaluation.clips[SPLIT, frame.case].names for frame in frames)


@pytest.mark.parametrize("method", ["blurred", "empty"])
@pytest.mark.parametrize("has_frames", [True, False])
def test_worst_frames_show_truth_and_prediction(evaluation: Evaluation, method: str, has_frames: bool) -> None:
    (frame, *_) = worst_frames(evaluation if has_frames else _without_frames(evaluation), method, SPLIT)
    with Image.open(io.BytesIO(frame.jpeg)) as image:
        picture = np.asarray(image)
    assert picture.shape == (256, 320, 3)
    assert _shows(picture, TRUTH_COLOUR) and _shows(picture, PREDICTION_COLOUR) == (method == "blurred")
    assert np.ptp(picture[:20, :20]) > 0 if has_frames else np.ptp(picture[:20, :20]) < 20


def test_a_gif_has_a_panel_for_the_truth_and_each_method(evaluation: Evaluation, tmp_path: Path) -> None:
    write_side_by_side(tmp_path / "a.gif", evaluation, SPLIT, "case1", frames_per_second=10)
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (5, (750, 222), 100)
        picture = np.asarray(gif.convert("RGB"))[22:]
    truth, blurred, empty = picture[:, :250], picture[:, 250:500], picture[:, 500:]
    assert all(_shows(panel, TRUTH_COLOUR) for panel in (truth, blurred, empty))
    assert [_shows(panel, PREDICTION_COLOUR) for panel in (truth, blurred, empty)] == [False, True, False]


def test_a_frame_without_a_map_has_a_panel(evaluation: Evaluation, tmp_path: Path) -> None:
    maps = {"blurred": {(SPLIT, "case1"): [None, *evaluation.maps["blurred"][SPLIT, "case1"][1:]]}}
    write_side_by_side(tmp_path / "a.gif", dataclasses.replace(evaluation, maps=maps), SPLIT, "case1", 10)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (500, 222)
        assert not _shows(np.asarray(gif.convert("RGB"))[22:, 250:], PREDICTION_COLOUR)


@pytest.mark.slow
def test_a_long_clip_is_shown_in_its_time(tmp_path: Path) -> None:
    for index in range(163):
        image = Image.fromarray(np.full((8, 10), index % 2 * 255, np.uint8))
        for folder in ("truth", "maps"):
            path = tmp_path / folder / "case1" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    evaluation = score_folders({"ours": tmp_path / "maps"}, tmp_path / "truth", progress=False, processes=1)
    write_side_by_side(tmp_path / "a.gif", evaluation, "all", "case1", frames_per_second=25)
    with Image.open(tmp_path / "a.gif") as gif:
        seconds = 0.0
        for number in range(gif.n_frames):
            gif.seek(number)
            seconds += gif.info["duration"] / 1000
        assert seconds == pytest.approx(163 / 25, abs=0.1) and gif.n_frames <= 150
