"""Modulated deformable convolution, behind one function.

This module defines the operator ``lsinet_monai::deform_conv2d``: its schema, shapes, derivative and autocast rule. The
kernels are in ``csrc``. The first call loads or compiles them; if that is not possible, torchvision's operator runs.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torchvision
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from .builds import load_kernels

__all__ = ["deform_conv2d"]

_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_GEOMETRY = "int[2] stride, int[2] padding, int[2] dilation, int groups, int deformable_groups"
torch.library.define(
    "lsinet_monai::deform_conv2d",
    f"(Tensor input, Tensor weight, Tensor offset, Tensor? mask, Tensor? bias, {_GEOMETRY}) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
torch.library.define(
    "lsinet_monai::deform_conv2d_backward",
    f"(Tensor grad_output, Tensor input, Tensor weight, Tensor offset, Tensor? mask, {_GEOMETRY})"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = (1, 1),
    padding: int | tuple[int, int] = (0, 0),
    dilation: int | tuple[int, int] = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    r"""Convolve with a kernel whose taps move and have a weight of their own at every output position.

    For an output position p, :math:`y(p) = \sum_k w_k \, m_k(p) \, x(p s - pad + k d + \Delta_k(p)) + b`, with the
    input x interpolated bilinearly and zero outside; k runs over the kernel's taps. The signature is that of
    ``torchvision.ops.deform_conv2d``, and so are the layouts and the results.

    Runs on CPU and CUDA, in float64, float32, float16 and bfloat16; half precision sums in float32. Under autocast it
    runs in float32, because half precision would round the sampling positions. All five tensors have first derivatives
    in backward mode.

    Args:
        input: (B, C, H, W).
        offset: (B, 2 * D * kh * kw, H_out, W_out), in pixels of the input. D is the number of deformable groups, equal
            blocks of channels. For each group and each tap, row by row: first down (dy), then right (dx).
        weight: (C_out, C / groups, kh, kw).
        bias: (C_out,).
        stride: step in the input between output positions, one number or (vertical, horizontal).
        padding: zeros around the input, one number or (vertical, horizontal).
        dilation: distance between taps, one number or (vertical, horizontal).
        mask: (B, D * kh * kw, H_out, W_out), a factor for each sample, usually in [0, 1]; default 1.

    Returns:
        (B, C_out, H_out, W_out).

    Raises:
        ValueError: shapes do not fit, or dtypes, devices or layouts differ or are not supported.
        NotImplementedError: a second derivative, or one in forward mode, is asked for.
        InputError: the environment variable LSINET_KERNELS forces kernels that are not available.

    Source: Zhu et al., Deformable ConvNets v2, 2019, section 3.1, eq. 1.
    """
    if torch.jit.is_tracing() or (torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()):
        # TorchScript and ONNX files run without this package, and PyTorch knows how to write torchvision's operator.
        if torch.jit.is_tracing():
            # At NaN torchvision's kernel reads memory outside the input. At -10,000 pixels it reads nothing.
            offset = offset.nan_to_num(nan=-1e4)
        return torchvision.ops.deform_conv2d(input, offset, weight, bias, stride, padding, dilation, mask)
    # Not monai.utils.ensure_tuple_rep, whose error for a wrong number of values does not name the argument.
    steps = [[value, value] if isinstance(value, int) else list(value) for value in (stride, padding, dilation)]
    groups, deformable_groups = _check(input, offset, weight, bias, mask, *steps)
    if not torch.compiler.is_compiling() and any(
        x is not None and unpack_dual(x).tangent is not None for x in (input, offset, weight, bias, mask)
    ):
        # PyTorch silently drops the tangent of an operator without a rule for it.
        raise NotImplementedError("deform_conv2d has no forward-mode derivative: differentiate it backwards")
    return torch.ops.lsinet_monai.deform_conv2d(input, weight, offset, mask, bias, *steps, groups, deformable_groups)


def _check(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mask: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
) -> tuple[int, int]:
    """Check that all arguments fit, and return the number of groups and of deformable groups."""
    tensors = {"input": input, "offset": offset, "weight": weight, "mask": mask, "bias": bias}
    for name, tensor in tensors.items():
        dims = 1 if name == "bias" else 4
        if tensor is None:
            continue
        if tensor.ndim != dims:
            raise ValueError(f"deform_conv2d: {name} has shape {tuple(tensor.shape)}, but needs {dims} dimensions")
        if tensor.dtype not in _DTYPES:
            dtypes = ", ".join(map(str, _DTYPES))
            raise ValueError(f"deform_conv2d: {name} is {tensor.dtype}, but must be one of {dtypes}")
        if tensor.layout != torch.strided:
            raise ValueError(f"deform_conv2d: {name} is {tensor.layout}, but must be dense")
        if tensor.device != input.device:
            raise ValueError(f"deform_conv2d: {name} is on {tensor.device}, but input on {input.device}")
        if tensor.dtype != input.dtype and not _autocast_unites(tensor, input):
            raise ValueError(f"deform_conv2d: {name} is {tensor.dtype}, but input {input.dtype}")
    for name, pair, least in (("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)):
        if len(pair) != 2 or min(pair) < least:
            raise ValueError(f"deform_conv2d: {name} is {tuple(pair)}, but needs two numbers of at least {least}")

    batch, channels, *size = input.shape
    out_channels, group_channels, *kernel = weight.shape
    if 0 in weight.shape:
        raise ValueError(f"deform_conv2d: weight is empty, {tuple(weight.shape)}")
    groups = channels // group_channels
    if groups * group_channels != channels or groups == 0 or out_channels % groups:
        raise ValueError(
            f"deform_conv2d: weight, {tuple(weight.shape)}, does not fit the {channels} channels of input: its second "
            "number must divide them, and the quotient must divide its first"
        )
    out_size = [
        (length + 2 * pad - step * (taps - 1) - 1) // move + 1
        for length, pad, step, taps, move in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    if min(out_size) < 1:
        raise ValueError(f"deform_conv2d: input, {tuple(size)}, is smaller than the kernel; the output would be empty")
    taps = kernel[0] * kernel[1]
    deformable_groups = offset.shape[1] // (2 * taps)
    if deformable_groups == 0 or offset.shape[1] % (2 * taps) or channels % deformable_groups:
        raise ValueError(
            f"deform_conv2d: offset has {offset.shape[1]} channels, but needs {2 * taps} (two for each tap) times a "
            f"number of deformable groups that divides the {channels} channels of input"
        )
    expected = {
        "offset": (batch, 2 * deformable_groups * taps, *out_size),
        "mask": (batch, deformable_groups * taps, *out_size),
        "bias": (out_channels,),
    }
    for name, shape in expected.items():
        given = tensors[name]
        if given is not None and tuple(given.shape) != shape:
            raise ValueError(f"deform_conv2d: {name} has shape {tuple(given.shape)}, but needs {shape}")
    return groups, deformable_groups


def _autocast_unites(*tensors: Tensor) -> bool:
    """Whether autocast casts tensors of one device to one dtype. It does not cast float64."""
    device_type = tensors[0].device.type
    is_enabled = torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)
    return is_enabled and all(tensor.dtype != torch.float64 for tensor in tensors)


@torch.library.register_fake("lsinet_monai::deform_conv2d")
def _fake(input: Tensor, weight: Tensor, offset: Tensor, *_: Any) -> Tensor:
    return input.new_empty(input.shape[0], weight.shape[0], offset.shape[2], offset.shape[3])


@torch.library.register_fake("lsinet_monai::deform_conv2d_backward")
def _fake_backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, *_: Any
) -> tuple[Tensor, ...]:
    grad_mask = input.new_empty(0) if mask is None else mask.new_empty(mask.shape)
    return (*(tensor.new_empty(tensor.shape) for tensor in (input, weight, offset)), grad_mask)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, weight, offset, mask, _, *ctx.geometry = inputs
    ctx.save_for_backward(input, weight, offset, mask)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
    if grad_output.is_cuda and torch.are_deterministic_algorithms_enabled():
        _alert_not_deterministic()
    input, weight, offset, mask = ctx.saved_tensors
    grads = torch.ops.lsinet_monai.deform_conv2d_backward(grad_output, input, weight, offset, mask, *ctx.geometry)
    grad_input, grad_weight, grad_offset, grad_mask = grads
    grad_bias = grad_output.sum((0, 2, 3)) if ctx.needs_input_grad[4] else None
    return (grad_input, grad_weight, grad_offset, None if mask is None else grad_mask, grad_bias, *[None] * 5)


def _alert_not_deterministic() -> None:
    message = "deform_conv2d's backward pass sums in no fixed order on CUDA, so it is not deterministic"
    if not torch.is_deterministic_algorithms_warn_only_enabled():
        raise RuntimeError(f"{message}; torch.use_deterministic_algorithms(True, warn_only=True) lets it pass")
    warnings.warn(message, stacklevel=2)


def _refuse(ctx: Any, *grads: Tensor) -> None:
    raise NotImplementedError("deform_conv2d has first derivatives only: it cannot be differentiated twice")


torch.library.register_autograd("lsinet_monai::deform_conv2d", _backward, setup_context=_save_for_backward)
torch.library.register_autograd("lsinet_monai::deform_conv2d_backward", _refuse)
for _device_type in ("cpu", "cuda"):
    torch.library.register_autocast("lsinet_monai::deform_conv2d", _device_type, torch.float32)
    # A backward pass may run under autocast too, which would cast the matrix products of the CUDA kernels to half.
    torch.library.register_autocast("lsinet_monai::deform_conv2d_backward", _device_type, torch.float32)


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype that torchvision computes in: float32 for half precision, as in the compiled kernels."""
    return torch.promote_types(dtype, torch.float32)


