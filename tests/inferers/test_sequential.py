from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import PrepareBatchExtraInput, SupervisedEvaluator
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.handlers import InfererReset
from lsinet_monai.inferers import SequentialVideoInferer, are_left_empty
from lsinet_monai.inferers.clarity import clarity
from lsinet_monai.networks import LSINet, load_checkpoint
from lsinet_monai.networks.memory import to_elements
from lsinet_monai.ops import read_memory

ADJACENT = ["next", "previous", "clearest"]
FRAMES = 8
# A small memory that is written often, so that a short clip fills it and it forgets.
SMALL = {"memory_interval": 2, "memory_frames": 2}

BAD_ARGUMENTS = [
    ({"memory_interval": 0}, "memory_interval"),
    ({"memory_frames": 0}, "memory_frames"),
    ({"adjacent": "both"}, "adjacent"),
    ({"forgetting": "never"}, "forgetting"),
    ({"encode_batch": 0}, "encode_batch"),
    ({"smoothing": 1}, "smoothing"),
    ({"amp_dtype": "int8"}, "amp_dtype"),
]
# (shape, further arguments, a part of the error)
BAD_INPUTS = [
    ((1, 3, 64, 64), {}, "clips"),
    ((1, 1, 2, 64, 64), {}, "clips"),
    ((1, 3, 0, 64, 64), {}, "clips"),
    ((1, 3, 2, 64, 64), {"clip_id": "a", "is_last": True}, "frame_index"),
    ((1, 3, 2, 64, 64), {"clip_id": "a", "frame_index": 0}, "is_last"),
    ((2, 3, 2, 64, 64), {"clip_id": ["a", "b"], "frame_index": [0, 2], "is_last": True}, "same frame_index"),
    ((2, 3, 2, 64, 64), {"clip_id": ["a", "b"], "frame_index": 0, "is_last": [True, False]}, "same is_last"),
    ((1, 3, 1, 64, 64), {"clip_id": "a", "frame_index": 0, "is_last": False}, "holds 1 frame"),
    ((1, 3, 2, 64, 64), {"clip_id": "a", "frame_index": 2, "is_last": False}, "frame 0 is the next"),
]


