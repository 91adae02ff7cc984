from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.metrics import ClinicalCounts, ClinicalScorer, clinical_scores


def _row(text: str) -> np.ndarray:
    """One row of pixels, '#' is polyp, five pixels high so that the 5x5 mean filter has something to work on."""
    return np.repeat(np.array([[pixel == "#" for pixel in text]]), 5, axis=0)


def _count(frames: list[tuple[str, str]], **options: Any) -> ClinicalCounts:
    """Score a clip of (prediction, truth) frames."""
    scorer = ClinicalScorer(**options)
    for prediction, truth in frames:
        scorer.add(_row(prediction).astype(np.float32) * 0.9, _row(truth))
    return scorer.counts()


def _scores(*frames: tuple[str, str]) -> dict[str, Any]:
    return clinical_scores([_count(list(frames))])


DICE = [
    ("all right", [("##..", "##.."), ("....", "....")], 1.0),
    ("all wrong", [("##..", "..##"), ("....", "..##"), ("..##", "....")], 0.0),
    ("every frame counts, the first and the last too", [("##..", "##.."), ("##..", ".##."), ("....", "####")], 0.5),
]

# Frames, and the frames from appearance to detection of each lesion.
LESIONS = [
    ("at once", [("###...", "###..."), ("###...", "###...")], (0,)),
    ("in the third frame", [("......", "###..."), ("......", "###..."), ("###...", "###...")], (2,)),
    ("never", [("...###", "###..."), ("......", "###...")], (None,)),
    ("the centroid must lie in it", [("..#####", "###....")], (None,)),
    ("a joint mask finds the lesion of its centroid", [("#######", "..###.#")], (0, None)),
    ("two, one of them", [("###....", "###.###"), ("###....", "###.###")], (0, None)),
    ("it appears later", [("......", "......"), ("......", "###..."), ("###...", "###...")], (1,)),
    (
        "absent for longer than the gap, it is another",
        [("###", "###"), *[("...", "...")] * 4, ("...", "###")],
        (0, None),
    ),
    ("absent for a moment, it is the same", [("###", "###"), *[("...", "...")] * 3, ("...", "###")], (0,)),
]

FLICKER = [
    ("the truth does not flicker", [("##..", "##.."), (".##.", ".##."), ("..##", "..##")], 0),
    ("nor does a constant mask", [("##..", "##.."), ("##..", ".##."), ("##..", "..##")], 0),
    ("on and off", [("##..", "##.."), ("....", "##.."), ("##..", "##..")], 1),
    ("once in two pairs", [("##..", "##.."), ("....", "##.."), ("....", "##..")], 0.5),
    # The prediction's IoU is 1/3, the truth's 1/2.
    ("more than the truth", [("##..", "##.."), (".##.", "#...")], (1 - 1 / 3) - (1 - 1 / 2)),
    ("one frame", [("##..", "....")], None),
]


@pytest.mark.parametrize(("_", "frames", "expected"), DICE, ids=[case[0] for case in DICE])
def test_dice(_: str, frames: list[tuple[str, str]], expected: float) -> None:
    assert _scores(*frames)["dice_at_0.5"] == pytest.approx(expected)


@pytest.mark.parametrize(("_", "frames", "expected"), LESIONS, ids=[case[0] for case in LESIONS])
def test_first_detections(_: str, frames: list[tuple[str, str]], expected: tuple[int | None, ...]) -> None:
    assert _count(frames).first_detections == expected


@pytest.mark.parametrize(("_", "frames", "expected"), FLICKER, ids=[case[0] for case in FLICKER])
def test_flicker(_: str, frames: list[tuple[str, str]], expected: float | None) -> None:
    flicker = _scores(*frames)["flicker"]
    assert flicker is None if expected is None else flicker == pytest.approx(expected)


def test_detection_is_over_the_lesions_of_all_clips() -> None:
    clips = [ClinicalCounts(0.5, first_detections=times) for times in ((0, None, 4), (), (5,))]
    scores = clinical_scores(clips)
    assert (scores["lesions"], scores["lesion_detection_rate"], scores["frames_to_detection"]) == (4, 0.75, 4)


def test_false_positives_are_over_the_frames_without_a_polyp() -> None:
    # Frames of 20 pixels. Of the five frames without a polyp, two have a prediction. The other frames do not count.
    frames = [
        ("....", "...."),
        ("##..", "...."),
        ("####", "...."),
        ("....", "...."),
        ("....", "...."),
        ("..##", "##.."),
    ]
    scores = clinical_scores([_count(frames)], frames_per_second=25)
    assert scores["negative_frames"] == 5
    assert scores["false_positives_per_minute"] == pytest.approx(2 / (5 / 25 / 60))
    assert scores["negative_specificity"] == pytest.approx(3 / 5)
    assert scores["negative_pixel_specificity"] == pytest.approx((1 + 0.5 + 0 + 1 + 1) / 5)


def test_specks_do_not_count() -> None:
    frames = [("#...", "...."), ("....", "#...")]
    assert _count(frames, min_area=0.25).false_positive_frames == 0
    assert _count(frames, min_area=0.25).first_detections == ()
    assert _count(frames, min_area=0.24).false_positive_frames == 1
    assert _count(frames, min_area=0.24).first_detections == (None,)


def test_specks_do_not_detect_a_polyp() -> None:
    frames = [("#...", "####"), ("##..", "####")]
    assert _count(frames, min_area=0.25).first_detections == (1,)
    assert _count(frames, min_area=0.24).first_detections == (0,)


def test_scores_without_frames_to_compute_them_from_are_none() -> None:
    with_polyp, without = _scores(("##", "##")), _scores(("..", ".."))
    for name in ("negative_specificity", "negative_pixel_specificity", "false_positives_per_minute"):
        assert with_polyp[name] is None and without[name] is not None
    for name in ("lesion_detection_rate", "frames_to_detection"):
        assert without[name] is None and with_polyp[name] is not None


def test_threshold_is_on_the_probability_and_not_stretched() -> None:
    scorer = ClinicalScorer(threshold=0.8)
    scorer.add(np.where(_row("##..."), 0.79, 0.1).astype(np.float32), _row("....."))
    assert scorer.counts().false_positive_frames == 0
    assert "dice_at_0.8" in clinical_scores([scorer.counts()])


def test_score_and_uncertainty_are_means_over_frames_then_clips() -> None:
    clips = [
        ClinicalCounts(0.5, frames=2, frame_score=1.0, uncertainty=0.6),
        ClinicalCounts(0.5, frames=1, frame_score=0.9, uncertainty=0.1),
    ]
    scores = clinical_scores(clips)
    assert (scores["frame_score"], scores["uncertainty"]) == (pytest.approx(0.7), pytest.approx(0.2))


def test_a_map_with_nan_is_refused() -> None:
    with pytest.raises(InputError, match="contains NaN"):
        ClinicalScorer().add(np.full((5, 4), np.nan, np.float32), _row("##.."))
