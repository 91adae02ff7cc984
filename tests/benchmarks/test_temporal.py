"""The benchmark of time, on tiny clips and with a tiny network."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data.stills import SpoiledClip, Stretch
from lsinet_monai.networks import LSINet, save_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the script as Python finds it there."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("temporal")


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    y, x = np.mgrid[:120, :150]
    mask = np.hypot(x - 70, y - 60) < 30
    still = np.where(mask[..., None], (210, 150, 140), (150, 60, 50)).astype(np.uint8)
    for folder, picture in (("images", still), ("masks", mask.astype(np.uint8) * 255)):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / "a.png")
    return tmp_path


def a_moving_disc(frames: int = 30) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames of a disc that moves by three pixels a frame, and where it is."""
    y, x = np.mgrid[:96, :160]
    texture = np.random.default_rng(0).integers(0, 60, (96, 160))
    truth = np.stack([np.hypot(x - 30 - 3 * t, y - 48) < 20 for t in range(frames)])
    pictures = [np.where(disc, 150 + np.roll(texture, 3 * t, 1), texture) for t, disc in enumerate(truth)]
    return [np.repeat(picture[..., None], 3, 2).astype(np.uint8) for picture in pictures], truth


def test_along_the_flow_a_lost_frame_is_found_again(temporal: Any) -> None:
    frames, truth = a_moving_disc()
    probabilities = np.where(truth, 0.9, 0.1).astype(np.float32)
    probabilities[15] = 0.1
    smoothed = temporal.smooth_along_flow(frames, probabilities, 0.8)
    assert smoothed.shape == probabilities.shape and smoothed.min() >= 0 and smoothed.max() <= 1
    assert ((smoothed[15] > 0.5) ^ truth[15]).mean() < 0.02


# the function, its strength, and the weight of a frame by its distance
SMOOTHERS = [
    ("smooth", 1.5, lambda distance: np.exp(-(distance**2) / (2 * 1.5**2))),
    ("smooth_along_flow", 0.8, lambda distance: 0.8**distance),
]


@pytest.mark.parametrize(("name", "strength", "weight"), SMOOTHERS)
def test_weights_in_time(temporal: Any, name: str, strength: float, weight: Any) -> None:
    """Where nothing moves, a mark in one frame is shared among the frames, and one in all of them stays."""
    time = np.arange(31)
    probabilities = np.zeros((31, 48, 80), np.float32)
    probabilities[15, 10:30], probabilities[:, 35:] = 1, 0.6
    arguments = [probabilities, strength] if name == "smooth" else [a_moving_disc(1)[0] * 31, probabilities, strength]
    smoothed = getattr(temporal, name)(*arguments)
    shares = [weight(abs(frame - 15)) / weight(abs(frame - time)).sum() for frame in time]
    assert smoothed[:, 20, 40] == pytest.approx(np.array(shares), abs=0.001)
    assert smoothed[:, 42, 40] == pytest.approx(0.6)


def test_columns(temporal: Any) -> None:
    frames = [(np.zeros((64, 64, 3), np.uint8), np.ones((64, 64), bool))] * 20
    columns = temporal.columns_of(SpoiledClip(frames, [Stretch(3, 1, "smoke", 0), Stretch(12, 5, "blur", 0)]))
    expected = [("clean",)] * 3 + [("spoiled", "smoke", "1 frame")] + [("after",)] * 5 + [("clean",)] * 3
    assert columns == expected + [("spoiled", "blur", "5 frames")] * 5 + [("after",)] * 3


def test_scores_of_a_clip(temporal: Any) -> None:
    """Four frames: found, found in half, nothing there but marked, and found."""
    mask, empty = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    mask[:4] = True
    half = mask.copy()
    half[:2] = False
    columns = [("clean",), ("spoiled", "glare", "1 frame"), ("spoiled", "out of view", "1 frame"), ("after",)]
    masks = [x.astype(np.float32) for x in (mask, half, half, mask)]
    scores = temporal.score(masks, [mask, mask, empty, mask], columns)
    assert (scores["empty"], scores["marked"]) == (1, 1)
    assert (scores["clean"], scores["after"]) == (1, 1)
    assert scores["spoiled"] == scores["glare"] == pytest.approx(2 / 3)  # 2 * 20 / (20 + 40)
    assert "out of view" not in scores
    # The mask changes by 1/2, 0 and 1/2; the truth by 0, 1 and 1.
    assert scores["flicker"] == pytest.approx(0.5 / 3)


def test_the_better_of_two_single_frames(temporal: Any) -> None:
    def rows(dice: float) -> dict[str, dict[str, float]]:
        return {way: {"clean": dice, "spoiled": dice} for way in (temporal.ALONE, temporal.SMOOTHED)}

    own = {**rows(0.7), temporal.WHOLE: {"clean": 0.8, "spoiled": 0.8}}
    assert temporal.with_better_single_frames(own, rows(0.6)) == own
    better = temporal.with_better_single_frames(own, rows(0.75))
    assert better[temporal.ALONE]["clean"] == better[temporal.SMOOTHED]["clean"] == 0.75
    assert better[temporal.WHOLE]["clean"] == 0.8 and better["this network, a frame by itself"]["clean"] == 0.7


def test_each_length_meets_each_kind_once_in_six_clips(temporal: Any) -> None:
    frames = [(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool))] * 60
    met = set()
    for number in range(6):
        clip = temporal.spoil(temporal.ClipId("stills", 60, number), lambda _: frames)
        stretches = {clip.spoiled_at(index) for index in range(60)} - {None}
        met |= {(stretch.length, stretch.kind) for stretch in stretches}
    assert len(met) == 18


@pytest.mark.slow
def test_a_run_and_its_resumption(
    temporal: Any, small_network: LSINet, stills: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    models = [stills / "one.pt", stills / "shipped.pt"]
    save_model(small_network, models[0], 64)
    shipped = LSINet("mobilenetv3_small_050", drop_path_rate=0.0).eval()
    save_model(shipped, models[1], 64)
    monkeypatch.setattr(temporal, "SHIPPED", models[1])
    monkeypatch.setattr(temporal, "SIZE", (64, 80))
    monkeypatch.setattr(temporal, "SMALL", (32, 40))
    output = stills / "output"
    command = ["temporal", "--models", str(models[0]), "--stills", str(stills), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", [*command, "--clips", "1x30"])
    temporal.main()
    assert len((output / "clips.jsonl").read_text().splitlines()) == 2
    name = f"{stills.name}-one"
    assert len(list(output.glob(f"{name}-*.png"))) == 1
    monkeypatch.setattr(sys, "argv", [*command, "--clips", "1x30", "1x20"])
    temporal.main()
    assert len((output / "clips.jsonl").read_text().splitlines()) == 4
    with (output / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    ways = [temporal.ALONE, temporal.SMOOTHED, temporal.FLOW]
    assert [row["way"] for row in rows if row["model"] == "shipped"] == ways
    assert {row["way"] for row in rows if row["model"] == name} == {*temporal.CUES, *ways}
    assert all(0 <= float(row["clean"]) <= 1 and float(row["flicker"]) >= 0 for row in rows)
    printed = capsys.readouterr().out
    assert printed.count(f"| {temporal.WHOLE} |") == 8  # two tables, for the model and for all, in two runs