def _clip(frames: int = FRAMES, batch: int = 1, seed: int = 0) -> Tensor:
    """A scene that changes a little from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randn(batch, 3, 1, 64, 64, generator=generator)
    return scene + 0.3 * torch.randn(batch, 3, frames, 64, 64, generator=generator).cumsum(2)


def _pieces(clip: Tensor, clip_id: Sequence[str], length: int, adjacent: str) -> list[dict[str, Any]]:
    """Cut a clip into batches that get ``length`` masks each."""
    rows, frames = len(clip_id), clip.shape[2]
    ahead = 0 if adjacent == "previous" else 1
    return [
        {
            "image": clip[:, :, first : first + length + ahead],
            "label": torch.zeros(rows, 1, min(length, frames - first), 64, 64),
            "clip_id": list(clip_id),
            "frame_index": torch.full((rows,), first),
            "is_last": torch.full((rows,), first + length >= frames),
        }
        for first in range(0, frames, length)
    ]


class _Evaluator:
    """A MONAI evaluator around a sequential inferer that gathers the logits of each clip."""

    def __init__(self, network: LSINet, **options: Any) -> None:
        self.network = network
        self.inferer = SequentialVideoInferer(**options)

    def run(self, batches: list[dict[str, Any]]) -> dict[str, Tensor]:
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=batches,
            network=self.network,
            inferer=self.inferer,
            prepare_batch=PrepareBatchExtraInput({key: key for key in ("clip_id", "frame_index", "is_last")}),
            decollate=False,
        )
        InfererReset(self.inferer).attach(evaluator)
        logits: dict[str, list[Tensor]] = {}

        @evaluator.on(Events.ITERATION_COMPLETED)
        def gather(engine: SupervisedEvaluator) -> None:
            output = engine.state.output
            assert output["pred"].shape == output["label"].shape
            for clip_id, row in zip(engine.state.batch["clip_id"], output["pred"], strict=True):
                logits.setdefault(clip_id, []).append(row)

        evaluator.run()
        return {clip_id: torch.cat(rows, 1) for clip_id, rows in logits.items()}


@torch.no_grad()
def _reference(clip: Tensor, network: LSINet, adjacent: str, interval: int) -> Tensor:
    """Segment a clip by the definition, without a bank: each frame reads all elements written before."""
    frames = clip.unbind(2)
    memory: list[list[tuple[Tensor, Tensor]]] = [[], [], []]
    results = []
    for t, frame in enumerate(frames):
        neighbour = t + 1 if adjacent == "next" and t + 1 < len(frames) else max(t - 1, 0)
        if adjacent == "clearest" and len(frames) > 1:
            others = [other for other in range(min(t + 2, len(frames))) if other != t]
            worth = {other: float(clarity(network.encode(frames[other]))) - 0.02 * abs(other - t) for other in others}
            neighbour = max(others, key=lambda other: worth[other])
        current = network.encode(frame)
        read = []
        for scale, (key, value) in enumerate(zip(current.keys, current.values, strict=True)):
            elements = memory[scale] or [(to_elements(key), to_elements(value))]
            keys, values = (torch.cat(x, 1) for x in zip(*elements, strict=True))
            result = read_memory(to_elements(key), keys, values).values
            read.append(result.transpose(1, 2).view_as(value))
        logits = network.decode(current, network.encode(frames[neighbour]), tuple(read))
        if t % interval == 0:
            weighted = network.values_for_memory(current, logits)
            for scale in range(3):
                memory[scale].append((to_elements(current.keys[scale]), to_elements(weighted[scale])))
        results.append(network.upsample_logits(logits, frame.shape[-2:])[-1])
    return torch.stack(results, 2)


@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("frames", [1, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_against_the_definition(small_network: LSINet, frames: int, adjacent: str, forgetting: str) -> None:
    clip = _clip(frames) * torch.tensor([1, 0.2, 0.3, 1, 0.1, 0.6, 0.4])[:frames, None, None]  # Some are clearer.
    logits = SequentialVideoInferer(3, adjacent=adjacent, forgetting=forgetting)(clip, small_network)
    assert logits.shape == (1, 1, frames, 64, 64)
    torch.testing.assert_close(logits, _reference(clip, small_network, adjacent, 3), atol=1e-4, rtol=1e-4)


def test_the_defaults() -> None:
    inferer = SequentialVideoInferer()
    options = (inferer.memory_interval, inferer.memory_frames, inferer.adjacent, inferer.forgetting)
    assert options == (5, 35, "next", "usage")


@pytest.fixture(scope="module")
def whole(small_network: LSINet) -> Callable[..., Tensor]:
    """The logits of a clip in one piece, for a way to choose the adjacent frame, computed once for all tests."""

    @cache
    def segment(adjacent: str, batch: int = 1, seed: int = 0) -> Tensor:
        return SequentialVideoInferer(adjacent=adjacent, **SMALL)(_clip(batch=batch, seed=seed), small_network)

    return segment


@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("length", [1, 3, 7])
def test_pieces_give_what_the_whole_clip_gives(
    small_network: LSINet, whole: Callable[..., Tensor], length: int, adjacent: str
) -> None:
    pieces = _Evaluator(small_network, adjacent=adjacent, **SMALL).run(_pieces(_clip(), ["a"], length, adjacent))
    torch.testing.assert_close(pieces["a"], whole(adjacent)[0], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("length", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 7))])
def test_pieces_of_two_clips_in_turn(
    small_network: LSINet, whole: Callable[..., Tensor], length: int, adjacent: str
) -> None:
    clips = {"a": _clip(), "b": _clip(seed=1)}
    by_clip = [_pieces(clip, [clip_id], length, adjacent) for clip_id, clip in clips.items()]
    in_turn = [piece for pair in zip(*by_clip, strict=True) for piece in pair]
    found = _Evaluator(small_network, adjacent=adjacent, **SMALL).run(in_turn)
    for seed, clip_id in enumerate(clips):
        torch.testing.assert_close(found[clip_id], whole(adjacent, seed=seed)[0], atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
def test_a_batch_of_clips_gives_what_each_gives(
    small_network: LSINet, whole: Callable[..., Tensor], adjacent: str
) -> None:
    clips, together = _clip(batch=2), whole(adjacent, batch=2)
    pieces = _Evaluator(small_network, adjacent=adjacent, **SMALL).run(_pieces(clips, ["a", "b"], 3, adjacent))
    for row, clip_id in enumerate("ab"):
        alone = SequentialVideoInferer(adjacent=adjacent, **SMALL)(clips[row : row + 1], small_network)
        torch.testing.assert_close(together[row], alone[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(pieces[clip_id], alone[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("adjacent", ADJACENT)
def test_each_frame_is_encoded_once(small_network: LSINet, monkeypatch: pytest.MonkeyPatch, adjacent: str) -> None:
    encoded = []
    encode = small_network.encode
    monkeypatch.setattr(
        small_network, "encode", lambda frame, *rest: (encoded.append(frame.clone()), encode(frame, *rest))[1]
    )
    clip = _clip()
    SequentialVideoInferer(adjacent=adjacent)(clip, small_network)
    assert torch.equal(torch.stack(encoded, 2), clip)
    encoded.clear()
    _Evaluator(small_network, adjacent=adjacent).run(_pieces(clip, ["a"], 3, adjacent))
    assert torch.equal(torch.stack(encoded, 2), clip)


def test_smoothed_masks_are_the_same_in_pieces(small_network: LSINet) -> None:
    options: dict[str, Any] = {"adjacent": "clearest", "smoothing": 0.4, **SMALL}
    whole = SequentialVideoInferer(**options)(_clip(), small_network)
    pieces = _Evaluator(small_network, **options).run(_pieces(_clip(), ["a"], 3, "clearest"))
    torch.testing.assert_close(pieces["a"], whole[0], atol=1e-4, rtol=0)
    sharp = SequentialVideoInferer(**options | {"smoothing": 0})(_clip(), small_network)
    torch.testing.assert_close(whole[:, :, 0], sharp[:, :, 0])
    assert not torch.allclose(whole[:, :, 1:], sharp[:, :, 1:], atol=1e-3)


@pytest.mark.parametrize(("adjacent", "unchanged"), [("previous", 6), ("next", 5)])
def test_previous_needs_no_later_frame(small_network: LSINet, adjacent: str, unchanged: int) -> None:
    clip, altered = _clip(), _clip()
    altered[:, :, 6:] = _clip(seed=2)[:, :, 6:]
    inferer = SequentialVideoInferer(adjacent=adjacent, **SMALL)
    before, after = inferer(clip, small_network), inferer(altered, small_network)
    changes = (before - after).abs().amax((0, 1, 3, 4))
    assert (changes[:unchanged] == 0).all()
    assert (changes[unchanged:] > 1e-3).all()


# The number of frames taken before each of 5 masks.
TAKEN = [
    ("previous", 1, [1, 2, 3, 4, 5]),
    ("next", 1, [2, 3, 4, 5, 5]),
    ("previous", 3, [3, 3, 3, 5, 5]),
    ("next", 3, [3, 3, 5, 5, 5]),
    ("next", 9, [5, 5, 5, 5, 5]),
]


@pytest.mark.parametrize(("adjacent", "encode_batch", "expected"), TAKEN)
def test_frames_are_taken_as_they_come(
    small_network: LSINet, adjacent: str, encode_batch: int, expected: list[int]
) -> None:
    taken = 0

    def frames(clip: Tensor) -> Iterator[Tensor]:
        nonlocal taken
        for frame in clip.unbind(2):
            taken += 1
            yield frame

    inferer = SequentialVideoInferer(adjacent=adjacent, encode_batch=encode_batch)
    assert [taken for _ in inferer.stream(frames(_clip(5)), small_network)] == expected


@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 16))])
def test_encoding_ahead_changes_nothing(
    small_network: LSINet, whole: Callable[..., Tensor], encode_batch: int, adjacent: str
) -> None:
    clips, expected = _clip(batch=2), whole(adjacent, batch=2)
    options = {"adjacent": adjacent, "encode_batch": encode_batch, **SMALL}
    ahead = SequentialVideoInferer(**options)(clips, small_network)
    torch.testing.assert_close(ahead, expected, atol=1e-4, rtol=0)
    pieces = _Evaluator(small_network, **options).run(_pieces(clips, ["a", "b"], 4, adjacent))
    torch.testing.assert_close(torch.stack([pieces["a"], pieces["b"]]), expected, atol=1e-4, rtol=0)


def test_encoding_ahead_takes_as_many_passes_as_it_says(small_network: LSINet, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    encode = small_network.encode
    monkeypatch.setattr(small_network, "encode", lambda x, *rest: (passes.append(len(x)), encode(x, *rest))[1])
    SequentialVideoInferer(encode_batch=3)(_clip(batch=2), small_network)
    assert passes == [2 * 3, 2 * 3, 2 * 2]


@pytest.mark.parametrize("amp_dtype", ["bfloat16", "float16"])
def test_half_precision_is_the_backbones_alone(small_network: LSINet, amp_dtype: str) -> None:
    inferer = SequentialVideoInferer(amp_dtype=amp_dtype, encode_batch=2, **SMALL)
    state = inferer.new_state()
    logits = torch.stack(list(inferer.stream(_clip(5).unbind(2), small_network, state)), 2)
    tensors = [logits, *(x for scale in state.memory.scales for x in scale.tensors())]
    assert {x.dtype for x in tensors} == {torch.float32}
    expected = SequentialVideoInferer(**SMALL)(_clip(5), small_network)
    assert 0 < (logits - expected).abs().mean() < 0.1 * expected.std()


@pytest.mark.slow
@pytest.mark.parametrize("amp_dtype", ["bfloat16", "float16"])
def test_masks_in_half_precision(demo_model: Path, amp_dtype: str) -> None:
    network, image_size = load_checkpoint(demo_model)
    per_frame = []
    for seed in (1, 2):
        clip = frames_to_tensor([frame for frame, _ in phantom_clip(40, (128, 160), seed)], image_size)[None]
        expected, found = (
            SequentialVideoInferer(amp_dtype=dtype, encode_batch=4)(clip, network)[0, 0] > 0
            for dtype in (None, amp_dtype)
        )
        assert expected.any()
        together, both = expected.sum((1, 2)) + found.sum((1, 2)), (expected & found).sum((1, 2))
        per_frame.append(torch.where(together > 0, 2 * both / together, 1.0))
    assert torch.cat(per_frame).mean() >= 0.99


@pytest.mark.parametrize(("interval", "frames_in_memory"), [(1, [1, 2, 3, 3, 3, 3]), (5, [1, 1, 1, 1, 1, 2])])
def test_memory_interval(small_network: LSINet, interval: int, frames_in_memory: list[int]) -> None:
    inferer = SequentialVideoInferer(interval, memory_frames=3)
    state = inferer.new_state()
    sizes = [state.memory.sizes[0].tolist() for _ in inferer.stream(_clip(6).unbind(2), small_network, state)]
    # 64x64 has 8x8, 4x4 and 2x2 positions at the strides 8, 16 and 32.
    assert sizes == [[64 * n, 16 * n, 4 * n] for n in frames_in_memory]


def test_calls_share_nothing(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer(**SMALL)
    first = inferer(_clip(), small_network)
    inferer(_clip(seed=1), small_network)
    assert torch.equal(inferer(_clip(), small_network), first)


def test_metatensors_do_not_live_on(small_network: LSINet) -> None:
    clip = _clip(4)
    inferer = SequentialVideoInferer()
    expected = inferer(clip, small_network)
    logits = inferer(MetaTensor(clip, meta={"filename_or_obj": "a.png"}), small_network)
    assert type(logits) is Tensor
    assert torch.equal(logits, expected)
    batches = _pieces(MetaTensor(clip), ["a"], 3, "next")
    torch.testing.assert_close(_Evaluator(small_network).run(batches)["a"], expected[0], atol=1e-4, rtol=0)


def test_no_gradients(small_network: LSINet) -> None:
    clip = _clip(2).requires_grad_()
    assert not SequentialVideoInferer()(clip, small_network).requires_grad


def _feed(inferer: SequentialVideoInferer, network: LSINet, batches: Iterable[dict[str, Any]]) -> Tensor:
    keys = ("clip_id", "frame_index", "is_last")
    return torch.cat([inferer(batch["image"], network, **{key: batch[key] for key in keys}) for batch in batches], 2)


@pytest.mark.parametrize("order", [(0, 2), (0, 1, 1), (1,), (0, 1, 2, 3, 3)], ids=str)
def test_a_piece_out_of_order(small_network: LSINet, order: tuple[int, ...]) -> None:
    pieces = _pieces(_clip(10), ["a"], 3, "next")
    with pytest.raises(ValueError, match=f"a piece of a starts at frame {3 * order[-1]}, but frame"):
        _feed(SequentialVideoInferer(), small_network, [pieces[i] for i in order])


def test_the_last_piece_ends_its_clip(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer()
    pieces = _pieces(_clip(), ["a"], 5, "next")
    _feed(inferer, small_network, pieces)
    with pytest.raises(ValueError, match="frame 0 is the next"):
        _feed(inferer, small_network, [{**pieces[0], "frame_index": torch.tensor([FRAMES])}])


def test_frame_0_starts_a_clip_again(small_network: LSINet) -> None:
    pieces = _pieces(_clip(), ["a"], 3, "next")
    inferer = SequentialVideoInferer(**SMALL)
    expected = _feed(inferer, small_network, pieces)
    _feed(inferer, small_network, pieces[:2])
    assert torch.equal(_feed(inferer, small_network, pieces), expected)


def test_reset_forgets_all_clips(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer()
    first, second, *_ = _pieces(_clip(), ["a"], 3, "next")
    _feed(inferer, small_network, [first])
    inferer.reset()
    with pytest.raises(ValueError, match="frame 0 is the next"):
        _feed(inferer, small_network, [second])


def test_a_new_run_drops_all_states(small_network: LSINet) -> None:
    evaluator = _Evaluator(small_network)
    first, second, *_ = _pieces(_clip(), ["a"], 3, "next")
    evaluator.run([first])
    with pytest.raises(ValueError, match="frame 0 is the next"):
        evaluator.run([second])


@pytest.mark.parametrize(("shape", "extra", "said"), BAD_INPUTS)
def test_bad_inputs(small_network: LSINet, shape: tuple[int, ...], extra: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SequentialVideoInferer()(torch.zeros(shape), small_network, **extra)


@pytest.mark.parametrize(("arguments", "said"), BAD_ARGUMENTS)
def test_bad_arguments(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SequentialVideoInferer(**arguments)


@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [1, 4])
def test_a_saved_clip_resumes_elsewhere(
    small_network: LSINet, tmp_path: Path, adjacent: str, encode_batch: int
) -> None:
    options = {"adjacent": adjacent, "encode_batch": encode_batch, **SMALL}
    first, second, third = _pieces(_clip(9), ["a"], 3, adjacent)
    inferer = SequentialVideoInferer(**options)

    def segment(inferer: SequentialVideoInferer, piece: dict[str, Any]) -> Tensor:
        return inferer(piece["image"], small_network, "a", piece["frame_index"], piece["is_last"])

    segment(inferer, first)
    torch.save(inferer.save_clip("a"), tmp_path / "state.pt")
    tensors = [x for x in tree_leaves(inferer.save_clip("a")) if isinstance(x, Tensor)]
    assert all(x.untyped_storage().nbytes() == x.numel() * x.element_size() for x in tensors)  # no views of a batch
    expected = [segment(inferer, piece) for piece in (second, third)]

    other = SequentialVideoInferer(**options)
    other.load_clip("a", torch.load(tmp_path / "state.pt", weights_only=True))
    for piece, logits in zip((second, third), expected, strict=True):
        assert torch.equal(segment(other, piece), logits)


def test_a_saved_clip_needs_the_memory_that_it_had(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer(**SMALL)
    piece = _pieces(_clip(4), ["a"], 2, "next")[0]
    inferer(piece["image"], small_network, "a", 0, False)
    with pytest.raises(InputError, match="saved with memory_frames=2, and this one has 7"):
        SequentialVideoInferer(memory_frames=7).load_clip("a", inferer.save_clip("a"))


# Keys that earlier files lack: those of the label app had no waiting frame.
@pytest.mark.parametrize("missing", [[], ["waiting"]], ids=str)
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [1, 4])
def test_a_state_that_is_saved_between_two_masks(
    small_network: LSINet, tmp_path: Path, encode_batch: int, adjacent: str, missing: list[str]
) -> None:
    inferer = SequentialVideoInferer(adjacent=adjacent, encode_batch=encode_batch, **SMALL)
    frames = _clip().unbind(2)
    state, logits = inferer.new_state(), []
    for frame, logit in enumerate(inferer.stream(frames, small_network, state)):
        logits.append(logit)
        if frame == 4:
            saved = {key: value for key, value in state.state_dict().items() if key not in missing}
            torch.save({**saved, "next_frame": frame + 1}, tmp_path / "state.pt")

    resumed = inferer.new_state()
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for logit, expected in zip(inferer.stream(frames[5:], small_network, resumed), logits[5:], strict=True):
        torch.testing.assert_close(logit, expected, atol=1e-4, rtol=0)


def test_a_clip_without_a_state_cannot_be_saved(small_network: LSINet) -> None:
    inferer = SequentialVideoInferer(**SMALL)
    first, *_, last = _pieces(_clip(4), ["a"], 2, "next")
    with pytest.raises(InputError, match=r"no piece of clip 'a' has come, or its last one has; clips under way: none$"):
        inferer.save_clip("a")
    _feed(inferer, small_network, [first])
    with pytest.raises(InputError, match=r"clip 'b' .* under way: a$"):
        inferer.save_clip("b")
    for clip_id in (3, [3], None):
        with pytest.raises(InputError, match=r"clip_id=.* is not the name of a clip: give a text"):
            inferer.save_clip(clip_id)
    assert inferer.save_clip(["a"])["frame_index"] == 2  # as a batch has it
    _feed(inferer, small_network, [last])
    with pytest.raises(InputError, match="no piece of clip 'a' has come, or its last one has"):
        inferer.save_clip("a")


# One bad frame --------------------------------------------------------------------------------------------------------


def _without(clip: Tensor, frame: int) -> Tensor:
    return torch.cat([clip[:, :, :frame], clip[:, :, frame + 1 :]], 2)


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("frame", [0, 3, 4, FRAMES - 1])
def test_a_frame_of_nan_spoils_no_other(
    small_network: LSINet, adjacent: str, frame: int, caplog: pytest.LogCaptureFixture
) -> None:
    clip = _clip(batch=2)
    clip[0, :, frame] = float("nan")
    inferer = SequentialVideoInferer(adjacent=adjacent, **SMALL)
    logits = inferer(clip, small_network)
    assert logits.isfinite().all()
    assert are_left_empty(logits)[:, 0].nonzero().tolist() == [[0, frame]]
    # The other clip of the batch is as it would be by itself.
    torch.testing.assert_close(logits[1:], inferer(clip[1:], small_network), atol=1e-4, rtol=1e-4)
    (line,) = caplog.messages
    assert "a clip of 8 frames: 1 frame left empty" in line and ("1 write to memory skipped" in line) == (
        frame % 2 == 0
    )


def test_after_a_bad_frame_it_is_as_if_that_had_not_been(small_network: LSINet) -> None:
    """Apart from the rhythm of writes: frames 0, 2, 4 are written, and of these 2 is bad."""
    clip = _clip(5)
    clip[:, :, 2] = float("nan")
    found = SequentialVideoInferer(2, adjacent="previous")(clip, small_network)
    memory = SequentialVideoInferer(4, adjacent="previous")(clip, small_network)
    torch.testing.assert_close(found[:, :, 3:], memory[:, :, 3:])
    # Frame 3 has itself as its adjacent frame.
    state = SequentialVideoInferer(4, adjacent="previous").new_state()
    inferer = SequentialVideoInferer(4, adjacent="previous")
    for x in inferer.stream(clip[:, :, :2].unbind(2), small_network, state, False):
        assert x.isfinite().all()
    state.previous = None
    (expected,) = inferer.stream([clip[:, :, 3]], small_network, state, False)
    torch.testing.assert_close(found[:, :, 3], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("adjacent", ADJACENT)
def test_a_black_frame_is_not_written(small_network: LSINet, adjacent: str) -> None:
    clip = _clip()
    clip[:, :, 2] = torch.tensor([-2.1, -2.0, -1.8]).view(3, 1, 1)
    inferer = SequentialVideoInferer(memory_interval=2, adjacent=adjacent)
    pieces = [
        inferer(piece.pop("image"), small_network, **{k: v for k, v in piece.items() if k != "label"})
        for piece in _pieces(clip, ["a"], 3, adjacent)
    ]
    assert not are_left_empty(torch.cat(pieces, 2)).any()
    assert inferer.report("a") == (0, 1, ())
    state = inferer.new_state()
    list(inferer.stream(clip.unbind(2), small_network, state))
    positions = state.memory.scales[2].life.shape[1] // inferer.memory_frames
    assert state.memory.sizes[0, 2] == 3 * positions
    inferer.reset()
    assert not inferer.report("a")


# Cuts -----------------------------------------------------------------------------------------------------------------


CUTS = [
    (((0, 5), (1, 4)), [5]),
    (((0, 1), (1, 2), (2, 3)), [1, 3]),
    (((0, 6),), []),
]


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [1, 3])
@pytest.mark.parametrize(("scenes", "expected_cuts"), CUTS)
@pytest.mark.usefixtures("known_scenes")
def test_after_a_cut_it_is_as_if_a_clip_began(
    small_network: LSINet,
    adjacent: str,
    encode_batch: int,
    scenes: tuple[tuple[int, int], ...],
    expected_cuts: list[int],
) -> None:
    parts = [_clip(frames, seed=seed) for seed, frames in scenes]
    plain = SequentialVideoInferer(adjacent=adjacent, **SMALL)
    inferer = SequentialVideoInferer(adjacent=adjacent, encode_batch=encode_batch, detect_cuts=True, **SMALL)
    state = inferer.new_state()
    found = torch.stack(list(inferer.stream(torch.cat(parts, 2).unbind(2), small_network, state)), 2)
    expected = torch.cat([plain(part, small_network) for part in parts], 2)
    assert state.cuts == expected_cuts and state.report().cuts == tuple(expected_cuts)
    if encode_batch == 1:
        assert torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("at", [3, 4, 5])
@pytest.mark.usefixtures("known_scenes")
def test_a_clip_with_a_cut_resumes_around_it(small_network: LSINet, adjacent: str, at: int) -> None:
    clip = torch.cat([_clip(4), _clip(4, seed=1)], 2)
    inferer = SequentialVideoInferer(adjacent=adjacent, encode_batch=3, detect_cuts=True, **SMALL)
    expected = inferer(clip, small_network)
    pieces = _pieces(clip, ["a"], at, adjacent)
    results = []
    for piece in pieces:
        other = SequentialVideoInferer(adjacent=adjacent, detect_cuts=True, **SMALL)
        if results:
            other.load_clip("a", inferer.save_clip("a"))
        inferer = other
        results.append(inferer(piece["image"], small_network, "a", piece["frame_index"], piece["is_last"]))
    torch.testing.assert_close(torch.cat(results, 2), expected, atol=1e-4, rtol=1e-4)
    assert inferer.report("a").cuts == (4,)


def test_what_detect_cuts_refuses(small_network: LSINet) -> None:
    with pytest.raises(InputError, match=r"detect_cuts=True does not work with forgetting='released'"):
        SequentialVideoInferer(forgetting="released", detect_cuts=True)
    with pytest.raises(InputError, match="one clip at a time, got a batch of 2"):
        SequentialVideoInferer(detect_cuts=True)(_clip(2, batch=2), small_network)
    assert not SequentialVideoInferer().settings["detect_cuts"]
