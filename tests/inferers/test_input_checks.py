"""What an engineer may hand to the inferers by mistake: one clear error, which says the way out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import MemoryBank, SequentialVideoInferer, VideoSession, encode_frames
from lsinet_monai.inferers.input_checks import as_mask, check_frame_numbers, read_frame
from lsinet_monai.networks import LSINet

CLIP = torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
FRAMES = list(np.random.default_rng(0).integers(0, 255, (3, 64, 80, 3), np.uint8))
TRAINING_MODE = r"the network, or a part of it, is in training mode: call network\.eval\(\)"

# (the clip, further arguments, a part of the error)
BAD_CLIPS = [
    (CLIP.numpy(), {}, r"one tensor \(B, 3, T, H, W\), got array float32"),
    (list(CLIP), {}, "one tensor .* got list: stack clips of one length"),
    (CLIP[:0], {}, r"with at least one frame are needed, got \(0, 3, 4, 64, 64\)"),
    (CLIP[0], {}, "clips"),
    (CLIP.movedim(1, 4), {}, r"got \(2, 4, 64, 64, 3\)"),
    (CLIP.clamp(0, 1).mul(255).byte(), {}, "floating-point numbers, got tensor uint8"),
    (CLIP.clamp(0, 1).mul(255), {}, "values from 0 to 255"),
    (CLIP, {"frame_index": 0, "is_last": True}, "give its clip_id too"),
    (CLIP, {"clip_id": ["a", "b"], "frame_index": 0}, "is_last is missing: each piece of a clip needs clip_id, frame"),
    (CLIP, {"clip_id": ["a", "b"], "is_last": True}, "frame_index is missing: each piece of a clip needs clip_id"),
    (CLIP, {"clip_id": "a", "frame_index": 0, "is_last": True}, "name each of 2 clips once, got a$"),
    (CLIP, {"clip_id": ["a", "a"], "frame_index": 0, "is_last": True}, "name each of 2 clips once, got a, a"),
]
FIRST, OTHER = CLIP[:1, :, 0], torch.zeros(1, 3, 64, 96)
# (the frames of a stream, a part of the error)
BAD_STREAMS = [
    ([FIRST, OTHER], r"frame 1 has the shape \(1, 3, 64, 96\), and the frames before it \(1, 3, 64, 64\): resize"),
    ([FIRST, FIRST, FIRST[..., :40, :]], r"frame 2 has the shape \(1, 3, 40, 64\)"),
    ([FIRST[..., :60].repeat(1, 1, 1, 2)[..., :70], FIRST.repeat(1, 1, 1, 2)[..., :96]], "frame 1"),  # padded alike
    ([FIRST, CLIP[:, :, 0]], r"frame 1 has the shape \(2, 3, 64, 64\)"),
    ([FIRST.numpy()], r"frame 0 must be a tensor \(B, 3, H, W\), got array"),
    ([FIRST, FIRST.numpy()], "frame 1 must be a tensor"),
    ([FIRST[0]], "frames .* are needed"),
    (CLIP, "frames .* are needed"),
]
# (the frames of a session, further arguments, a part of the error)
BAD_SESSIONS = [
    ("video.mp4", {}, r"source='video\.mp4' is a path: open it with lsinet_monai\.data\.open_video"),
    (Path("video.mp4"), {}, "is a path"),
    (iter(FRAMES), {}, "a length and frames by index, got list_iterator: give a list"),
    (FRAMES, {"image_size": 32}, "image_size=32 must be a whole number of 64 or more"),
    (FRAMES, {"image_size": "64"}, "image_size='64'"),
    (FRAMES, {"reach": -1}, "reach=-1 must be a whole number of 0 or more"),
    (FRAMES, {"reach": 2.5}, r"reach=2\.5"),
]
# (frames of a session that are not pictures, a part of the error)
BAD_PICTURES = [
    ([frame / np.float32(255) for frame in FRAMES], r"uint8 \(H, W, 3\), .* got array float32 \(64, 80, 3\)"),
    ([torch.from_numpy(frame) for frame in FRAMES], "got tensor uint8"),
    ([frame.transpose(2, 0, 1) for frame in FRAMES], r"got array uint8 \(3, 64, 80\)"),
    ([frame[..., 0] for frame in FRAMES], r"got array uint8 \(64, 80\)"),
    ([frame.astype(np.uint16) for frame in FRAMES], "got array uint16"),
    (CLIP, "got tensor float32"),
]
NUMBERS = ["1", 1.5, None]


@pytest.mark.parametrize(("clip", "given", "said"), BAD_CLIPS)
def test_clips(small_network: LSINet, clip: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        SequentialVideoInferer()(clip, small_network, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("frames", "said"), BAD_STREAMS)
@pytest.mark.parametrize("encode_batch", [1, 4])
def test_streams(small_network: LSINet, encode_batch: int, frames: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(SequentialVideoInferer(encode_batch=encode_batch).stream(frames, small_network))


@pytest.mark.parametrize("adjacent", ["next", "previous"])
def test_a_piece_of_another_size_than_the_one_before(small_network: LSINet, adjacent: str) -> None:
    inferer = SequentialVideoInferer(adjacent=adjacent)
    state = inferer.new_state()
    list(inferer.stream([FIRST, FIRST], small_network, state, is_last=False))
    resumed = inferer.new_state()
    resumed.load_state_dict(state.state_dict())
    for each in (state, resumed):
        with pytest.raises(InputError, match=rf"frame {each.frame_index} has the shape \(1, 3, 64, 96\)"):
            list(inferer.stream([OTHER, OTHER], small_network, each))


@pytest.mark.parametrize(("source", "given", "said"), BAD_SESSIONS)
def test_sessions(small_network: LSINet, source: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        VideoSession(small_network, source, **{"image_size": 64, **given})


@pytest.mark.parametrize(("source", "said"), BAD_PICTURES)
def test_a_sessions_pictures(small_network: LSINet, source: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(VideoSession(small_network, source, 64).propagate())
    with pytest.raises(InputError, match=said):
        VideoSession(small_network, source, 64).add_mask(0, np.zeros((64, 80), bool))


@pytest.mark.parametrize("number", NUMBERS)
def test_frame_numbers(small_network: LSINet, number: Any) -> None:
    session = VideoSession(small_network, FRAMES, 64)
    with pytest.raises(InputError, match=f"frame {number!r} is not a whole number"):
        session.add_mask(number, np.zeros((64, 80), bool))
    with pytest.raises(InputError, match=f"frame {number!r} is not a whole number"):
        list(session.propagate(number, 2))


def test_a_frame_is_read_if_the_video_has_it() -> None:
    check_frame_numbers(FRAMES, 0, 2)
    assert read_frame(FRAMES, 2) is FRAMES[2]
    for number in (-1, 3):
        with pytest.raises(InputError, match=f"there is no frame {number}: the video has the frames 0 to 2"):
            check_frame_numbers(FRAMES, 0, number)
        with pytest.raises(InputError, match=f"there is no frame {number}"):
            read_frame(FRAMES, number)
    with pytest.raises(InputError, match="got array float32"):
        read_frame([FRAMES[0] / np.float32(255)], 0)


def _in_session(network: LSINet) -> None:
    session = VideoSession(network.eval(), FRAMES, 64)
    network.train()
    list(session.propagate())


USES: list[Callable[[LSINet], Any]] = [
    lambda network: SequentialVideoInferer()(CLIP, network),
    lambda network: list(SequentialVideoInferer().stream([FIRST], network)),
    lambda network: encode_frames([FIRST], network),
    lambda network: VideoSession(network, FRAMES, 64),
    _in_session,
]


@pytest.mark.parametrize("use", USES)
def test_a_network_in_training_mode_is_refused(small_network: LSINet, use: Callable[[LSINet], Any]) -> None:
    with pytest.raises(InputError, match=TRAINING_MODE):
        use(copy.deepcopy(small_network).train())


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("part", ["encoder", "decoder.guide"])
def test_a_part_in_training_mode_is_refused(small_network: LSINet, use: Callable[[LSINet], Any], part: str) -> None:
    network = copy.deepcopy(small_network)
    network.get_submodule(part).train()
    with pytest.raises(InputError, match=TRAINING_MODE):
        use(network)


@pytest.mark.parametrize("use", USES)
def test_weights_of_several_types_are_refused(small_network: LSINet, use: Callable[[LSINet], Any]) -> None:
    network = copy.deepcopy(small_network)
    network.decoder.bfloat16()
    with pytest.raises(InputError, match=r"several types \(torch.bfloat16, torch.float32\): convert all of it"):
        use(network)


def test_a_video_without_frames_is_refused(small_network: LSINet) -> None:
    with pytest.raises(InputError, match="the source has no frames"):
        VideoSession(small_network, [], 64)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, lambda network: network.encoder, lambda _: "model.pt"])
@pytest.mark.parametrize("use", USES[:-1])
def test_what_is_not_the_network_is_refused(
    small_network: LSINet, use: Callable[[Any], Any], wrap: Callable[[LSINet], Any]
) -> None:
    with pytest.raises(InputError, match=r"an LSINet, got \w+; if it wraps one for several GPUs, give \.module"):
        use(wrap(small_network))


def test_no_frames_to_encode(small_network: LSINet) -> None:
    with pytest.raises(InputError, match="no frames were given"):
        encode_frames([], small_network)


# (a state, what it should be a state of, what it lacks)
SAVED: list[tuple[Any, str, str]] = [
    ({}, "a clip", "memory, frame_index, previous"),
    ({"model": {}, "network": {}}, "a clip", "memory, frame_index, previous"),
    (None, "a clip", "memory, frame_index, previous"),
    ({"memory": {}, "frame_index": 2, "previous": None}, "a memory bank", "memory_frames"),
]


@pytest.mark.parametrize(("saved", "name", "missing"), SAVED)
def test_states(saved: Any, name: str, missing: str) -> None:
    with pytest.raises(InputError, match=f"not the saved state of {name}: it lacks {missing}"):
        SequentialVideoInferer().load_clip("a", saved)


def _bank(network: LSINet, frame: Tensor = FIRST, forgetting: str = "usage") -> MemoryBank:
    bank = MemoryBank(2, forgetting)
    features = encode_frames([frame], network)[0]
    bank.write(features.keys, features.values)
    return bank


@pytest.mark.parametrize("forgetting", ["usage", "released"])
def test_a_memory_of_other_clips(small_network: LSINet, forgetting: str) -> None:
    bank = _bank(small_network, forgetting=forgetting)
    features = encode_frames([CLIP[:, :, 0]], small_network)[0]
    for use in (lambda: bank.read(features), lambda: bank.write(features.keys, features.values)):
        with pytest.raises(InputError, match="the memory holds 1 clips, and the batch has 2"):
            use()
    bank.to("meta")
    with pytest.raises(InputError, match=r"the memory is on meta, and the frame on cpu: move it with MemoryBank\.to"):
        bank.read(encode_frames([FIRST], small_network)[0])


@pytest.mark.parametrize("permanent", [False, True])
def test_a_memory_of_frames_of_another_size(small_network: LSINet, permanent: bool) -> None:
    bank = _bank(small_network)
    same, other = (encode_frames([frame], small_network)[0] for frame in (FIRST, OTHER))
    bank.write(same.keys, same.values, permanent=True)
    with pytest.raises(InputError, match="frames of 64 positions at stride 8, and this one has 96"):
        bank.write(other.keys, other.values, permanent)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_weights_in_half_precision_work(small_network: LSINet, dtype: torch.dtype) -> None:
    network = copy.deepcopy(small_network).to(dtype)
    for options in ({}, {"amp_dtype": "bfloat16"}):
        inferer = SequentialVideoInferer(2, 1, **options)
        expected, found = (inferer(CLIP[:1], each) for each in (small_network, network))
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().mean() < 0.15 * expected.std()
        # A state of the network in float32 goes on, too.
        state = inferer.new_state()
        list(inferer.stream(CLIP[:1].unbind(2), small_network, state))
        assert next(inferer.stream([FIRST, FIRST], network, state)).isfinite().all()


def test_a_session_in_half_precision(small_network: LSINet) -> None:
    mask = np.zeros((64, 80), bool)
    mask[16:40, 20:60] = True
    results = []
    for network in (small_network, copy.deepcopy(small_network).bfloat16()):
        session = VideoSession(network, FRAMES, 64, SequentialVideoInferer(1, 1))
        session.add_mask(0, mask)
        results.append(dict(session.propagate()))
    assert all(probability.dtype == np.float32 for probability in results[1].values())
    np.testing.assert_array_equal(results[1][0], mask.astype(np.float32))
    assert np.abs(results[1][2] - results[0][2]).mean() < 0.1


def test_a_mask_is_read() -> None:
    mask = np.eye(4, 6, dtype=np.uint8) * 7
    for given in (mask, mask[None], torch.from_numpy(mask), mask > 0):
        np.testing.assert_array_equal(as_mask(given, (4, 6), 3), mask > 0)
    with pytest.raises(InputError, match=r"the mask of frame 3 has the size \(4, 6\), and the frame \(6, 4\)"):
        as_mask(mask, (6, 4), 3)
    with pytest.raises(InputError, match="the mask of frame 3 is of float32"):
        as_mask(mask.astype(np.float32), (4, 6), 3)
