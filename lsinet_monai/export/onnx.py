"""Export of the operators to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lsinet_monai.ops import deform_conv  # noqa: F401  registers the operators that are translated
from lsinet_monai.utils.extras import require_extra

__all__ = ["onnx_translations"]


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations to standard operators of ONNX, for ``torch.onnx.export``: of ours, and of the stable sort.

    .. code-block:: python

        program = torch.export.export(net, (frame,))
        torch.onnx.export(program, f="net.onnx", opset_version=19, custom_translation_table=onnx_translations())

    A module that PyTorch exports to ONNX by itself, not a program that was exported before, needs that of the sort
    alone, and only where it writes to a memory: its operator becomes torchvision's, which PyTorch translates.

    The file needs opset 19 or later, the first with a deformable convolution (``DeformConv``), and nothing of this
    package to run.

    Returns:
        for each operator, the function that writes its nodes.

    Raises:
        InputError: onnxscript is not installed.
    """
    opset = require_extra("onnxscript", "export").opset19

    def deform_conv2d(
        input: Any,
        weight: Any,
        offset: Any,
        mask: Any,
        bias: Any,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        deformable_groups: int,
    ) -> Any:
        return opset.DeformConv(
            input,
            weight,
            offset,
            bias,
            mask,
            strides=stride,
            pads=[*padding, *padding],  # those at the start of both axes, then those at the end
            dilations=dilation,
            group=groups,
            offset_group=deformable_groups,
        )

    def stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        # Of equal values TopK gives the one with the lower index first, largest or not.
        count = opset.Gather(opset.Shape(x), opset.Constant(value_ints=[dim]))
        return opset.TopK(x, count, axis=dim, largest=int(descending))

    return {
        torch.ops.lsinet_monai.deform_conv2d.default: deform_conv2d,
        torch.ops.aten.sort.stable: stable_sort,
    }
