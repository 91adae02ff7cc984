from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lsinet_monai.ops import deform_conv2d
from lsinet_monai.ops.builds import load_kernels

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

OPERATOR = torch.ops.lsinet_monai.deform_conv2d.default
BACKWARD = torch.ops.lsinet_monai.deform_conv2d_backward.default


class Case(NamedTuple):
    """The sizes of a deformable convolution; ``scale`` is the offsets' standard deviation, in pixels."""

    batch: int = 2
    channels: int = 8
    out_channels: int = 6
    size: tuple[int, int] = (7, 9)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    deformable_groups: int = 2
    mask: bool = True
    bias: bool = True
    scale: float = 2.0

    @property
    def out_size(self) -> tuple[int, ...]:
        numbers = zip(self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((size + 2 * pad - step * (taps - 1) - 1) // move + 1 for size, taps, move, pad, step in numbers)

    def arguments(self) -> dict[str, Tensor | None]:
        """Random tensors, float64, of these sizes."""
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        planes = self.deformable_groups * self.kernel[0] * self.kernel[1]
        return {
            "input": random(self.batch, self.channels, *self.size),
            "offset": self.scale * random(self.batch, 2 * planes, *self.out_size),
            "weight": random(self.out_channels, self.channels // self.groups, *self.kernel),
            "bias": random(self.out_channels) if self.bias else None,
            "mask": random(self.batch, planes, *self.out_size).sigmoid() if self.mask else None,
        }

    @property
    def steps(self) -> dict[str, tuple[int, int]]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}


CASES = {
    "network": Case(channels=32, out_channels=32, deformable_groups=8),
    "more positions than a tile": Case(batch=1, size=(13, 17)),
    "no mask": Case(mask=False),
    "no bias": Case(bias=False),
    "groups that cut deformable groups": Case(batch=3, channels=12, out_channels=8, groups=4, deformable_groups=3),
    "groups inside deformable groups": Case(channels=24, out_channels=12, groups=6, deformable_groups=2),
    "depthwise": Case(out_channels=16, groups=8, deformable_groups=1),
    "odd channels": Case(channels=15, out_channels=7, deformable_groups=5),
    "wide deformable groups": Case(channels=64, out_channels=40, size=(4, 5)),
    "many outputs": Case(channels=4, out_channels=70, size=(4, 5), deformable_groups=1),
    "uneven kernel": Case(kernel=(2, 4), stride=(2, 1), padding=(0, 3), dilation=(2, 1)),
    "strides": Case(stride=(2, 3), size=(12, 11)),
    "dilation": Case(dilation=(2, 3), padding=(2, 3)),
    "single tap": Case(kernel=(1, 1), padding=(0, 0)),
    "single pixel": Case(size=(1, 1)),
    "empty batch": Case(batch=0),
    "offsets outside the image": Case(scale=30.0),
    "offsets far outside": Case(scale=1e12),
    "no offsets": Case(scale=0.0),
}

# How far results may be off, relative to the largest one: the rounding of the dtype, times a few for long sums.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 5e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def reference(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    mask: Tensor | None = None,
) -> Tensor:
    """The definition in plain PyTorch: gather each neighbour of all samples, weigh, and multiply with the weight."""
    batch, channels, height, width = input.shape
    out_channels, group_channels, *kernel = weight.shape
    taps, groups, size = kernel[0] * kernel[1], channels // group_channels, offset.shape[2:]
    deformable_groups = offset.shape[1] // (2 * taps)

    moved = offset.reshape(batch, deformable_groups, *kernel, 2, *size)
    neighbours = []
    for axis, view in ((0, (-1, 1)), (1, (1, -1))):
        start = torch.arange(size[axis]).view(view) * stride[axis] - padding[axis]
        tap = (torch.arange(kernel[axis]) * dilation[axis]).view(*view, 1, 1)
        place = (start + tap).to(offset) + moved[:, :, :, :, axis]
        before, behind = place.floor(), place - place.floor()
        neighbours.append([(before, 1 - behind), (before + 1, behind)])

    count = taps * size[0] * size[1]
    planes = input.reshape(batch, deformable_groups, channels // deformable_groups, height * width)
    samples = torch.zeros((), dtype=input.dtype)
    for row, row_share in neighbours[0]:
        for column, column_share in neighbours[1]:
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = torch.where(inside, row * width + column, 0).long().reshape(batch, deformable_groups, 1, count)
            share = torch.where(inside, row_share * column_share, 0).reshape(batch, deformable_groups, 1, count)
            samples = samples + planes.gather(3, index.expand(-1, -1, planes.shape[2], -1)) * share
    if mask is not None:
        samples = samples * mask.reshape(batch, deformable_groups, 1, count)

    columns = samples.reshape(batch, groups, group_channels * taps, size[0] * size[1])
    result = weight.reshape(groups, out_channels // groups, group_channels * taps) @ columns
    result = result.view(batch, out_channels, *size)
    return result if bias is None else result + bias.view(-1, 1, 1)


def outputs_and_gradients(
    function: Callable[..., Tensor], arguments: dict[str, Tensor | None], steps: dict[str, tuple[int, int]]
) -> dict[str, Tensor]:
    """The result, and the gradient of each argument for one gradient of the result, of numbers that all dtypes have."""
    leaves = {name: x.detach().requires_grad_() for name, x in arguments.items() if x is not None}
    output = function(**leaves, **steps)
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grads = torch.autograd.grad(output, list(leaves.values()), grad.to(torch.bfloat16).to(output))
    return {"output": output.detach(), **dict(zip(leaves, grads, strict=True))}


def assert_as_reference(
    arguments: dict[str, Tensor | None], steps: dict[str, tuple[int, int]], dtype: torch.dtype, device: str = "cpu"
) -> None:
    rounded = {name: None if x is None else x.to(dtype) for name, x in arguments.items()}
    expected = outputs_and_gradients(
        reference, {name: None if x is None else x.double() for name, x in rounded.items()}, steps
    )
    given = {name: None if x is None else x.to(device) for name, x in rounded.items()}
    for name, result in outputs_and_gradients(deform_conv2d, given, steps).items():
        assert (result.dtype, result.device.type, result.shape) == (dtype, device, expected[name].shape), name
        if result.numel():
            error = (result.cpu().double() - expected[name]).abs().max()
            assert error <= TOLERANCES[dtype] * max(expected[name].abs().max(), 1e-30), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_is_as_the_reference(case: Case, dtype: torch.dtype, device: str) -> None:
    if dtype == torch.float16 and case.scale > 1e4:
        case = case._replace(scale=1e4)  # float16 ends at 65504
    assert_as_reference(case.arguments(), case.steps, dtype, device)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "every other row": lambda x: x.repeat_interleave(2, 2)[:, :, ::2],
    "slice of more channels": lambda x: torch.cat([x, x], 1)[:, x.shape[1] :],
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_tensors_of_any_strides(layout: str, device: str) -> None:
    case = Case()
    arguments = {name: x if x is None or x.ndim < 4 else LAYOUTS[layout](x) for name, x in case.arguments().items()}
    assert not arguments["offset"].is_contiguous()
    assert_as_reference(arguments, case.steps, torch.float64, device)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [2, 3, 20])
@pytest.mark.parametrize("batch", [1, 3])
def test_threads_share_the_work(batch: int, count: int) -> None:
    torch.set_num_threads(count)
    case = Case(batch=batch, size=(13, 17))
    assert_as_reference(case.arguments(), case.steps, torch.float64)


def test_is_a_convolution_without_offsets() -> None:
    case = Case(scale=0.0, mask=False)
    arguments = case.arguments()
    expected = F.conv2d(arguments["input"], arguments["weight"], arguments["bias"], padding=1)
    torch.testing.assert_close(deform_conv2d(**arguments, **case.steps), expected)


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, 2), (-2, 1)])
def test_offsets_are_dy_before_dx(dy: int, dx: int) -> None:
    case = Case(mask=False)
    arguments = case.arguments()
    arguments["offset"] = torch.tensor([dy, dx]).double().repeat(18).view(1, -1, 1, 1).expand(2, -1, 7, 9)
    # A frame of zeros wide enough for every offset, shifted, then convolved.
    shifted = F.pad(arguments["input"], (4, 4, 4, 4)).roll((-dy, -dx), (2, 3))
    expected = F.conv2d(shifted, arguments["weight"], arguments["bias"], padding=1)[:, :, 4:-4, 4:-4]
    torch.testing.assert_close(deform_conv2d(**arguments, **case.steps), expected)


