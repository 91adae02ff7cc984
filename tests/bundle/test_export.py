"""Exports by the bundle's and by MONAI's verbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, onnx_export

from lsinet_monai.errors import find_input_error
from lsinet_monai.networks import load_checkpoint

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


@pytest.fixture
def export(model_file: Path, empty_folder: Path) -> Callable[..., ConfigWorkflow]:
    """Run the verb ``exporting``, with config keys as arguments."""

    def run(**options: Any) -> ConfigWorkflow:
        workflow = ConfigWorkflow(
            config_file=[str(CONFIGS / "inference.json"), str(CONFIGS / "export.json")],
            workflow_type="inference",
            run_id="exporting",
            logging_file=False,
            **{"checkpoint": str(model_file), "memory_frames": 2, **options},
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    return run


def test_the_still_image_network(export: Callable[..., ConfigWorkflow], model_file: Path) -> None:
    export(filepath="network.pt2", network_def="$@model.network")
    network, image_size = load_checkpoint(model_file)
    frame = torch.rand(1, 3, *image_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logit = torch.export.load("network.pt2").module()(frame)
        torch.testing.assert_close(logit, network(frame), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_streaming_step(export: Callable[..., ConfigWorkflow]) -> None:
    workflow = export(filepath="step.ts")
    step = workflow.parser.get_parsed_content("network_def")
    loaded = torch.jit.load("step.ts")
    state = step.start()
    assert loaded(torch.zeros(1, 3, *step.image_size), *state)[0].shape == (1, 1, *step.image_size)
    assert step.memory_frames == 2
    assert [path.name for path in Path().iterdir()] == ["step.ts"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filepath": "step.txt"}, "filepath='step.txt' must end with"),
        ({"checkpoint": "nowhere.pt"}, "checkpoint='nowhere.pt' is not a file"),
        ({"memory_frames": 0}, "memory_frames=0"),
        ({"image_size": 32}, "image_size=32"),
    ],
)
def test_bad_input(export: Callable[..., ConfigWorkflow], options: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception) as caught:  # MONAI wraps what goes wrong in a config
        export(**{"filepath": "step.pt2", **options})
    assert said in str(find_input_error(caught.value))
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_onnx_by_monais_verb(model_file: Path, empty_folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, image_size = load_checkpoint(model_file)
    onnx_export(
        net_id="network_def",
        filepath="network.onnx",
        ckpt_file=str(model_file),
        config_file=str(CONFIGS / "inference.json"),
        key_in_ckpt="model",
        input_shape=[1, 3, *image_size],
        converter_kwargs={"opset_version": 19},
        checkpoint=str(model_file),
        device="cpu",
    )
    session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
    frame = torch.rand(1, 3, *image_size, generator=torch.Generator().manual_seed(0))
    (logit,) = session.run(None, {session.get_inputs()[0].name: frame.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logit, network(frame).numpy(), atol=1e-3)
