"""Reset a stateful inferer at the start of a run."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["ResetInferer"]


class ResetInferer:
    """Call ``inferer.reset()`` at the start of each epoch of an engine.

    Nothing in MONAI's engines resets a stateful inferer, so what a run left unfinished would live on in the next.

    Args:
        inferer: has ``reset``, as :class:`lsinet_monai.inferers.SequentialVideoInferer` has.
    """

    def __init__(self, inferer: Any) -> None:
        self.inferer = inferer

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.inferer.reset())
