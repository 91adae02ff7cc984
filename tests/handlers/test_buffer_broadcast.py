from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import pytest
from ignite.engine import Engine
from torch import nn

from lsinet_monai.handlers import BufferBroadcast


@pytest.mark.parametrize(("ranks", "epochs"), [(1, []), (2, [1, 2])])
def test_buffers_are_broadcast_at_the_end_of_each_epoch(
    monkeypatch: pytest.MonkeyPatch, ranks: int, epochs: list[int]
) -> None:
    broadcast: list[int] = []
    monkeypatch.setattr(idist, "get_world_size", lambda: ranks)
    engine: Any = Engine(lambda engine, batch: None)
    engine.network = nn.BatchNorm1d(1)

    def note(network: nn.Module) -> None:
        assert network is engine.network
        broadcast.append(engine.state.epoch)

    monkeypatch.setattr("lsinet_monai.handlers.buffer_broadcast.broadcast_buffers", note)
    BufferBroadcast().attach(engine)
    engine.run([0], max_epochs=2)
    assert broadcast == epochs
