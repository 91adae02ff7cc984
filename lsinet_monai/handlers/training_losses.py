"""Record the losses of a training."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents

from lsinet_monai.losses import LSINetLoss
from lsinet_monai.networks import OUTPUTS
from lsinet_monai.utils.distributed import average

__all__ = ["TrainingLosses"]


class TrainingLosses:
    """Record each step's losses, averaged over all ranks.

    ``engine.state.output["curves"]`` gets the numbers that TensorBoard shows, by their names there: ``train_loss``,
    the loss of each of the network's outputs (``train_loss/S_g``, ...), and ``learning_rate``.
    ``engine.state.output["gradient_norm"]`` gets the norm of all gradients, for :class:`FiniteLosses`.

    Args:
        loss: the trainer's loss.
    """

    def __init__(self, loss: LSINetLoss) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        # Once the backward pass is queued, so that a GPU works while this waits for the numbers.
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Keep the losses and the norm of the gradients of a step for reports."""
        gradients = [p.grad for p in engine.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).to(self.loss.parts)
        *parts, gradient_norm = average(torch.cat([self.loss.parts, norm[None]])).tolist()
        names = (f"train_loss/{name}" for name in OUTPUTS)
        engine.state.output["gradient_norm"] = gradient_norm
        engine.state.output["curves"] = {
            "train_loss": sum(parts),
            **dict(zip(names, parts, strict=True)),
            "learning_rate": engine.optimizer.param_groups[0]["lr"],
        }
