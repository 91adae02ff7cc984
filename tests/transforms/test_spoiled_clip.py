from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import Clip
from lsinet_monai.errors import InputError
from lsinet_monai.transforms import RandSpoiledClipd

SIZE = (64, 96)
CLEAN = {"spoiled_share": 0, "spoiled_memory_share": 0, "cut_share": 0, "empty_share": 0, "given_share": 0}
STILL = dict.fromkeys(("absence", "rim", "glare", "water", "defocus", "shake", "smoke", "instrument"), 0)


def _sample() -> dict[str, np.ndarray]:
    """A bright polyp in the middle of dark mucosa."""
    mask = np.zeros((90, 120), np.uint8)
    mask[30:60, 40:80] = 255
    frame = np.random.default_rng(0).integers(60, 100, (90, 120, 3), np.uint8)
    frame[mask > 0] += 100
    return {"image": frame, "label": mask}


def _draw(seed: int = 0, **options: Any) -> dict[str, Any]:
    transform = RandSpoiledClipd("image", "label", SIZE, **{"effects": STILL, "look": 0.0, **options})
    transform.set_random_state(seed)
    return transform(_sample())


def test_a_clip_and_the_masks_of_its_last_frames() -> None:
    drawn = _draw(clip_frames=5, loss_frames=2)
    assert drawn["image"].shape == (3, 5, *SIZE) and drawn["image"].dtype == torch.float32
    assert drawn["label"].shape == (2, *SIZE) and drawn["label"].dtype == torch.float32
    assert set(drawn["label"].unique().tolist()) <= {0.0, 1.0}


def test_masks_belong_to_the_last_frames() -> None:
    """The polyp is brighter than the mucosa, in each frame with a mask."""
    for seed in range(5):
        drawn = _draw(seed, **CLEAN)
        for frame, mask in zip(drawn["image"][:, -3:].unbind(1), drawn["label"], strict=True):
            assert frame[:, mask > 0].mean() > frame[:, mask == 0].mean() + 0.5


def test_the_random_state_decides() -> None:
    one, same, other = (_draw(seed)["image"] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_frames_are_a_second_apart_at_most_and_often_close_at_the_end() -> None:
    transform = RandSpoiledClipd("image", "label", SIZE, clip_frames=7, loss_frames=3)
    transform.set_random_state(0)
    steps = []
    for _ in range(2000):
        transform.randomize()
        steps.append(np.diff(transform._times))
    assert {step.shape for step in steps} == {(6,)}
    assert (np.min(steps), np.max(steps)) == (1, 25)
    assert 0.5 <= np.mean([(step[-3:] == 1).all() for step in steps]) <= 0.8


def test_current_frames_are_spoiled_after_clean_ones_and_the_reverse() -> None:
    transform = RandSpoiledClipd("image", "label", SIZE, clip_frames=7, loss_frames=3)
    transform.set_random_state(0)
    current, earlier, kinds = [], [], set()
    for _ in range(400):
        transform.randomize()
        spoiled = [index for stretch in transform._stretches for index in stretch.frames]
        assert len(set(spoiled)) == len(spoiled) < 7 and all(0 <= index < 7 for index in spoiled)
        current.append(any(index >= 4 for index in spoiled))
        earlier.append(any(index < 4 for index in spoiled))
        kinds |= {stretch.kind for stretch in transform._stretches}
    assert 0.5 < np.mean(current) < 0.7
    assert np.mean([b and not a for a, b in zip(current, earlier, strict=True)]) > 0.05
    assert np.mean([a and not b for a, b in zip(current, earlier, strict=True)]) > 0.2
    assert kinds == {"blur", "glare", "water", "out of view"}  # smoke and instruments are left for tests


def test_before_a_cut_a_clip_shows_another_still(tmp_path: Path) -> None:
    for name, array in (
        ("blue", np.full((90, 120, 3), (0, 0, 255), np.uint8)),
        ("mask", np.zeros((90, 120), np.uint8)),
    ):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    other = Clip("stills/blue", [str(tmp_path / "blue.png")], [str(tmp_path / "mask.png")], still=True)
    options = CLEAN | {"cut_share": 1.0}
    for seed in range(5):
        image = _draw(seed, others=[other], **options)["image"]
        is_blue = image[2].median(2).values.median(1).values > image[0].median(2).values.median(1).values + 1
        cut = int(is_blue.sum())
        assert 1 <= cut <= 4 and is_blue.tolist() == [True] * cut + [False] * (7 - cut)


def _overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_one_of_the_earlier_frames_has_a_given_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The polyp is brighter than the mucosa, in the frame whose mask is given too. Half of the masks are not true."""
    options = CLEAN | {"given_share": 1.0, "clip_frames": 3, "loss_frames": 1}
    given = [_draw(seed, **options)["given_mask"][0] > 0 for seed in range(16)]
    monkeypatch.setattr(RandSpoiledClipd, "_spoil_mask", lambda self, mask: mask)
    drawn = [_draw(seed, **options) for seed in range(16)]
    true = [each["given_mask"][0] > 0 for each in drawn]
    for each, mask in zip(drawn, true, strict=True):
        frame = each["image"][:, each["given_frame"]].mean(0)
        overlap = _overlap(frame > (frame.min() + frame.max()) / 2, mask)
        assert overlap > 0.9
    assert {int(each["given_frame"]) for each in drawn} == {0, 1}
    overlaps = np.array([_overlap(*masks) for masks in zip(given, true, strict=True)])
    assert 0.25 < np.mean(overlaps == 1) < 0.75 and overlaps.min() > 0.3


def test_most_clips_have_no_given_mask() -> None:
    without = _draw(0, **CLEAN)
    assert int(without["given_frame"]) == -1 and not without["given_mask"].any()
    shares = [int(_draw(seed, clip_frames=3, loss_frames=1)["given_frame"]) >= 0 for seed in range(60)]
    assert 0.05 < np.mean(shares) < 0.4


def test_clips_that_look_away_from_the_polyp() -> None:
    polyp, empty = (
        np.mean([_draw(seed, **CLEAN | {"empty_share": share})["label"].mean() for seed in range(8)])
        for share in (0.0, 1.0)
    )
    assert empty < 0.2 * polyp


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss_frames": 7}, "loss_frames=7 must be below clip_frames=7"),
        ({"loss_frames": 0}, "loss_frames=0"),
        ({"cut_share": 1.5}, "cut_share=1.5 must be a number from 0 to 1"),
        ({"effects": {"fog": 1}}, "'fog' is not one of"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RandSpoiledClipd("image", "label", SIZE, **options)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_a_mask_of_0_and_1_is_refused(dtype: type) -> None:
    sample = _sample()
    sample["label"] = (sample["label"] > 0).astype(dtype)
    transform = RandSpoiledClipd("image", "label", SIZE)
    with pytest.raises(InputError, match="'label' is a mask of 0 and 1: give one of 0 to 255"):
        transform(sample)
