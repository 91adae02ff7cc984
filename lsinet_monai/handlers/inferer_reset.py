"""Reset a stateful inferer at the start of a run."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["InfererReset"]


class InfererReset:
    """Call ``inferer.reset()`` at the start of each epoch of an engine.

    MONAI's engines do not reset a stateful inferer, so the state of an unfinished run would stay for the next one.

    Args:
        inferer: an inferer with ``reset``, such as :class:`lsinet_monai.inferers.SequentialVideoInferer`.
    """

    def __init__(self, inferer: Any) -> None:
        self.inferer = inferer

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.inferer.reset())
