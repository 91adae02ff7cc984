from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.scenes import FRAMES, Pair, fit, make_clip, pairs_of_clips, print_rates
from lsinet_monai.data import find_stills
from lsinet_monai.networks import LSINet

STILLS = Path(__file__).parents[2] / "examples" / "stills" / "segment"


def _pairs(count: int) -> list[Pair]:
    """Pairs of one scene and of two, whose first two measures differ."""
    generator = np.random.default_rng(0)
    kinds = ["clean", "cut"] * count
    return [
        Pair(kind, "stills", [-2 * (kind == "cut") + a, (kind == "cut") + b, c, d], kind == "cut")
        for kind, (a, b, c, d) in zip(kinds, generator.normal(size=(len(kinds), 4)), strict=True)
    ]


def test_the_fit_finds_what_tells_scenes_apart() -> None:
    weights = fit(_pairs(500))
    assert weights == pytest.approx([-1, 0.5, 0, 0], abs=0.15)


def test_rates_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = _pairs(4)
    print_rates(pairs, np.array([pair.is_cut for pair in pairs]), "a rule")
    assert capsys.readouterr().out == "| a rule | 1.000 | 0.000 |\n"


@pytest.mark.slow
def test_pairs_of_clips(small_network: LSINet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.scenes.SIZE", (64, 80))
    stills = find_stills(STILLS)
    pairs = list(pairs_of_clips(stills, 2, "stills", small_network, 64))
    kinds = {pair.kind for pair in pairs}
    assert {"clean", "cut"} < kinds and "out of view" not in kinds
    assert all(len(pair.measures) == 4 and np.isfinite(pair.measures).all() for pair in pairs)
    clip = make_clip(stills[0], 0)
    assert len(clip) == FRAMES and any(clip.spoiled_at(index) for index in range(FRAMES))
