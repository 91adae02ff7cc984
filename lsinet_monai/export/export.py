"""A network or a streaming step as a file that other runtimes run."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from lsinet_monai.errors import InputError
from lsinet_monai.export.onnx import onnx_translations
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write, check_writable

from .streaming_step import StreamingStep

__all__ = ["export_network"]

logger = logging.getLogger(__name__)

_OPSET = 19  # of ONNX: the first with a deformable convolution


@torch.no_grad()
def export_network(
    network: LSINet | StreamingStep, image_size: int | Sequence[int], filepath: str | Path, overwrite: bool = False
) -> None:
    """Write a network, or a streaming step with it, as a file; its name's end says which kind.

    - ``.onnx``: ONNX with standard operators (opset 19), for onnxruntime and others. Needs the extra ``export``.
    - ``.ts``: TorchScript, for PyTorch with torchvision alone.
    - ``.pt2``: a program of ``torch.export``, for Python with this package, whose operator it calls.

    The network takes ``frame`` (1, 3, H, W), normalised as :func:`lsinet_monai.data.frames_to_tensor` does, and gives
    ``logit`` (1, 1, H, W). A step takes and gives its state too, see :class:`StreamingStep`: in ONNX the inputs are
    called as :attr:`StreamingStep.state_names`, and the outputs ``next_`` and that. All sizes are fixed.

    Args:
        network: it is not changed.
        image_size: the frames' height and width, 64 or more, or one number for both; a step's own.
        filepath: the file, which is written whole or not at all; folders above it are made.
        overwrite: replace a file that is there.

    Raises:
        InputError: the name ends otherwise, ``image_size`` is not the step's own, what ONNX needs is not installed, the
            file is there already, or it cannot be written.
    """
    path = Path(filepath)
    if path.suffix not in (".onnx", ".ts", ".pt2"):
        raise InputError(f"filepath={str(path)!r} must end with .onnx, .ts (TorchScript) or .pt2 (torch.export)")
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if isinstance(network, StreamingStep) and size != network.image_size:
        raise InputError(f"image_size={size} is not the streaming step's own: give {network.image_size}")
    if path.suffix == ".onnx":
        require_extra("onnx", "export")
        translations = onnx_translations()
    if path.is_file() and not overwrite:
        raise InputError(f"filepath '{path}' is there already: choose another name or pass --overwrite true")
    check_writable(path, "filepath")
    network = copy.deepcopy(network).eval().requires_grad_(False)  # a caller of TorchScript may have gradients enabled
    state, state_names = (network.start(), network.state_names) if isinstance(network, StreamingStep) else ((), [])
    frame = torch.zeros(1, 3, *size, device=next(network.parameters()).device)
    inputs = (frame, *state)
    with atomic_write(path) as temporary:
        if path.suffix == ".onnx":
            torch.onnx.export(
                network,
                inputs,
                temporary,
                dynamo=True,
                opset_version=_OPSET,
                input_names=["frame", *state_names],
                output_names=["logit", *(f"next_{name}" for name in state_names)],
                custom_translation_table=translations,
                external_data=False,
                verbose=False,
            )
        elif path.suffix == ".ts":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # that sizes are fixed
                torch.jit.trace(network, inputs, check_trace=False).save(temporary)
        else:
            with open(temporary, "wb") as file:
                torch.export.save(torch.export.export(network, inputs), file)
    logger.info("%s is written", path)
