"""Groups of parameters for an optimiser, and a schedule of its learning rate."""

from lsinet_monai.optimizers.groups import parameter_groups
from lsinet_monai.optimizers.schedule import WarmupCosine, count_steps

__all__ = ["WarmupCosine", "count_steps", "parameter_groups"]
