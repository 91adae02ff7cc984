"""Exports by the bundle's and by MONAI's verbs."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import Tensor

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


@pytest.mark.slow
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
    state = step.new_state()
    assert loaded(torch.zeros(1, 3, *step.image_size), *state)[0].shape == (1, 1, *step.image_size)
    assert step.memory_frames == 2
    assert [path.name for path in Path().iterdir()] == ["step.ts"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filepath": "step.txt"}, "filepath='step.txt' must end with"),
        ({"checkpoint": "nowhere.pt"}, "checkpoint='nowhere.pt' is not a file"),
        ({"memory_frames": 0}, "memory_frames=0"),
        ({"image_size": 32}, "image_size=32"),
        ({"adjacent": "next"}, "adjacent='next': exports support only 'previous'"),
        ({"forgetting": "released"}, "forgetting='released': exports support only 'usage'"),
        ({"amp_dtype": "bfloat16"}, "amp_dtype='bfloat16': exports support only None"),
    ],
)
def test_bad_input(export: Callable[..., ConfigWorkflow], options: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception) as caught:  # MONAI wraps what goes wrong in a config
        export(**{"filepath": "step.pt2", **options})
    assert said in str(find_input_error(caught.value))
    assert not list(Path().iterdir())


@pytest.mark.slow
def test_an_earlier_export_is_kept_unless_overwrite_is_set(export: Callable[..., ConfigWorkflow]) -> None:
    Path("network.pt2").touch()
    options = {"filepath": "network.pt2", "network_def": "$@model.network"}
    with pytest.raises(Exception) as caught:
        export(**options)
    assert "network.pt2' is there already" in str(find_input_error(caught.value))
    assert Path("network.pt2").stat().st_size == 0
    export(**options, overwrite="true")
    assert Path("network.pt2").stat().st_size > 0


def _load_torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    return torch.jit.load(path)


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = [x.name for x in session.get_inputs()]
    return lambda frame: torch.from_numpy(session.run(None, {name: frame.numpy()})[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "filepath", "load"),
    [("ckpt_export", "network.ts", _load_torchscript), ("onnx_export", "network.onnx", _load_onnx)],
)
def test_monais_verbs_as_the_guide_has_them(
    model_file: Path,
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    filepath: str,
    load: Callable[[Path], Callable[[Tensor], Tensor]],
) -> None:
    fire = pytest.importorskip("fire")
    monkeypatch.setattr(tempfile, "tempdir", str(empty_folder))  # MONAI leaves the weights there
    Path("bundle").symlink_to(CONFIGS.parent)
    network, (height, width) = load_checkpoint(model_file)
    guide = (CONFIGS.parents[1] / "docs" / "deploy.md").read_text().replace("\\\n", "")
    found = re.search(rf"^python -m monai\.bundle ({verb} .+)$", guide, re.M)
    assert found
    command = found[1].replace("H,W", f"{height},{width}").replace("FILE", str(model_file))
    fire.Fire(monai.bundle, shlex.split(command))  # as `python -m monai.bundle` does
    frame = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(load(Path(filepath))(frame), network(frame), atol=1e-3, rtol=0)
