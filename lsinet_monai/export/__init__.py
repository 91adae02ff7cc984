"""Export of the network, of a streaming step and of a click: ONNX, TorchScript and ``torch.export``."""

from lsinet_monai.export.export import export_network
from lsinet_monai.export.prompt_step import PromptStep
from lsinet_monai.export.streaming_step import StreamingStep

__all__ = ["PromptStep", "StreamingStep", "export_network"]
