from __future__ import annotations

import sys

import pytest
import torch
from ignite.exceptions import NotComputableError
from monai.engines import SupervisedEvaluator

from lsinet_monai.errors import InputError
from lsinet_monai.metrics import (
    BENCHMARK_SCORES,
    ClipDice,
    ClipScores,
    average,
    benchmark_scores,
    frame_measures,
    released_map,
    split_scores,
)
from tests.preloaded import Preloaded

Clip = tuple[torch.Tensor, torch.Tensor]


def _clip(frames: int, seed: int = 0, size: int = 24) -> Clip:
    """Logits and masks, (1, 1, T, size, size): noise around a square that moves."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.zeros(1, 1, frames, size, size)
    for t in range(frames):
        label[..., t, 4 + t : 14 + t, 6:16] = 1
    return 2 * label - 1 + torch.randn(label.shape, generator=generator), label


def _add(metric: ClipScores, name: str, clip: Clip, *pieces: int) -> None:
    """Add a clip in pieces of a given number of frames, or whole."""
    start = 0
    for frames in pieces or (clip[0].shape[2],):
        stop = start + frames
        logits, label = (part[:, :, start:stop] for part in clip)
        metric.update((logits, label, [name], [start], [stop == clip[0].shape[2]]))
        start = stop


def test_the_benchmark_leaves_out_two_frames_and_averages_over_clips() -> None:
    clips = {"a": _clip(5, seed=1), "b": _clip(3, seed=2)}
    metric = ClipScores()
    per_clip = []
    for name, clip in clips.items():
        _add(metric, name, clip)
        probabilities, masks = clip[0][0, 0].sigmoid().numpy(), clip[1][0, 0].numpy() > 0
        frames = [frame_measures(released_map(p), m) for p, m in zip(probabilities[1:-1], masks[1:-1], strict=True)]
        per_clip.append(average(frames))
    expected = benchmark_scores(average(per_clip))
    scores = metric.compute()
    assert {name: scores[name] for name in BENCHMARK_SCORES} == pytest.approx(expected)
    cases = split_scores(metric.per_clip)["cases"]
    assert cases["b"]["maxDice"] == pytest.approx(benchmark_scores(per_clip[1])["maxDice"])
    assert [metric.per_clip[name].benchmark_frames for name in ("a", "b")] == [3, 1]


def test_pieces_in_batches_score_as_whole_clips() -> None:
    first, second = _clip(4, seed=1), _clip(4, seed=2)
    whole, pieces = ClipScores(), ClipScores()
    _add(whole, "a", first)
    _add(whole, "b", second)
    logits, label = (torch.cat(parts) for parts in zip(first, second, strict=True))
    pieces.update((logits[:, :, :3], label[:, :, :3], ["a", "b"], torch.tensor([0, 0]), torch.tensor([False, False])))
    pieces.update((logits[:, :, 3:], label[:, :, 3:], ["a", "b"], torch.tensor([3, 3]), torch.tensor([True, True])))
    assert pieces.compute() == whole.compute()


def test_logits_are_resized_to_the_label() -> None:
    logits, label = _clip(3)
    metric, resized = ClipScores(), ClipScores()
    small = torch.nn.functional.avg_pool2d(logits[0], 2)[None]
    _add(metric, "a", (small, label))
    _add(resized, "a", (torch.nn.functional.interpolate(small[0], size=24, mode="bilinear")[None], label))
    assert metric.compute() == resized.compute()


def test_worst_frames() -> None:
    label = torch.ones(1, 1, 12, 8, 8)
    logits = 10 * label
    logits[..., 7, :4, :] = logits[..., 3, :, :] = logits[..., 5, :2, :] = -10
    metric = ClipScores()
    _add(metric, "a", (logits, label))
    metric.compute()
    worst = metric.per_clip["a"].worst_frames
    assert [index for _, _, index in worst[:3]] == [3, 7, 5]
    assert [dice for dice, _, _ in worst[:3]] == pytest.approx([0, 2 / 3, 6 / 7])


@pytest.mark.parametrize("frames", [1, 2])
def test_short_clips_have_no_benchmark_scores(frames: int) -> None:
    metric = ClipScores()
    _add(metric, "a", _clip(frames))
    scores = metric.compute()
    assert scores["maxDice"] is None
    assert scores["dice_at_0.5"] is not None


def test_without_pysodmetrics_the_clinical_scores_remain(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = ClipScores()
    monkeypatch.setitem(sys.modules, "py_sod_metrics", None)
    metric = ClipScores()
    assert 'pip install "lsinet_monai[metrics]"' in caplog.text
    _add(metric, "a", _clip(4))
    scores = metric.compute()
    monkeypatch.undo()
    _add(whole, "a", _clip(4))
    expected = whole.compute()
    assert scores == {name: None if name in BENCHMARK_SCORES else value for name, value in expected.items()}
    assert scores["dice_at_0.5"] is not None


def test_update_refuses_a_batch_that_does_not_match() -> None:
    logits, label = _clip(3)
    metric = ClipScores()
    with pytest.raises(ValueError, match="clip_ids"):
        metric.update((logits, label, ["a", "b"], [0, 0], [True, True]))
    with pytest.raises(ValueError, match="continues with frame 2, expected 0"):
        metric.update((logits, label, ["a"], [2], [True]))


def test_needs_a_clip_and_a_frame_rate() -> None:
    with pytest.raises(NotComputableError):
        ClipScores().compute()
    with pytest.raises(InputError, match="frames_per_second=0"):
        ClipScores(frames_per_second=0)


def test_in_an_evaluator() -> None:
    logits, label = _clip(3)
    batch = {"image": logits, "label": label, "clip_id": ["a"], "frame_index": [0], "is_last": [True]}
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=[batch],
        network=torch.nn.Identity(),
        key_val_metric={"val_mean_dice": ClipDice()},  # without one, MONAI attaches none of the others
        additional_metrics={"scores": ClipScores()},
        decollate=False,
    )
    for _ in range(2):  # the second run starts from nothing
        evaluator.run()
        assert 0 < evaluator.state.metrics["maxDice"] <= 1
        assert evaluator.state.metrics["lesions"] == 1


PROCESS = """
import ignite.distributed as idist
import torch
from lsinet_monai.metrics import ClipScores

def clip(seed):
    label = torch.zeros(1, 1, 3, 16, 16)
    label[..., 4:9, 4:9] = 1
    return 2 * label - 1 + torch.randn(label.shape, generator=torch.Generator().manual_seed(seed)), label

def work(rank):
    metric, alone = ClipScores(), ClipScores()
    for seed in (0, 1, 2):
        output = (*clip(seed), [str(seed)], [0], [True])
        alone.update(output)
        if seed % 2 == rank or (seed == 0 and rank == 1):  # two processes get the same clip, the third gets none
            metric.update(output)
    scores = metric.compute()
    assert list(metric.per_clip) == ["0", "1", "2"]
    assert scores == alone.compute()

with idist.Parallel(backend="gloo") as parallel:
    parallel.run(work)
"""


@pytest.mark.slow
def test_processes_are_joined(preloaded: Preloaded) -> None:
    for rank in preloaded.run_ranks(3, PROCESS):
        assert rank.returncode == 0, rank.stderr
