from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.export import StreamingStep
from lsinet_monai.inferers import SequentialVideoInferer, are_left_empty
from lsinet_monai.networks import LSINet, load_checkpoint

SIZE = (64, 96)
INTERVAL, MEMORY = 2, 3


def _clip(frames: int) -> Tensor:
    return frames_to_tensor([frame for frame, _ in phantom_clip(frames, SIZE, seed=5)], SIZE)[None]


def _expected(clip: Tensor, network: LSINet) -> Tensor:
    return SequentialVideoInferer(INTERVAL, MEMORY, adjacent="previous")(clip, network)


@pytest.mark.slow
@pytest.mark.parametrize("mask_embedding", [False, True])
def test_step_by_step_is_the_inferer(make_small_network: Callable[..., LSINet], mask_embedding: bool) -> None:
    """Over 14 frames, 7 of them written: more than the memory holds."""
    clip = _clip(14)
    network = make_small_network("pvt_v2_b0", mask_embedding)
    step = StreamingStep(network, SIZE, INTERVAL, MEMORY)
    state, logits = step.new_state(), []
    shapes = [x.shape for x in state]
    for frame in clip.unbind(2):
        logit, *state = step(frame, *state)
        logits.append(logit)
        assert [x.shape for x in state] == shapes
    torch.testing.assert_close(torch.stack(logits, 2), _expected(clip, network), atol=1e-4, rtol=0)
    assert len(shapes) == len(step.state_names)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [0, 4, 5])
def test_a_bad_frame_is_left_empty_as_by_the_inferer(small_network: LSINet, bad: int) -> None:
    clip = _clip(8)
    clip[:, :, bad], clip[:, :, 2] = float("nan"), -1.0
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY)
    state, logits = step.new_state(), []
    for frame in clip.unbind(2):
        logit, *state = step(frame, *state)
        logits.append(logit)
    found = torch.stack(logits, 2)
    assert are_left_empty(found)[0, 0].nonzero().tolist() == [[bad]]
    torch.testing.assert_close(found, _expected(clip, small_network), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_frame_index_of_0_starts_a_video_whatever_the_rest_holds(small_network: LSINet) -> None:
    clip = _clip(5)
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY)
    state = step.new_state()
    for frame in clip.unbind(2):
        _, *state = step(frame, *state)
    state[0] = torch.zeros_like(state[0])
    logits = []
    for frame in clip.unbind(2):
        logit, *state = step(frame, *state)
        logits.append(logit)
    torch.testing.assert_close(torch.stack(logits, 2), _expected(clip, small_network), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "value"), [("memory_interval", 0), ("memory_frames", 0)])
def test_bad_arguments(small_network: LSINet, name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"^{name}=0 must be a whole number of 1 or more$"):
        StreamingStep(small_network, SIZE, **{name: value})


@pytest.mark.slow
def test_exported_program_is_the_inferer(small_network: LSINet) -> None:
    clip = _clip(8)
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY).eval()
    with torch.no_grad():
        program = torch.export.export(step, (clip[:, :, 0], *step.new_state())).module()
        state, logits = step.new_state(), []
        for frame in clip.unbind(2):
            logit, *state = program(frame, *state)
            logits.append(logit)
    torch.testing.assert_close(torch.stack(logits, 2), _expected(clip, small_network), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_onnx_file_is_the_inferer_over_50_frames(onnx_step: Path, demo_model: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, image_size = load_checkpoint(demo_model)
    size = (image_size, image_size)
    clip = frames_to_tensor([frame for frame, _ in phantom_clip(50, size, seed=5)], size)[None]
    step = StreamingStep(network, size, INTERVAL, MEMORY)
    session = onnxruntime.InferenceSession(onnx_step, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    assert names == ["frame", *step.state_names]
    assert [x.name for x in session.get_outputs()] == ["logit", *(f"next_{name}" for name in step.state_names)]
    state, logits = [x.numpy() for x in step.new_state()], []
    for frame in clip.unbind(2):
        logit, *state = session.run(None, dict(zip(names, [frame.numpy(), *state], strict=True)))
        logits.append(logit)
    found, expected = np.stack(logits, 2), _expected(clip, network).numpy()
    assert np.abs(found - expected).max() <= 1e-2 and np.abs(found - expected).mean() <= 2e-4
    masks = found > 0, expected > 0
    assert 2 * (masks[0] & masks[1]).sum() >= 0.999 * (masks[0].sum() + masks[1].sum()) > 0


def test_a_frame_or_a_state_that_does_not_fit(small_network: LSINet) -> None:
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY)
    frame, state = _clip(1)[:, :, 0], step.new_state()
    for given in ((frame[..., :64], *state), (frame.repeat(2, 1, 1, 1), *state), (frame, *state[:-1])):
        with pytest.raises(InputError, match=r"a step needs a frame \(1, 3, 64, 96\) and 16 tensors of the state, got"):
            step(*given)
