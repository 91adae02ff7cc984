"""What an optimiser gets: groups of parameters, and a schedule of the learning rate."""

from lsinet_monai.optimizers.parameter_groups import parameter_groups
from lsinet_monai.optimizers.schedule import WarmupCosine, count_steps

__all__ = ["WarmupCosine", "count_steps", "parameter_groups"]
