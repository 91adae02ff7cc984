from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lsinet_monai.data import frames_to_tensor, phantom_clip
from lsinet_monai.errors import InputError
from lsinet_monai.export import StreamingStep, export_network
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import LSINet

SIZE = (64, 96)
INTERVAL, MEMORY = 2, 3


def _clip(frames: int) -> Tensor:
    return frames_to_tensor([frame for frame, _ in phantom_clip(frames, SIZE, seed=5)], SIZE)[None]


def _load_onnx(path: Path) -> Callable[..., Any]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        return [
            torch.from_numpy(x)
            for x in session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        ]

    return run


LOAD = {".ts": torch.jit.load, ".pt2": lambda path: torch.export.load(path).module(), ".onnx": _load_onnx}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ts", *(pytest.param(s, marks=pytest.mark.slow) for s in (".pt2", ".onnx"))])
def test_the_file_is_the_network(small_network: LSINet, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "exports" / f"network{suffix}"
    export_network(small_network, SIZE, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    frame = _clip(1)[:, :, 0]
    logit = LOAD[suffix](path)(frame)
    logit = logit if isinstance(logit, Tensor) else logit[0]
    torch.testing.assert_close(logit, small_network(frame), atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".ts", ".pt2"])  # ONNX: see test_streaming_step.py
def test_the_file_is_the_streaming_step(small_network: LSINet, tmp_path: Path, suffix: str) -> None:
    clip = _clip(8)
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY)
    export_network(step, SIZE, tmp_path / f"step{suffix}")
    loaded = LOAD[suffix](tmp_path / f"step{suffix}")
    state, logits = step.new_state(), []
    for frame in clip.unbind(2):
        logit, *state = loaded(frame, *state)
        logits.append(logit)
    expected = SequentialVideoInferer(INTERVAL, MEMORY, adjacent="previous")(clip, small_network)
    torch.testing.assert_close(torch.stack(logits, 2), expected, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_torchscript_is_bound_to_no_device(small_network: LSINet, tmp_path: Path) -> None:
    export_network(small_network, SIZE, tmp_path / "network.ts")
    graph = torch.jit.load(tmp_path / "network.ts").inlined_graph
    users = [
        use.user.kind()
        for node in graph.findAllNodes("prim::Constant")
        if node.output().type().kind() == "DeviceObjType"
        for use in node.output().uses()
    ]
    assert not users


@pytest.mark.parametrize("name", ["network", "network.pt", "network.ONNX"])
def test_another_suffix_is_refused(small_network: LSINet, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"must end with \.onnx, \.ts .* or \.pt2"):
        export_network(small_network, SIZE, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_file_that_is_there_is_replaced_only_if_asked(small_network: LSINet, tmp_path: Path) -> None:
    path = tmp_path / "network.ts"
    path.write_text("earlier")
    with pytest.raises(InputError, match=r"filepath '.*network\.ts' is there already: .* --overwrite true$"):
        export_network(small_network, SIZE, path)
    assert path.read_text() == "earlier"
    export_network(small_network, SIZE, path, overwrite=True)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(("name", "said"), [("folder.ts", "is a folder"), ("file/network.ts", "cannot be written")])
def test_a_path_that_cannot_be_written_is_refused_before_the_export(
    small_network: LSINet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setattr(torch.jit, "trace", lambda *_, **__: pytest.fail("the export has begun"))
    (tmp_path / "folder.ts").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"^filepath '.*{name}' {said}"):
        export_network(small_network, SIZE, tmp_path / name)


def test_a_step_has_a_size_of_its_own(small_network: LSINet, tmp_path: Path) -> None:
    step = StreamingStep(small_network, SIZE, INTERVAL, MEMORY)
    with pytest.raises(InputError, match=r"image_size=\(64, 64\) is not the streaming step's own: give \(64, 96\)"):
        export_network(step, 64, tmp_path / "step.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["onnx", "onnxscript"])
def test_onnx_needs_an_extra(
    small_network: LSINet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'{module} is not installed: pip install "lsinet_monai\[export\]"'):
        export_network(small_network, SIZE, tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())
