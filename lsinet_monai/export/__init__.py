"""Export of the network and of a streaming step: ONNX, TorchScript and ``torch.export``."""

from lsinet_monai.export.export import export_network
from lsinet_monai.export.streaming_step import StreamingStep

__all__ = ["StreamingStep", "export_network"]
