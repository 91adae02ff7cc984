"""Set the epoch of a training's sampler."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

__all__ = ["SamplerEpoch"]


class SamplerEpoch:
    """Set a sampler's epoch when it starts, because its order and its curriculum follow from the epoch.

    In an epoch that a resumed training continues, the sampler leaves out the samples that are done. The sampler of the
    engine's data loader has ``set_epoch(epoch, first)``; epochs count from 1, samples from 0.
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the epoch and the first step that the sampler draws."""
        loader: Any = engine.state.dataloader
        steps_done = engine.state.iteration % engine.state.epoch_length
        loader.sampler.set_epoch(engine.state.epoch, steps_done * loader.batch_size)