def _bring_samples_near(
    offset: Tensor, mask: Tensor | None, input: Tensor, weight: Tensor, *steps: list[int]
) -> tuple[Tensor, Tensor]:
    """Make offset and mask, in the dtype to compute in, safe for torchvision's kernels.

    Samples outside the input, where it counts as zero, move to two pixels above and left of it. Farther away, the
    kernels overflow integers: on CUDA, gradients of zero came out as 3e13. Samples at NaN, which crash the CPU kernel,
    move there too. Their mask becomes NaN, so that the result shows it.
    """
    stride, padding, dilation = steps
    offset = offset.to(_compute_dtype(offset.dtype))
    samples = offset.unflatten(1, (-1, *weight.shape[2:], 2))  # (B, D, kh, kw, 2, H_out, W_out)
    near = []
    for axis, view in enumerate(((-1, 1), (1, -1))):
        start = torch.arange(offset.shape[2 + axis], device=offset.device) * stride[axis] - padding[axis]
        taps = torch.arange(weight.shape[2 + axis], device=offset.device) * dilation[axis]
        place = start.view(view) + taps.view(*view, 1, 1)
        moved = samples[:, :, :, :, axis]
        sample = place + moved
        is_near = (sample >= -1) & (sample < input.shape[2 + axis])
        near.append(torch.where(is_near, moved, (-2 - place).to(offset.dtype)))
    is_nan = samples.isnan().any(4).flatten(1, 3)
    mask = torch.ones_like(is_nan, dtype=offset.dtype) if mask is None else mask.to(offset.dtype)
    return torch.stack(near, 4).view_as(offset), mask.masked_fill(is_nan, torch.nan)


