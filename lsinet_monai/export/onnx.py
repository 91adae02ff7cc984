"""Translations of operators to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lsinet_monai.ops import deform_conv  # noqa: F401  registers the operator
from lsinet_monai.utils.extras import require_extra

__all__ = ["onnx_translations"]


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations of our deformable convolution and of the stable sort to standard ONNX operators.

    .. code-block:: python

        program = torch.export.export(net, (frame,))
        torch.onnx.export(program, f="net.onnx", opset_version=19, custom_translation_table=onnx_translations())

    To export a module instead of a program, ``torch.onnx.export`` needs only the sort, and only if the module writes to
    a memory. Our convolution then calls torchvision's, which PyTorch translates itself.

    The file needs opset 19 or later, the first with a deformable convolution (``DeformConv``). It runs without this
    package.

    Returns:
        for each operator the function that writes its nodes.

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
            pads=[*padding, *padding],  # at the start of both axes, then at their end
            dilations=dilation,
            group=groups,
            offset_group=deformable_groups,
        )

    def stable_sort(x: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        # Like a stable sort, TopK returns equal values in the order of their indices, ascending or descending.
        count = opset.Gather(opset.Shape(x), opset.Constant(value_ints=[dim]))
        return opset.TopK(x, count, axis=dim, largest=int(descending))

    return {
        torch.ops.lsinet_monai.deform_conv2d.default: deform_conv2d,
        torch.ops.aten.sort.stable: stable_sort,
    }
