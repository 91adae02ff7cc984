from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise, product

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.__main__ import main
from lsinet_monai.data.phantom import dataset, phantom_clip, write_phantom
from lsinet_monai.errors import InputError

SIZES = [(32, 32), (48, 64), (65, 50)]
OTHER_CLIPS = [{"seed": 1}, {"patient": 4}, {"clip": 2}]
TOO_SMALL = [
    ({"frames": 0}, "frames is 0"),
    ({"size": (64, 16)}, "size is 64x16"),
    ({"seed": -1}, "seed is -1"),
    ({"patient": -1}, "patient is -1"),
]
SPLITS = [  # clips asked for, training cases, held-out cases
    (1, ["case1_1"], []),
    (2, ["case1_1"], ["case2_1"]),
    (6, ["case1_1", "case2_1", "case3_1", "case3_2", "case4_1"], ["case5_1"]),
]
BAD_COMMANDS = [
    (["--clips", "0"], "clips is 0"),
    (["--frames", "-3"], "frames is -3"),
    (["--size", "256"], "--size is '256'"),
    (["--size", "0x64"], "size is 0x64"),
    (["--seed", "-1"], "seed is -1"),
]


def make(frames=3, size=(48, 64), seed=0, **other):
    clip = list(phantom_clip(frames, size, seed, **other))
    return np.stack([frame for frame, _ in clip]), np.stack([mask for _, mask in clip])


@pytest.fixture(scope="module")
def many():
    """Masks (patients, frames, 48, 48) of a dozen patients' clips."""
    return np.stack([make(30, (48, 48), seed=3, patient=patient)[1] > 0 for patient in range(12)])


@pytest.mark.parametrize("size", SIZES)
def test_shapes_and_values(size):
    frames, masks = make(2, size)
    assert frames.shape == (2, *size, 3) and frames.dtype == np.uint8
    assert masks.shape == (2, *size) and masks.dtype == np.uint8
    assert set(np.unique(masks)) <= {0, 255}


def test_same_arguments_same_clip_and_longer_clip_same_beginning():
    frames, masks = make(6)
    again = make(9)
    np.testing.assert_array_equal(again[0][:6], frames)
    np.testing.assert_array_equal(again[1][:6], masks)


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHER_CLIPS)
def test_other_arguments_other_clip(other):
    assert (make(1)[0] != make(1, **other)[0]).mean() > 0.1


def test_frames_move_but_not_by_much():
    frames, _ = make(8)
    change = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames)]
    assert min(change) > 0 and max(change) < 40


@pytest.mark.slow
def test_every_clip_shows_a_polyp_soon_and_often(many):
    shown = many.mean((2, 3)) > 0.001
    assert all(clip[:length].mean() >= 1 / 3 for clip, length in product(shown, (20, 30)))
    assert 0.55 < shown.mean() < 0.9


@pytest.mark.slow
def test_polyps_leave_and_come_back():
    shown = (make(150, (32, 32), seed=2)[1] > 0).mean((1, 2)) > 0.001
    assert np.count_nonzero(np.diff(shown.astype(int)) == 1) >= 2


@pytest.mark.slow
def test_polyps_are_of_every_size_and_move_little_from_frame_to_frame(many):
    area = many.mean((2, 3))
    usual = area[area > 0.001]
    assert 0.015 < np.median(usual) < 0.1 and np.quantile(usual, 0.95) < 0.3
    overlaps = [
        (a & b).sum() / (a | b).sum() for clip in many for a, b in pairwise(clip) if a.mean() > 0.001 < b.mean()
    ]
    assert np.median(overlaps) > 0.7


@pytest.mark.slow
def test_a_fixed_mask_predicts_poorly(many):
    masks = many[many.mean((2, 3)) > 0.001]
    mean = masks.mean(0)
    fixed = [mean > threshold for threshold in np.linspace(0, mean.max(), 20, endpoint=False)]
    dice = [np.mean(2 * (masks & f).sum((1, 2)) / (masks.sum((1, 2)) + f.sum())) for f in fixed]
    assert max(dice) < 0.35


@pytest.mark.parametrize("arguments, message", TOO_SMALL)
def test_too_small_numbers_are_named_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        phantom_clip(**{"frames": 2, "size": (64, 64), "seed": 0, **arguments})


@pytest.mark.slow
@pytest.mark.parametrize("clips, train, held_out", SPLITS)
def test_layout(tmp_path, clips, train, held_out):
    write_phantom(tmp_path, clips, 2, (32, 32), seed=0)
    for split, cases in (("TrainDataset", train), ("TestEasyDataset/Unseen", held_out)):
        for kind, suffix in (("Frame", ".jpg"), ("GT", ".png")):
            found = tmp_path / split / kind
            assert sorted(os.listdir(found) if found.exists() else []) == cases
            for case in cases:
                patient, clip = case.removeprefix("case").split("_")
                stem = f"case_P_{int(patient):03d}_a{clip}_ayy_image"
                assert sorted(os.listdir(found / case)) == [f"{stem}{n:04d}{suffix}" for n in (1, 2)]
    assert {path.name for path in tmp_path.iterdir()} <= {"PHANTOM.txt", "TrainDataset", "TestEasyDataset"}


def test_files_hold_the_clip_and_say_that_it_is_synthetic(tmp_path):
    main(["phantom", str(tmp_path / "out"), "--clips", "1", "--frames", "1", "--size", "48x64", "--seed", "7"])
    frames, masks = make(1, (48, 64), 7, patient=1)
    case = tmp_path / "out/TrainDataset"
    frame = np.array(Image.open(next(case.glob("Frame/case1_1/*.jpg"))))
    mask = Image.open(next(case.glob("GT/case1_1/*.png")))
    assert np.abs(frame.astype(int) - frames[0]).mean() < 4
    assert mask.mode == "L"
    np.testing.assert_array_equal(np.array(mask), masks[0])
    note = (tmp_path / "out/PHANTOM.txt").read_text()
    assert "synthetic" in note and "--clips 1 --frames 1 --size 48x64 --seed 7" in note


def test_overwrite_replaces_a_phantom_and_nothing_else(tmp_path):
    write_phantom(tmp_path, 2, 1, (32, 32), seed=0)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_phantom(tmp_path, 1, 1, (32, 32), seed=0)
    main(["phantom", str(tmp_path), "--clips", "1", "--frames", "1", "--size", "32x32", "--overwrite"])
    assert not (tmp_path / "TestEasyDataset/Unseen").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_overwrite_spares_what_no_phantom_wrote(tmp_path):
    real = tmp_path / "TrainDataset/Frame/case1/1.jpg"
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(InputError, match=r"no PHANTOM\.txt"):
        write_phantom(tmp_path, 1, 1, (32, 32), seed=0, overwrite=True)
    assert real.read_bytes() == b"real"


def test_interrupted_run_leaves_no_half_written_case(tmp_path, monkeypatch):
    def stop_at_second_frame(*arguments):
        yield next(phantom_clip(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "phantom_clip", stop_at_second_frame)
    with pytest.raises(KeyboardInterrupt):
        write_phantom(tmp_path, 1, 2, (32, 32), seed=0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["PHANTOM.txt", "TrainDataset"]


@pytest.mark.parametrize("arguments, message", BAD_COMMANDS)
def test_bad_commands_say_what_is_wrong(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        main(["phantom", str(tmp_path / "out"), *arguments])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--size", "big"], ["--clips", "many"]])
def test_a_command_fails_in_one_line(tmp_path, arguments):
    command = [sys.executable, "-m", "lsinet_monai", "phantom", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