@pytest.mark.parametrize("device", DEVICES)
def test_an_infinite_offset_is_outside_and_nan_shows(device: str) -> None:
    arguments = {name: x.to(device) for name, x in Case(bias=False).arguments().items() if x is not None}
    arguments["offset"][0, 0, 1, 2] = torch.inf
    arguments["offset"][0, 1, 3, 3] = -torch.inf
    assert deform_conv2d(**arguments, padding=1).isfinite().all()
    arguments["offset"][1, 2, 4, 5] = torch.nan
    places = deform_conv2d(**arguments, padding=1).isnan().nonzero()
    assert places[:, [0, 2, 3]].unique(dim=0).tolist() == [[1, 4, 5]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mask", [True, False])
def test_a_nan_offset_shows_in_its_own_group_and_in_the_gradients(mask: bool, device: str) -> None:
    case = Case(groups=2, deformable_groups=2, mask=mask)
    leaves = {name: x.to(device).requires_grad_() for name, x in case.arguments().items() if x is not None}
    with torch.no_grad():
        leaves["offset"][1, 2, 4, 5] = torch.nan
    output = deform_conv2d(**leaves, padding=1)
    assert output.isnan().nonzero().tolist() == [[1, channel, 4, 5] for channel in range(3)]
    grad_weight, grad_offset = torch.autograd.grad(output.sum(), [leaves["weight"], leaves["offset"]])
    assert grad_weight[:3].isnan().any() and grad_weight[3:].isfinite().all()
    assert grad_offset[1, 2:4, 4, 5].isnan().any() and grad_offset[0].isfinite().all()


def change(**changes: Callable[[Tensor], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return arguments, some of them replaced by the result of their function."""
    return lambda arguments: arguments | {name: make(arguments.get(name)) for name, make in changes.items()}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (change(input=lambda x: x[0]), "input has shape"),
        (change(weight=lambda x: x[0]), "weight has shape"),
        (change(offset=lambda x: x[0]), "offset has shape"),
        (change(mask=lambda x: x[0]), "mask has shape"),
        (change(bias=lambda x: x[None]), "bias has shape"),
        (change(bias=lambda x: x[1:]), "bias has shape"),
        (change(input=lambda x: x[:, 1:]), "does not fit the 7 channels"),
        (change(weight=lambda x: x[:, :3]), "does not fit the 8 channels"),
        (change(weight=lambda x: x[:5, :4]), "does not fit the 8 channels"),
        (change(weight=lambda x: x[:0]), "weight is empty"),
        (change(offset=lambda x: x[:, :-1]), "offset has 35 channels"),
        (change(offset=lambda x: x.repeat(1, 3, 1, 1)[:, :54], mask=lambda _: None), "offset has 54 channels"),
        (change(offset=lambda x: x[:, :, 1:]), r"offset has shape .*, but needs \(2, 36, 7, 9\)"),
        (change(offset=lambda x: x[1:]), "offset has shape"),
        (change(mask=lambda x: x[:, 9:]), r"mask has shape .*, but needs \(2, 18, 7, 9\)"),
        (change(mask=lambda x: x[:, :, :, 1:]), "mask has shape"),
        (change(input=lambda x: x[:, :, :0, :0]), "smaller than the kernel"),
        (change(input=lambda x: x.long()), "input is torch.int64, but must be one of"),
        (change(mask=lambda x: x.to(torch.float8_e5m2)), "mask is torch.float8_e5m2, but must be one of"),
        (change(offset=lambda x: x.to_sparse()), "offset is torch.sparse_coo, but must be dense"),
        (change(weight=lambda x: x.float()), "weight is torch.float32, but input torch.float64"),
        (change(bias=lambda x: x.to("meta")), "bias is on meta, but input on cpu"),
        (change(stride=lambda _: 0), "stride is"),
        (change(padding=lambda _: (1, -1)), "padding is"),
        (change(dilation=lambda _: (1, 1, 1)), "dilation is"),
    ],
)
def test_says_what_does_not_fit(make: Callable[[dict[str, Any]], dict[str, Any]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        deform_conv2d(**make(Case().arguments() | {"padding": 1}))


def needs_kernels(device: str) -> None:
    if not load_kernels(device):
        pytest.skip(f"no compiled kernels for {device}: there is no compiler")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("index", range(4))
def test_the_bare_operator_never_reads_outside(index: int, device: str) -> None:
    needs_kernels(device)
    tensors = [x.to(device) for x in operator_arguments(Case())[:4]]
    tensors[index] = tensors[index][:, 1:]
    with pytest.raises(RuntimeError, match="deform_conv2d"):
        OPERATOR(*tensors, None, [1, 1], [1, 1], [1, 1], 1, 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("position", [5, 6, 7], ids=["stride", "padding", "dilation"])
@pytest.mark.parametrize("value", [-1, 2**62])
def test_the_bare_operator_refuses_steps_that_overflow(value: int, position: int, device: str) -> None:
    needs_kernels(device)
    arguments = [x.to(device) if isinstance(x, Tensor) else x for x in operator_arguments(Case())]
    arguments[position] = [value, value]
    with pytest.raises(RuntimeError, match="stride and dilation must be"):
        OPERATOR(*arguments)


def operator_arguments(case: Case) -> list[Any]:
    arguments = case.arguments()
    tensors = [arguments[name] for name in ("input", "weight", "offset", "mask", "bias")]
    return [*tensors, *(list(pair) for pair in case.steps.values()), case.groups, case.deformable_groups]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("case", [Case(), Case(mask=False, bias=False)], ids=["all", "no mask, no bias"])
def test_registration(case: Case, device: str) -> None:
    arguments = [x.to(device) if isinstance(x, Tensor) else x for x in operator_arguments(case)]
    output = OPERATOR(*arguments)
    torch.library.opcheck(BACKWARD, (output, *arguments[:4], *arguments[5:]))
    torch.library.opcheck(OPERATOR, [x.requires_grad_() if isinstance(x, Tensor) else x for x in arguments])


@pytest.mark.parametrize("device", DEVICES)
def test_derivative(device: str) -> None:
    case = Case(batch=1, channels=4, out_channels=2, size=(4, 3), groups=2)
    leaves = [x.to(device).requires_grad_() for x in case.arguments().values() if x is not None]

    def function(*tensors: Tensor) -> Tensor:
        return deform_conv2d(*tensors[:4], padding=1, mask=tensors[4])

    # Atomic sums on a GPU come in any order.
    torch.autograd.gradcheck(function, leaves, nondet_tol=0.0 if device == "cpu" else 1e-12)


def test_the_second_derivative_is_refused() -> None:
    arguments = Case().arguments()
    x = arguments["input"].requires_grad_()
    (grad,) = torch.autograd.grad(deform_conv2d(**arguments, padding=1).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        grad.sum().backward()


def test_a_forward_derivative_is_refused() -> None:
    arguments = Case().arguments()
    x = arguments.pop("input")
    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.func.jvp(lambda x: deform_conv2d(x, **arguments, padding=1), (x,), (x,))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast_computes_in_float32(dtype: torch.dtype, device: str) -> None:
    arguments = {name: x.to(device).float() for name, x in Case().arguments().items() if x is not None}
    expected = deform_conv2d(**arguments, padding=1)
    arguments["weight"].requires_grad_()
    with torch.autocast(device, dtype):
        result = deform_conv2d(**arguments, padding=1)
        mixed = deform_conv2d(**arguments | {"input": arguments["input"].to(dtype)}, padding=1)
    assert torch.equal(result, expected)
    assert mixed.dtype == torch.float32
    mixed.sum().backward()
    assert arguments["weight"].grad is not None


@pytest.mark.parametrize("device", DEVICES)
def test_a_backward_pass_under_autocast_is_as_one_outside(device: str) -> None:
    leaves = [x.to(device).float().requires_grad_() for x in Case().arguments().values() if x is not None]

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(deform_conv2d(*leaves[:4], padding=1, mask=leaves[4]).sum(), leaves)

    expected = gradients()
    with torch.autocast(device, torch.bfloat16):
        result = gradients()
    torch.testing.assert_close(result, expected)


def test_autocast_does_not_unite_float64_with_others() -> None:
    arguments = Case().arguments()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=r"weight is torch\.float32, but input"):
        deform_conv2d(**arguments | {"weight": arguments["weight"].float()}, padding=1)


def test_dtypes_that_differ_on_a_device_without_autocast() -> None:
    arguments = {name: x.to("meta") for name, x in Case().arguments().items() if x is not None}
    with pytest.raises(ValueError, match=r"bias is torch\.float32, but input"):
        deform_conv2d(**arguments | {"bias": arguments["bias"].float()}, padding=1)


@pytest.mark.gpu
def test_sums_in_no_fixed_order_on_a_gpu_are_announced() -> None:
    arguments = {name: x.cuda().requires_grad_() for name, x in Case().arguments().items() if x is not None}
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="not deterministic"):
            deform_conv2d(**arguments, padding=1).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


class Layer(nn.Module):
    """A deformable convolution with its weight, as in a network."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        arguments = case.arguments()
        self.steps = case.steps
        self.weight = nn.Parameter(arguments["weight"].float())
        self.bias = None if arguments["bias"] is None else nn.Parameter(arguments["bias"].float())

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        return deform_conv2d(input, offset, self.weight, self.bias, **self.steps, mask=mask)


def layer_inputs(case: Case) -> tuple[Tensor, ...]:
    arguments = case.arguments()
    return tuple(arguments[name].float() for name in ("input", "offset", "mask") if arguments[name] is not None)


@pytest.mark.slow
def test_compiles_without_a_graph_break() -> None:
    layer, inputs = Layer(Case()), layer_inputs(Case())
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), layer(*inputs))
    expected = torch.autograd.grad(layer(*inputs).sum(), layer.weight)
    torch.testing.assert_close(torch.autograd.grad(compiled(*inputs).sum(), layer.weight), expected)


@pytest.mark.parametrize("strict", [True, False])
def test_exports_with_any_frame_size(strict: bool) -> None:
    layer, inputs = Layer(Case()), layer_inputs(Case())
    sizes = {0: torch.export.Dim("batch", max=8), 2: torch.export.Dim("height", max=99)}
    program = torch.export.export(layer, inputs, strict=strict, dynamic_shapes=(sizes,) * 3)
    assert [node.target for node in program.graph.nodes if node.op == "call_function"] == [OPERATOR]
    other = layer_inputs(Case(batch=3, size=(11, 9)))
    torch.testing.assert_close(program.module()(*other), layer(*other))


@pytest.mark.slow
@pytest.mark.required_in_ci
@pytest.mark.parametrize("opset", [19, 22])
@pytest.mark.parametrize("as_program", [False, True])
@pytest.mark.parametrize(
    "name", ["network", "no mask", "no bias", "groups that cut deformable groups", "uneven kernel"]
)
def test_exports_to_onnx(name: str, as_program: bool, opset: int, tmp_path: Path) -> None:
    """A module needs no translation. A program that is already exported contains our operator, and needs one."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from lsinet_monai.export.onnx import onnx_translations

    case = CASES[name]
    layer, inputs = Layer(case).eval(), layer_inputs(case)
    file = tmp_path / "layer.onnx"
    if as_program:
        program, translations = torch.export.export(layer, inputs), onnx_translations()
        torch.onnx.export(program, f=file, opset_version=opset, custom_translation_table=translations, verbose=False)
    else:
        torch.onnx.export(layer, inputs, file, dynamo=True, opset_version=opset, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    (result,) = session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))
    torch.testing.assert_close(torch.from_numpy(result), layer(*inputs).detach(), atol=1e-4, rtol=1e-4)


def test_torchscript_holds_torchvisions_operator() -> None:
    layer, inputs = Layer(Case()).eval(), layer_inputs(Case())
    traced = torch.jit.trace(layer, inputs, check_trace=False)
    kinds = {node.kind() for node in traced.inlined_graph.nodes()}
    assert "torchvision::deform_conv2d" in kinds and not any(kind.startswith("lsinet_monai") for kind in kinds)
    torch.testing.assert_close(traced(*inputs), layer(*inputs))
    inputs[1][0, 3, 2, 1] = torch.nan  # at which torchvision's kernel would read outside the input
    traced(*inputs)
