from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer, VideoSession
from lsinet_monai.inferers.adjacent import ClearestFrame
from lsinet_monai.inferers.bad_frames import are_blank
from lsinet_monai.inferers.captured import CapturedCalls
from lsinet_monai.inferers.clarity import clarity_at
from lsinet_monai.inferers.cuts import SeenFrame
from lsinet_monai.inferers.frame_engine import FrameEngine, FrameEngines
from lsinet_monai.inferers.smoothing import smooth
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.networks import LSINet
from lsinet_monai.networks.half_precision import halve_encoder

# A small memory that is written often, so that a short clip fills it and it forgets.
SMALL = {"memory_interval": 2, "memory_frames": 2}
ADJACENT = ["next", "previous"]


def _clip(frames: int = 8, size: int = 64, batch: int = 1, seed: int = 0) -> Tensor:
    """A scene that changes a little from frame to frame."""
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randn(batch, 3, 1, size, size, generator=generator)
    return scene + 0.3 * torch.randn(batch, 3, frames, size, size, generator=generator).cumsum(2)


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch, backend: Any) -> Callable[[], Any]:
    """From its call on, the engines of all inferers capture on a CPU as they would on a GPU."""

    def replace() -> Any:
        calls = CapturedCalls(backend)
        monkeypatch.setattr(FrameEngines, "get", lambda _, network, amp_dtype=None: FrameEngine(network, None, calls))
        return backend

    return replace


def _segment(inferer: SequentialVideoInferer, clip: Tensor, network: LSINet) -> tuple[Tensor, list[Tensor]]:
    """The logits of a clip, and its memory after it."""
    state = inferer.new_state()
    logits = torch.stack(list(inferer.stream(clip.unbind(2), network, state)), 2)
    return logits, [x for scale in state.memory.scales for x in scale.tensors()]


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [1, 3])
def test_graphs_change_nothing(
    small_network: LSINet, capture: Callable[[], Any], adjacent: str, encode_batch: int
) -> None:
    options: dict[str, Any] = {"adjacent": adjacent, "encode_batch": encode_batch, **SMALL}
    clips = [_clip(9), _clip(4, seed=1), _clip(7, batch=2), _clip(9, size=72), _clip(9, seed=2)]
    clips[2][0, :, 4] = clips[4][:, :, 6] = float("nan")
    clips[4][:, :, 2] = -1.0
    expected = [_segment(SequentialVideoInferer(**options), clip, small_network) for clip in clips]
    backend = capture()
    inferer = SequentialVideoInferer(**options)
    for clip, wanted in zip(clips, expected, strict=True):
        torch.testing.assert_close(_segment(inferer, clip, small_network), wanted, atol=1e-4, rtol=0)
    assert backend.replays > 30


def test_graphs_find_the_same_cuts(small_network: LSINet, capture: Callable[[], Any]) -> None:
    clip = torch.cat([_clip(7), _clip(8, seed=3)], 2)
    clip[:, :, 3] = 0.5  # a frame of one colour
    options: dict[str, Any] = {"encode_batch": 2, "detect_cuts": True, **SMALL}

    def segment() -> tuple[Tensor, list[int]]:
        inferer = SequentialVideoInferer(**options)
        logits = inferer(clip, small_network, "a", 0, True)
        return logits, list(inferer.report("a").cuts)

    expected, expected_cuts = segment()
    backend = capture()
    found, cuts = segment()
    assert cuts == expected_cuts and backend.captures == 4
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_clips_in_turn_and_a_saved_one(small_network: LSINet, capture: Callable[[], Any]) -> None:
    capture()
    clips = [_clip(), _clip(seed=1)]
    inferer = SequentialVideoInferer(adjacent="previous", **SMALL)
    expected = [inferer(clip, small_network) for clip in clips]
    found: list[list[Tensor]] = [[], []]
    for first in range(0, 8, 2):
        for number, clip in enumerate(clips):
            piece = clip[:, :, first : first + 2]
            found[number].append(inferer(piece, small_network, str(number), first, first == 6))
            if first == 2:
                inferer.load_clip(str(number), copy.deepcopy(inferer.save_clip(str(number))))
    for pieces, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.cat(pieces, 2), wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_which_steps_have_graphs(small_network: LSINet, capture: Callable[[], Any], forgetting: str) -> None:
    backend = capture()
    inferer = SequentialVideoInferer(2, adjacent="previous", forgetting=forgetting)
    inferer(_clip(), small_network)
    # The encoder, and with the usage rule a frame's step with and without a write.
    assert backend.captures == (3 if forgetting == "usage" else 1)