@torch.library.impl("lsinet_monai::deform_conv2d", "default")
def _forward_before_kernels(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, *geometry: Any
) -> Tensor:
    """Load the kernels, which then replace this function in the dispatcher; or call torchvision's operator."""
    if load_kernels(input.device.type):
        return torch.ops.lsinet_monai.deform_conv2d(input, weight, offset, mask, bias, *geometry)
    dtype = _compute_dtype(input.dtype)
    stride, padding, dilation, *_ = geometry
    offset, mask = _bring_samples_near(offset, mask, input, weight, stride, padding, dilation)
    bias = None if bias is None else bias.to(dtype)
    given = (input.to(dtype), offset, weight.to(dtype), bias, stride, padding, dilation, mask)
    return torchvision.ops.deform_conv2d(*given).to(input.dtype)


@torch.library.impl("lsinet_monai::deform_conv2d_backward", "default")
def _backward_before_kernels(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, *geometry: Any
) -> tuple[Tensor, ...]:
    if load_kernels(input.device.type):
        return torch.ops.lsinet_monai.deform_conv2d_backward(grad_output, input, weight, offset, mask, *geometry)
    stride, padding, dilation, groups, deformable_groups = geometry
    given = (grad_output, input, weight, *_bring_samples_near(offset, mask, input, weight, stride, padding, dilation))
    grads = torch.ops.torchvision._deform_conv2d_backward(
        *(tensor.to(_compute_dtype(tensor.dtype)) for tensor in given),
        weight.new_zeros(weight.shape[0], dtype=_compute_dtype(weight.dtype)),
        *stride,
        *padding,
        *dilation,
        groups,
        deformable_groups,
        True,
    )
    # The last gradient is the bias's, which autograd computes by itself.
    grad_input, grad_weight, grad_offset, grad_mask, _ = (grad.to(input.dtype).contiguous() for grad in grads)
    return grad_input, grad_weight, grad_offset, input.new_empty(0) if mask is None else grad_mask
