"""Export a network or a streaming step as a file for other runtimes."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.utils import ensure_tuple_rep

from lsinet_monai.errors import InputError
from lsinet_monai.export.onnx import onnx_translations
from lsinet_monai.export.streaming_step import StreamingStep
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.config_values import as_bool
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write, check_writable

__all__ = ["export_network"]

logger = logging.getLogger(__name__)

_OPSET = 19  # the first ONNX opset with a deformable convolution


@torch.no_grad()
def export_network(
    network: LSINet | StreamingStep, image_size: int | Sequence[int], filepath: str | Path, overwrite: bool = False
) -> None:
    """Write a network or a streaming step to a file. The suffix of its name selects the format.

    - ``.onnx``: ONNX with standard operators (opset 19), for onnxruntime and others. Needs the extra ``export``.
    - ``.ts``: TorchScript, for PyTorch with torchvision, without this package.
    - ``.pt2``: a program of ``torch.export``, for Python with this package, whose operators it calls.

    The network maps ``frame`` (1, 3, H, W), normalised as by :func:`lsinet_monai.data.frames_to_tensor`, to ``logit``
    (1, 1, H, W). A step also takes and returns its state, see :class:`StreamingStep`: in ONNX the inputs have the names
    :attr:`StreamingStep.state_names`, and the outputs the same names with the prefix ``next_``. All sizes are fixed.

    Args:
        network: the network or step; the export does not change it.
        image_size: the frames' height and width in pixels, 64 or more, or one number for both; for a step, the size
            that it was made with.
        filepath: the file, which appears complete or not at all. Missing folders are made.
        overwrite: replace an existing file.

    Raises:
        InputError: the name has another suffix, ``image_size`` is not the step's, the packages for ONNX are not
            installed, the file exists, or it cannot be written.
    """
    path = Path(filepath)
    if path.suffix not in (".onnx", ".ts", ".pt2"):
        raise InputError(f"filepath={str(path)!r} must end with .onnx, .ts (TorchScript) or .pt2 (torch.export)")
    size = ensure_tuple_rep(image_size, 2)
    if isinstance(network, StreamingStep) and size != network.image_size:
        raise InputError(f"image_size={size} is not the streaming step's own: give {network.image_size}")
    if path.suffix == ".onnx":
        require_extra("onnx", "export")
        translations = onnx_translations()
    if path.is_file() and not as_bool(overwrite, "overwrite"):
        raise InputError(f"filepath '{path}' is there already: choose another name or pass --overwrite true")
    check_writable(path, "filepath")
    network = copy.deepcopy(network).eval().requires_grad_(False)  # TorchScript may be called with gradients enabled.
    for module in network.modules():
        if isinstance(module, LSINet):
            module.prompt_head = None  # the frame's mask does not depend on it
    state, state_names = (network.new_state(), network.state_names) if isinstance(network, StreamingStep) else ((), [])
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
                warnings.simplefilter("ignore", torch.jit.TracerWarning)  # It warns that sizes are fixed.
                torch.jit.trace(network, inputs, check_trace=False).save(temporary)
        else:
            with open(temporary, "wb") as file:
                torch.export.save(torch.export.export(network, inputs), file)
    logger.info("wrote %s", path)
