from __future__ import annotations

import pytest
from ignite.engine import Engine
from torch.utils.data import DataLoader

from lsinet_monai.handlers import SamplerEpoch

# How many of two steps are done, and the epochs that then begin, with the number of their samples done, three a step.
BEGINNINGS = [(0, [(1, 0), (2, 0), (3, 0)]), (2, [(2, 0), (3, 0)]), (3, [(2, 3), (3, 0)])]


@pytest.mark.parametrize(("steps", "begun"), BEGINNINGS)
def test_sampler_epoch(steps: int, begun: list[tuple[int, int]]) -> None:
    epochs: list[tuple[int, int]] = []
    loader = DataLoader(range(6), batch_size=3)
    loader.sampler.set_epoch = lambda *epoch: epochs.append(epoch)
    engine = Engine(lambda engine, batch: None)
    SamplerEpoch().attach(engine)
    engine.load_state_dict({"iteration": steps, "epoch_length": 2, "max_epochs": 3})
    engine.run(loader, max_epochs=3)
    assert epochs == begun
