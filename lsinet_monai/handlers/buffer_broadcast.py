"""Make BatchNorm's statistics equal on all ranks."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from lsinet_monai.utils.distributed import broadcast_buffers

__all__ = ["BufferBroadcast"]


class BufferBroadcast:
    """Copy the first rank's BatchNorm statistics to all ranks at the end of an epoch, before they validate."""

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer, before the handler that validates."""
        if idist.get_world_size() > 1:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Give all ranks the first rank's buffers."""
        broadcast_buffers(engine.network)
