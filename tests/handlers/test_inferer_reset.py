from __future__ import annotations

from ignite.engine import Engine

from lsinet_monai.handlers import InfererReset


class _Inferer:
    def __init__(self) -> None:
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1


def test_each_run_starts_with_a_reset() -> None:
    inferer = _Inferer()
    resets_before_each_step = []
    engine = Engine(lambda engine, batch: resets_before_each_step.append(inferer.resets))
    InfererReset(inferer).attach(engine)
    for _ in range(2):
        engine.run([0, 1], max_epochs=1)
    assert resets_before_each_step == [1, 1, 2, 2]
