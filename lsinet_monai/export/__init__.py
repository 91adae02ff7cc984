"""The network and a streaming step as files that run outside Python: ONNX, TorchScript, ``torch.export``."""

from .export import export_network
from .streaming_step import StreamingStep

__all__ = ["StreamingStep", "export_network"]
