"""Average the weights of a network over its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from lsinet_monai.errors import InputError
from lsinet_monai.handlers.gradient_accumulation import is_optimizer_step
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.distributed import broadcast_buffers

__all__ = ["WeightAveraging"]


class WeightAveraging:
    """Keep an exponential moving average (EMA) of a network's weights and BatchNorm statistics.

    Validate and save :attr:`network` in place of the network that is trained. The average follows each step of the
    optimiser. It starts fast: at step n it keeps at most (1 + n) / (10 + n) of itself, so that it soon forgets the
    weights from which the training started.

    Args:
        network: the network that is trained, on its device.
        decay: the part of the average that each step keeps later, in [0, 1). About 1 / (1 - decay) steps have weight.

    Raises:
        InputError: ``decay`` is not in [0, 1).

    Source: Polyak and Juditsky, SIAM J. Control Optim. 1992. The fast start is that of TensorFlow's
    ``ExponentialMovingAverage``.
    """

    def __init__(self, network: LSINet, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"the decay of averaged weights must be in [0, 1), not {decay!r}")
        self.decay = decay
        self._trained = network
        self._averaged = AveragedModel(network, multi_avg_fn=self._follow, use_buffers=True).requires_grad_(False)

    @property
    def network(self) -> LSINet:
        """The network with averaged weights."""
        return cast("LSINet", self._averaged.module)

    @property
    def settings(self) -> dict[str, float]:
        """The decay. A training resumes only with the same one."""
        return {"averaging_decay": self.decay}

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer, before the handler that validates."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        if idist.get_world_size() > 1:
            engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: broadcast_buffers(self.network))

    def __call__(self, engine: Engine) -> None:
        """Move the average after a step of the optimiser."""
        if is_optimizer_step(engine):
            self._averaged.update_parameters(self._trained)

    @torch.no_grad()
    def _follow(self, averages: Any, values: Any, steps: Tensor | int) -> None:
        """Move averages of one type towards values. Counters are copied, not averaged."""
        if averages[0].is_floating_point():
            steps = int(steps)
            torch._foreach_lerp_(averages, values, 1 - min(self.decay, (1 + steps) / (10 + steps)))
        else:
            torch._foreach_copy_(averages, values)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged weights and the number of steps."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        self._averaged.load_state_dict(state)