def test_a_session_with_corrections(small_network: LSINet, capture: Callable[[], Any]) -> None:
    video = np.random.default_rng(0).integers(0, 255, (10, 48, 80, 3), np.uint8)
    mask = np.zeros((48, 80), bool)
    mask[10:30, 20:50] = True

    def propagate() -> list[np.ndarray]:
        session = VideoSession(small_network, video, 64, SequentialVideoInferer(**SMALL), reach=2)
        maps = [probability for _, probability in session.propagate(0, 10)]
        for frame in (3, 7):
            session.add_mask(frame, mask)
            maps += [probability for _, probability in session.propagate(0, 10)]
        return maps

    expected = propagate()
    backend = capture()
    np.testing.assert_allclose(propagate(), expected, atol=1e-4)
    assert backend.replays > 20


@torch.no_grad()
def test_checks_come_before_replays(small_network: LSINet, backend: Any) -> None:
    engine = FrameEngine(copy.deepcopy(small_network), None, CapturedCalls(backend))
    for _ in range(3):
        features = engine.encode([_clip(1)[:, :, 0]])[0]
    with pytest.raises(InputError, match="values from"):
        engine.encode([torch.full((1, 3, 64, 64), 255.0)])
    memory = MemoryBank(2)
    memory.write(features.keys, features.values)
    other = engine.encode([_clip(1, batch=2)[:, :, 0]])[0]
    for _ in range(3):
        with pytest.raises(InputError, match="1 clips"):
            engine.segment(other, other, memory, False, (64, 64))


def test_copies_have_no_graphs() -> None:
    inferer = SequentialVideoInferer()
    for other in (copy.deepcopy(inferer), pickle.loads(pickle.dumps(inferer))):
        assert other.settings == inferer.settings
        assert other._engines is not inferer._engines


def _on_cuda(network: LSINet, mode: FakeTensorMode) -> LSINet:
    """A copy with fake weights, which have a shape and the device "cuda", and no values."""
    network = copy.deepcopy(network)
    with mode:
        for module in network.modules():
            for tensors in (module._parameters, module._buffers):
                for name, x in tensors.items():
                    if x is not None:
                        fake = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="cuda")
                        tensors[name] = nn.Parameter(fake, False) if isinstance(x, nn.Parameter) else fake
    return network


