from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lsinet_monai.data import frames_to_tensor
from lsinet_monai.errors import InputError
from lsinet_monai.export import PromptStep, StreamingStep, export_network
from lsinet_monai.export.prompt_step import FEATURE_NAMES, StillStep
from lsinet_monai.inferers import PromptedFrame, prompted_frame
from lsinet_monai.inferers.prompt_window import Window
from lsinet_monai.networks import LSINet

SIZE = (64, 96)
DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"

Run = Callable[[dict[str, Tensor]], list[Tensor]]


@pytest.fixture(scope="module")
def network(make_small_network: Callable[..., LSINet]) -> LSINet:
    return make_small_network("mobilenetv3_small_050", prompt_head=True)


@pytest.fixture
def whole_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clicks in Python see the whole frame too, whatever the lesion's size is."""
    monkeypatch.setattr(prompted_frame, "choose_window", lambda mask, *_: Window(0, 0, mask.shape[1], mask.shape[0]))


def _pixels(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)


def _frame(size: tuple[int, int] = SIZE) -> Tensor:
    return frames_to_tensor([_pixels(size)], size)[None, :, 0]


def test_a_still_step_returns_features_too(network: LSINet) -> None:
    logit, *features = StillStep(network)(_frame())
    torch.testing.assert_close(logit, network(_frame()))
    for found, expected in zip(features, network.encode(_frame()).features, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [SIZE, (72, 100)])  # the second is padded to 96 x 128
@pytest.mark.parametrize("box", [None, [10.0, 12.0, 70.0, 60.0]])
@pytest.mark.usefixtures("whole_frames")
def test_clicks_one_by_one_are_those_in_python(network: LSINet, size: tuple[int, int], box: list[float] | None) -> None:
    points, labels = [[20.0, 30.0], [60.5, 11.0], [90.0, 50.0]], [1, 0, 1]
    start = np.zeros(size, bool)
    start[20:50, 30:70] = True
    prompted = PromptedFrame(network, _pixels(size), size)
    expected = prompted.segment(points, labels, box, start)

    step = PromptStep(network.prompt_head, size)
    _, *features = StillStep(network)(_frame(size))
    corners = torch.tensor([[0.0] * 4 if box is None else box])
    # A given mask is not quite sure: its logits are 9 and -9.
    mask = (18 * torch.from_numpy(start).float()[None, None] - 9).sigmoid()
    for count in range(0 if box else 1, 4):
        seen = points[:count] or [[0.0, 0.0]], labels[:count] or [-1]
        logit = step(_frame(size), *features, *(torch.tensor([x]) for x in seen), corners, mask)
        mask = logit.sigmoid()
    assert logit.shape == (1, 1, *size)
    torch.testing.assert_close(logit, prompted._lesions[1].logits[-1], atol=1e-3, rtol=1e-3)
    assert ((logit[0, 0] > 0).numpy() != expected).mean() < 1e-3


def test_no_prompts_are_its_inputs(network: LSINet) -> None:
    step = PromptStep(network.prompt_head, (72, 100))
    inputs = step.no_prompts()
    assert list(inputs) == list(step.dynamic_shapes) == ["frame", *FEATURE_NAMES, "points", "labels", "box", "mask"]
    _, *features = StillStep(network)(_frame((72, 100)))
    assert [inputs[name].shape for name in FEATURE_NAMES] == [x.shape for x in features]
    nothing = step(**inputs)
    assert nothing.shape == (1, 1, 72, 100)
    # No place that no point takes counts, and neither does their number.
    more = inputs | {"points": torch.full((1, 5, 2), 30.0), "labels": torch.full((1, 5), -1)}
    torch.testing.assert_close(step(**more), nothing)


