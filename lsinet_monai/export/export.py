"""Export a network or a streaming step as a file for other runtimes."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from lsinet_monai.errors import InputError
from lsinet_monai.export.onnx import onnx_translations
from lsinet_monai.export.prompt_step import FEATURE_NAMES, PromptStep, StillStep
from lsinet_monai.export.streaming_step import StreamingStep
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.config_values import as_bool
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.files import atomic_write, check_writable

__all__ = ["export_network"]

logger = logging.getLogger(__name__)

_OPSET = 19  # the first ONNX opset with a deformable convolution


class _Part(NamedTuple):
    """What one file holds."""

    module: nn.Module
    inputs: dict[str, Tensor]
    """By their names, in the module's order."""
    outputs: list[str]
    dynamic_shapes: dict[str, Any] | None = None


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

    If the network has a prompt head, a second file has that, ``NAME.prompt.onnx`` for ``NAME.onnx``: a
    :class:`PromptStep`, whose number of points is free. It takes the frame's features. A streaming step returns them as
    ``next_previous_8``, ``next_previous_16`` and ``next_previous_32``. The network returns them after the logit, as
    ``features_8``, ``features_16`` and ``features_32``; without a prompt head it returns the logit alone.

    Args:
        network: the network or step; the export does not change it.
        image_size: the frames' height and width in pixels, 64 or more, or one number for both; for a step, the size
            that it was made with.
        filepath: the file, which appears complete or not at all. Missing folders are made.
        overwrite: replace existing files.

    Raises:
        InputError: the name has another suffix, ``image_size`` is not the step's, the packages for ONNX are not
            installed, a file exists, or it cannot be written.
    """
    path = Path(filepath)
    if path.suffix not in (".onnx", ".ts", ".pt2"):
        raise InputError(f"filepath={str(path)!r} must end with .onnx, .ts (TorchScript) or .pt2 (torch.export)")
    size = ensure_tuple_rep(image_size, 2)
    if isinstance(network, StreamingStep) and size != network.image_size:
        raise InputError(f"image_size={size} is not the streaming step's own: give {network.image_size}")
    if path.suffix == ".onnx":
        require_extra("onnx", "export")
        onnx_translations()  # checks that onnxscript is installed
    files = [path]
    if _owner(network).prompt_head is not None:
        files.append(path.with_name(f"{path.stem}.prompt{path.suffix}"))
    for file in files:
        if file.is_file() and not as_bool(overwrite, "overwrite"):
            raise InputError(f"filepath '{file}' is there already: choose another name or pass --overwrite true")
        check_writable(file, "filepath")
    parts = _parts(copy.deepcopy(network), size)
    with ExitStack() as stack:  # Both files appear, or neither.
        for part, file in zip(parts, files, strict=True):
            _write(part, stack.enter_context(atomic_write(file)), path.suffix)
    for file in files:
        logger.info("wrote %s", file)


def _owner(network: LSINet | StreamingStep) -> LSINet:
    return network.network if isinstance(network, StreamingStep) else network


def _parts(network: LSINet | StreamingStep, size: tuple[int, int]) -> list[_Part]:
    """What to write of a network, which this changes: itself, and its prompt head."""
    network.eval().requires_grad_(False)  # TorchScript may be called with gradients enabled.
    owner = _owner(network)
    head, owner.prompt_head = owner.prompt_head, None  # the frame's mask does not depend on it
    inputs, outputs = {"frame": torch.zeros(1, 3, *size, device=next(network.parameters()).device)}, ["logit"]
    module: nn.Module = network
    if isinstance(network, StreamingStep):
        inputs |= dict(zip(network.state_names, network.new_state(), strict=True))
        outputs += [f"next_{name}" for name in network.state_names]
    elif head is not None:
        module = StillStep(network)
        outputs += FEATURE_NAMES
    parts = [_Part(module.eval(), inputs, outputs)]
    if head is not None:
        step = PromptStep(head, size).eval()
        parts.append(_Part(step, step.no_prompts(), ["logit"], step.dynamic_shapes))
    return parts


def _write(part: _Part, file: Path, suffix: str) -> None:
    module, inputs = part.module, tuple(part.inputs.values())
    if suffix == ".onnx":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "# The axis name")  # It says that points and labels share one.
            torch.onnx.export(
                module,
                inputs,
                file,
                dynamo=True,
                opset_version=_OPSET,
                input_names=list(part.inputs),
                output_names=part.outputs,
                dynamic_shapes=part.dynamic_shapes,
                custom_translation_table=onnx_translations(),
                external_data=False,
                verbose=False,
            )
    elif suffix == ".ts":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # It warns that sizes are fixed.
            torch.jit.trace(module, inputs, check_trace=False).save(file)
    else:
        with open(file, "wb") as opened:
            torch.export.save(torch.export.export(module, inputs, dynamic_shapes=part.dynamic_shapes), opened)
