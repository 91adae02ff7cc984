from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.handlers import FiniteLogits
from lsinet_monai.inferers import EMPTY_LOGIT


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_logit_that_is_not_finite_ends_the_run(value: float) -> None:
    kept: list[int] = []
    engine = Engine(lambda engine, batch: {"pred": torch.tensor([0.0, batch["value"]])})
    FiniteLogits().attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: kept.append(engine.state.iteration))
    with pytest.raises(InputError, match=r"^a: the network's masks are not numbers.* lower learning_rate"):
        engine.run([{"value": 5.0, "clip_id": ["a", "b"]}, {"value": value, "clip_id": ["a", "b"]}])
    assert kept == [1]


def _run(pieces: list[str], network: nn.Module | None = None) -> int:
    """Run pieces of clips, written as one character per frame: "x" is left empty, "." is not, and "|" ends a clip.

    Returns the number of pieces that were kept.
    """
    kept: list[int] = []

    def segment(engine: Engine, batch: dict[str, Any]) -> dict[str, Tensor]:
        logits = [torch.full((4, 4), EMPTY_LOGIT if frame == "x" else 2.0) for frame in batch["frames"]]
        return {"pred": torch.stack(logits)[None, None]}

    engine = Engine(segment)
    engine.network = network
    FiniteLogits().attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: kept.append(engine.state.iteration))
    engine.run([{"frames": x.strip("|"), "clip_id": ["a"], "is_last": [x.endswith("|")]} for x in pieces])
    return len(kept)


@pytest.mark.parametrize("pieces", [["x..", "...|"], ["x", ".|", "xxx|"], ["xxxxxxx.|", "xxxxxxxxxx|"], ["xx", "..|"]])
def test_a_run_continues_after_bad_frames(pieces: list[str]) -> None:
    assert _run(pieces, nn.Linear(2, 2)) == len(pieces)


@pytest.mark.parametrize("pieces", [["xx|"], ["x", "x|", "..|"], ["xxxxxxxx", "..|"], ["xxxxx", "xxxxx", "..|"]])
def test_a_network_without_one_finite_frame_ends_the_run(pieces: list[str]) -> None:
    with pytest.raises(InputError, match="the network's masks are not numbers"):
        _run(pieces, nn.Linear(2, 2))


@pytest.mark.parametrize("kind", ["weight", "running_mean"])
def test_weights_that_are_not_finite_end_the_run_at_once(kind: str) -> None:
    network = nn.BatchNorm2d(2)
    getattr(network, kind).data[0] = torch.nan
    with pytest.raises(InputError, match="the network's masks are not numbers"):
        _run(["....|", "..x.", "...|"], network)