WRONG = [
    ({"frame": torch.zeros(1, 3, 64, 64)}, r"a click needs a frame \(1, 3, 64, 96\) .* got \(1, 3, 64, 64\)"),
    ({"mask": torch.zeros(1, 1, 16, 24)}, r"and a mask \(1, 1, 64, 96\), got \(1, 3, 64, 96\) and \(1, 1, 16, 24\)"),
    ({"points": torch.zeros(1, 0, 2), "labels": torch.zeros(1, 0)}, "points must be"),
    ({"labels": torch.zeros(1, 3)}, "labels must be"),
    ({"box": torch.zeros(4)}, "box must be"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_inputs_that_do_not_fit(network: LSINet, given: dict[str, Tensor], said: str) -> None:
    step = PromptStep(network.prompt_head, SIZE)
    with pytest.raises(InputError, match=said):
        step(**step.no_prompts() | given)


def _load_torchscript(path: Path) -> Run:
    module = torch.jit.load(path)

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = module(*inputs.values())
        return [found] if isinstance(found, Tensor) else list(found)

    return run


def _load_program(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = module(*inputs.values())
        return [found] if isinstance(found, Tensor) else list(found)

    return run


def _load_onnx(path: Path) -> Run:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = ["logit", *FEATURE_NAMES] if ".prompt" not in path.name else ["logit"]
    assert [x.name for x in session.get_outputs()] == outputs

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        assert list(inputs) == [x.name for x in session.get_inputs()]
        return [torch.from_numpy(x) for x in session.run(None, {name: x.numpy() for name, x in inputs.items()})]

    return run


LOAD: dict[str, Callable[[Path], Run]] = {".ts": _load_torchscript, ".pt2": _load_program, ".onnx": _load_onnx}


@pytest.fixture(scope="module")
def export(network: LSINet, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Export the network once in each format, and return its file."""
    folder = tmp_path_factory.mktemp("exports")

    def write(suffix: str) -> Path:
        if suffix == ".onnx":
            pytest.importorskip("onnxscript")
        path = folder / f"network{suffix}"
        if not path.exists():
            export_network(network, SIZE, path)
        return path

    return write


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ts", ".pt2", ".onnx"])
def test_the_files_are_the_network_and_a_click(network: LSINet, export: Callable[[str], Path], suffix: str) -> None:
    assert network.prompt_head is not None
    path = export(suffix)
    segment, click = LOAD[suffix](path), LOAD[suffix](path.with_name(f"network.prompt{suffix}"))
    logit, *features = segment({"frame": _frame()})
    torch.testing.assert_close(logit, network(_frame()), atol=1e-3, rtol=0)
    step = PromptStep(network.prompt_head, SIZE)
    generator = torch.Generator().manual_seed(0)
    inputs = step.no_prompts() | {"frame": _frame(), **dict(zip(FEATURE_NAMES, features, strict=True))}
    for count in (1, 2, 5):
        inputs["points"] = torch.rand(1, count, 2, generator=generator) * torch.tensor([96.0, 64.0])
        inputs["labels"] = torch.tensor([[1, 0, -1, 1, 0]])[:, :count]
        inputs["box"] = torch.tensor([[8.0, 8.0, 60.0, 40.0]]) * (count == 2)
        (found,) = click(inputs)
        torch.testing.assert_close(found, step(**inputs), atol=1e-3, rtol=0)
        inputs["mask"] = found.sigmoid()


@pytest.mark.slow
def test_the_features_of_a_streaming_step_are_those_of_a_click(network: LSINet, tmp_path: Path) -> None:
    step = StreamingStep(network, SIZE, 2, 2)
    export_network(step, SIZE, tmp_path / "step.ts")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step.prompt.ts", "step.ts"]
    found = torch.jit.load(tmp_path / "step.ts")(_frame(), *step.new_state())
    assert len(found) == 1 + len(step.state_names)
    by_name = dict(zip(step.state_names, found[1:], strict=True))
    _, *features = StillStep(network)(_frame())
    for stride, expected in zip((8, 16, 32), features, strict=True):
        torch.testing.assert_close(by_name[f"previous_{stride}"], expected, atol=1e-4, rtol=0)
    assert network.prompt_head is not None  # the export does not change it


@pytest.mark.slow
def test_torchscript_is_bound_to_no_device(export: Callable[[str], Path]) -> None:
    graph = torch.jit.load(export(".ts").with_name("network.prompt.ts")).inlined_graph
    constants = graph.findAllNodes("prim::Constant")
    devices = [node for node in constants if node.output().type().kind() == "DeviceObjType"]
    assert not [use for node in devices for use in node.output().uses()]
    tensors = [node.t("value") for node in constants if node.output().type().kind() == "TensorType"]
    assert not [tensor for tensor in tensors if tensor.ndim]


def test_an_earlier_file_with_a_head_is_kept(network: LSINet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.jit, "trace", lambda *_, **__: pytest.fail("the export has begun"))
    (tmp_path / "network.prompt.ts").write_text("earlier")
    with pytest.raises(InputError, match=r"filepath '.*network\.prompt\.ts' is there already: .* --overwrite true$"):
        export_network(network, SIZE, tmp_path / "network.ts")
    assert [path.name for path in tmp_path.iterdir()] == ["network.prompt.ts"]


@pytest.mark.slow
def test_both_files_appear_or_neither(network: LSINet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = torch.jit.trace

    def fail_later(module: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(module, PromptStep):
            raise OSError("no space left")
        return trace(module, *arguments, **options)

    monkeypatch.setattr(torch.jit, "trace", fail_later)
    with pytest.raises(OSError, match="no space left"):
        export_network(network, SIZE, tmp_path / "network.ts")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("whole_frames")
def test_the_guides_program_segments_as_python_does(
    network: LSINet, export: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    folder = export(".onnx").parent
    monkeypatch.chdir(folder)
    pixels = _pixels((240, 320))
    Image.fromarray(pixels).save("frame.png")
    (program,) = re.findall(r"```python\n([^`]+network\.prompt\.onnx[^`]+)```", DEPLOY.read_text())
    names: dict[str, Any] = {}
    exec(program, names)
    expected = PromptedFrame(network, pixels, SIZE).segment([[160, 120], [40, 200]], [1, 0])
    assert names["mask"].shape == (240, 320) and names["mask"].dtype == bool
    assert (names["mask"] != expected).mean() < 5e-3
    assert 0.01 < expected.mean() < 0.99