class StayOnTheGPU(TorchDispatchMode):
    """Refuse operators that copy between CPU and GPU. Fake tensors refuse .item() and shapes that depend on values."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if str(func) == "aten.lift_fresh.default" and result.ndim == 0:
            return result  # a number, with which PyTorch 2.11 fills a tensor on the GPU
        tensors = [x for x in tree_leaves((args, result)) if isinstance(x, Tensor)]
        copies = str(func).startswith(("aten._to_copy", "aten.copy"))
        if any(x.device.type != "cuda" for x in tensors if copies or x.ndim > 0):
            raise AssertionError(f"{func} uses a tensor on the CPU")
        return result


def test_what_waits_for_a_gpu_is_noticed() -> None:
    waits: list[Callable[[Tensor], Any]] = [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x + torch.tensor([1.0, 2.0], device="cpu").to(x.device),
        lambda x: x + torch.tensor(1.0).to(x.device),
    ]
    for wait in waits:
        with pytest.raises(Exception, match=r"CPU|aten"), FakeTensorMode():
            x = torch.empty(2, device="cuda")
            with StayOnTheGPU():
                wait(x)


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("amp_dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [(64, 64), (70, 100)], ids=str)
def test_nothing_waits_for_the_gpu(
    prompt_network: LSINet, backend: Any, size: tuple[int, int], amp_dtype: torch.dtype | None
) -> None:
    """A frame, captured and not, for a memory that is filling and a full one, with and without a write."""
    mode = FakeTensorMode()
    network = halve_encoder(prompt_network, amp_dtype) if amp_dtype else prompt_network
    engine = FrameEngine(_on_cuda(network, mode), None, CapturedCalls(backend))
    with mode, StayOnTheGPU():
        memory = MemoryBank(2)
        for write in (True, True, False, False, True, True):
            frames = [torch.empty(1, 3, *size, device="cuda") for _ in range(2)]
            current, adjacent = engine.encode(frames)
            features, coarse = ([x.features[stride] for x in (current, adjacent)] for stride in (1, 2))
            seen = SeenFrame(features[0], clarity_at(coarse[0]))
            cuts, *_ = engine.follow_scene(seen, features, coarse, [~are_blank(frame) for frame in frames])
            assert cuts.shape == (2,)
            clearest = ClearestFrame.after(None, current)
            logit = engine.segment(current, clearest.or_following(adjacent), memory, write, size)
            assert logit.shape == (1, 1, *size)
            _, smoothed = smooth(None, logit, current, 0.35)
            logit, _ = smooth(smoothed, logit, adjacent, 0.35)
            refined = engine.refine(current, engine.see(frames)[0], logit)
            assert logit_to_probability(refined[0, 0], (80, 90)).shape == (80, 90)
    assert backend.captures == 6


@pytest.mark.gpu
@pytest.mark.parametrize("adjacent", ADJACENT)
@pytest.mark.parametrize("encode_batch", [1, 3])
def test_graphs_change_nothing_on_cuda(
    small_network: LSINet, monkeypatch: pytest.MonkeyPatch, adjacent: str, encode_batch: int
) -> None:
    network = copy.deepcopy(small_network).cuda()
    options: dict[str, Any] = {"adjacent": adjacent, "encode_batch": encode_batch, **SMALL}
    inferer, eager = SequentialVideoInferer(**options), SequentialVideoInferer(**options)
    monkeypatch.setattr(eager, "engine", lambda network: FrameEngine(network, None, None))
    two_scenes = torch.cat([_clip(9, seed=2), _clip(5)], 2)
    for clip in (_clip(9), _clip(4, seed=1), _clip(7, batch=2), _clip(9, size=72), two_scenes):
        inferer.detect_cuts = eager.detect_cuts = len(clip) == 1
        found = _segment(inferer, clip.cuda(), network)
        expected = _segment(eager, clip.cuda(), network)
        torch.testing.assert_close(found[0], expected[0], atol=1e-3, rtol=1e-3)
    assert len(inferer.engine(network)._calls) > 3


@pytest.mark.gpu
def test_graphs_go_with_their_network_on_cuda(small_network: LSINet) -> None:
    network = copy.deepcopy(small_network).cuda()
    inferer = SequentialVideoInferer(amp_dtype="bfloat16", adjacent="previous", **SMALL)
    clip = _clip().cuda()
    before = inferer(clip, network)
    assert inferer.engine(network)._calls is inferer.engine(network)._calls
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(0.9)
    after = SequentialVideoInferer(amp_dtype="bfloat16", adjacent="previous", **SMALL)(clip, network)
    torch.testing.assert_close(inferer(clip, network), after, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(before, after, atol=1e-3)
    calls = weakref.ref(inferer.engine(network)._calls)
    del network
    gc.collect()
    assert calls() is None
