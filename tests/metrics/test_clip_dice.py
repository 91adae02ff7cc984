from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.exceptions import NotComputableError
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator

from lsinet_monai.metrics import ClipDice, frame_dice
from tests.preloaded import Preloaded

DICE = [
    ("1100", "1100", 1.0),
    ("1100", "0011", 0.0),
    ("1100", "0110", 0.5),
    ("1111", "1000", 0.4),
    ("0000", "0000", 1.0),
    ("0000", "1000", 0.0),
    ("1000", "0000", 0.0),
]


def _bits(text: str) -> np.ndarray:
    return np.array([[bit == "1" for bit in text]])


def _clip(*frames: str) -> torch.Tensor:
    """Frames of a few pixels in one row as a label, (1, 1, T, 1, W)."""
    return torch.tensor([[[[[float(bit) for bit in frame]] for frame in frames]]])


def _logits(label: torch.Tensor) -> torch.Tensor:
    return 10 * label - 5


@pytest.mark.parametrize(("prediction", "mask", "expected"), DICE)
def test_frame_dice(prediction: str, mask: str, expected: float) -> None:
    assert frame_dice(_bits(prediction), _bits(mask)) == pytest.approx(expected)
    assert frame_dice(torch.from_numpy(_bits(prediction)), torch.from_numpy(_bits(mask))) == pytest.approx(expected)


def test_frame_dice_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        frame_dice(_bits("11"), _bits("1"))


def test_mean_over_frames_then_clips_whatever_the_pieces() -> None:
    metric = ClipDice()
    metric.update((_logits(_clip("1100", "1100", "1111")), _clip("1100", "0011", "1000"), ["a"]))  # 1, 0, 0.4
    metric.update((_logits(_clip("1100")), _clip("0110"), ["b"]))  # 0.5
    metric.update((_logits(_clip("0000")), _clip("0000"), ["a"]))  # 1
    assert metric.compute() == pytest.approx((2.4 / 4 + 0.5) / 2)
    assert metric.per_clip == {"a": pytest.approx(0.6), "b": pytest.approx(0.5)}
    metric.reset()
    assert metric.per_clip == {}


def test_a_batch_of_two_clips_is_two_clips() -> None:
    prediction, label = torch.cat([_clip("10"), _clip("11")]), torch.cat([_clip("10"), _clip("00")])
    metric = ClipDice()
    metric.update((_logits(prediction), label, ["a", "b"]))
    metric.compute()
    assert metric.per_clip == {"a": 1, "b": 0}


def test_clips_without_a_polyp_count_only_if_no_clip_shows_one() -> None:
    metric = ClipDice()
    metric.update((_logits(_clip("0000", "0000")), _clip("0000", "0110"), ["polyp"]))  # 1, 0
    metric.update((_logits(_clip("0000", "0001", "0000", "0000")), _clip(*["0000"] * 4), ["none"]))  # 1, 0, 1, 1
    assert metric.compute() == 0.5
    assert metric.per_clip == {"polyp": 0.5, "none": 0.75}
    metric.reset()
    metric.update((_logits(_clip("0000")), _clip("0000"), ["none"]))
    assert metric.compute() == 1


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, 1.0), (0.8, 2 / 3), (0.95, 0.0)])
def test_threshold_is_on_the_probability(threshold: float, expected: float) -> None:
    logits = torch.logit(torch.tensor([0.9, 0.7, 0.1])).reshape(1, 1, 1, 1, 3)
    metric = ClipDice(threshold)
    metric.update((logits, _clip("110"), ["a"]))
    assert metric.compute() == pytest.approx(expected)


def test_logits_are_resized_to_the_label() -> None:
    # Two columns, -3 and 1, become four by half-pixel bilinear: -3, -2, 0, 1; only the last is above 0.
    logits = torch.tensor([-3.0, 1.0]).reshape(1, 1, 1, 1, 2)
    metric = ClipDice()
    metric.update((logits, _clip("0001"), ["a"]))
    assert metric.compute() == 1


@pytest.mark.parametrize("clip_ids", [[], ["a", "b"]])
def test_update_refuses_a_batch_that_does_not_match(clip_ids: list[str]) -> None:
    with pytest.raises(ValueError, match="clip_ids"):
        ClipDice().update((_clip("1"), _clip("1"), clip_ids))
    with pytest.raises(ValueError, match="label"):
        ClipDice().update((_clip("1", "1"), _clip("1"), ["a"]))


def test_needs_a_clip() -> None:
    with pytest.raises(NotComputableError):
        ClipDice().compute()


def test_as_the_key_metric_of_an_evaluator() -> None:
    batches = [
        {"image": MetaTensor(_clip("1100", "1100")), "label": _clip("1100", "0110"), "clip_id": ["a"]},
        {"image": MetaTensor(_clip("1111")), "label": _clip("1000"), "clip_id": ["b"]},
    ]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=batches,
        network=torch.nn.Identity(),
        inferer=lambda image, network: _logits(network(image)),
        key_val_metric={"val_mean_dice": ClipDice()},
        decollate=False,
    )
    for _ in range(2):  # the second run starts from nothing
        evaluator.run()
        assert evaluator.state.metrics["val_mean_dice"] == pytest.approx((0.75 + 0.4) / 2)


PROCESS = """
import ignite.distributed as idist
import torch
from lsinet_monai.metrics import ClipDice

with idist.Parallel(backend="gloo") as parallel:
    def work(rank):
        metric = ClipDice()
        ones, zeros = torch.ones(1, 1, 1, 2, 2), torch.zeros(1, 1, 1, 2, 2)
        if rank == 0:
            metric.update((10 * ones, ones, ["a"]))
            metric.update((10 * ones, ones, ["b"]))
        elif rank == 1:
            metric.update((10 * ones, zeros, ["a"]))
        assert metric.compute() == 0.75, metric.compute()
        assert metric.per_clip == {"a": 0.5, "b": 1}
    parallel.run(work)
"""


@pytest.mark.slow
def test_processes_are_joined(preloaded: Preloaded) -> None:
    for rank in preloaded.run_ranks(3, PROCESS):
        assert rank.returncode == 0, rank.stderr
