"""The benchmarks of the label app find masks with its settings, not with the inferer's defaults."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("psutil", reason="the label app's parts need the extra label")

from benchmarks import clip_annotation, doubt, lesions
from lsinet_monai.data import StillClip
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import LoadedModel, LSINet

ENTRIES: dict[ModuleType, Callable[[StillClip, LoadedModel], Any]] = {
    lesions: lambda clip, model: lesions.predict([clip], model),
    doubt: doubt.segment,
    clip_annotation: clip_annotation.measure,
}


class Begun(Exception):
    """The benchmark has begun to find masks."""


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The settings of the inferers by which masks are found; the first one ends the benchmark."""
    settings: list[dict[str, Any]] = []

    def stream(inferer: SequentialVideoInferer, *_: Any) -> None:
        settings.append(inferer.settings)
        raise Begun

    def session(*arguments: Any, **_: Any) -> None:
        stream(arguments[3])

    monkeypatch.setattr(SequentialVideoInferer, "stream", stream)
    monkeypatch.setattr(clip_annotation, "VideoSession", session)
    return settings


@pytest.mark.parametrize("benchmark", ENTRIES, ids=lambda module: module.__name__.rpartition(".")[2])
@pytest.mark.parametrize("has_prompt_head", [True, False])
def test_it_has_the_settings_of_the_app(
    make_small_network: Callable[..., LSINet],
    used: list[dict[str, Any]],
    benchmark: ModuleType,
    has_prompt_head: bool,
) -> None:
    from lib.spreading import Inferers  # the benchmarks have put the app on the path

    network = make_small_network("mobilenetv3_small_050", prompt_head=has_prompt_head)
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:40] = True
    clip = StillClip(np.full((48, 64, 3), 120, np.uint8), mask, (48, 64), 0, 2)
    with pytest.raises(Begun):
        ENTRIES[benchmark](clip, LoadedModel(network, (64, 64)))
    expected = Inferers().of(network).settings
    assert used == [expected] and expected != SequentialVideoInferer().settings
