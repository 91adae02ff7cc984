"""Options of a training, and the overlays that set some of them together."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.networks import load_checkpoint

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
OVERLAYS = {
    "res2net50": "res2net50_26w_4s", "fast": "pvt_v2_b2", "cpu": "pvt_v2_b0",
    "cvc_clinicdb": "pvt_v2_b1", "demo": "mobilenetv3_small_100",
}  # fmt: skip


def _losses(folder: str) -> list[float]:
    found = {}
    for path in Path(folder).glob("events.*"):
        events = EventAccumulator(str(path)).Reload()
        if "train_loss" in events.Tags()["scalars"]:
            found = {event.step: event.value for event in events.Scalars("train_loss")}
    return [found[step] for step in sorted(found)]


def _train_with(overlay: str, **options: Any) -> ConfigWorkflow:
    """Train for one epoch of small frames with an overlay."""
    small = {"device": "cpu", "num_workers": 0, "pretrained": False, "image_size": 64, "batch_size": 16,
             "max_epochs": 1, "output_dir": "out", "model_file": "new.pt"}  # fmt: skip
    workflow = ConfigWorkflow(
        config_file=[str(CONFIGS / f"{name}.json") for name in ("train", overlay)],
        workflow_type="train",
        run_id="training",
        logging_file=False,
        **small | options,
    )
    workflow.initialize()
    workflow.run()
    return workflow


@pytest.fixture(scope="module")
def plain(run, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of a training without options."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        where = {"dataset_dir": str(phantom), "output_dir": "out", "model_file": "model.pt"}
        run("training", **where, drop_path_rate=0, batch_size=3)
    return _losses(str(folder / "out"))


# Options that change how a training computes, and how far its losses may be from those of float32: half a per cent
# of rounding a step in bfloat16, which has 8 significant bits; nothing but the order of sums otherwise.
WAYS = [
    pytest.param({"amp_dtype": "bfloat16"}, 0.05, id="bfloat16"),
    pytest.param({"channels_last": "true"}, 1e-3, id="channels_last"),
    pytest.param({"compile": "true"}, 1e-3, id="compile"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "tolerance"), WAYS)
def test_ways_to_compute(
    run, phantom: Path, plain: list[float], options: dict[str, str], tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The step is traced and differentiated as for the default backend, which then compiles it for many minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    where = {"dataset_dir": str(phantom), "output_dir": "out", "model_file": "model.pt", "drop_path_rate": 0}
    workflow = run("training", batch_size=3, **where, **options)  # three full batches: another size compiles again
    losses = _losses("out")
    assert losses == pytest.approx(plain, rel=tolerance)
    trainer = workflow.parser.get_parsed_content("train#trainer")
    weights = workflow.parser.get_parsed_content("network").encoder.backbone.state_dict().values()
    is_channels_last = any(
        w.ndim == 4 and not w.is_contiguous() and w.is_contiguous(memory_format=torch.channels_last) for w in weights
    )
    assert is_channels_last == ("channels_last" in options)
    assert trainer.compile == ("compile" in options)
    if "amp_dtype" in options:
        assert losses != plain
    assert load_checkpoint("model.pt").network.config["backbone"] == "mobilenetv3_small_100"


@pytest.mark.gpu
def test_float16_on_a_gpu(run, phantom: Path, plain: list[float]) -> None:
    options: dict[str, Any] = {"dataset_dir": str(phantom), "drop_path_rate": 0, "device": "cuda",
                               "amp_dtype": "float16", "output_dir": "out", "model_file": "model.pt"}  # fmt: skip
    run("training", **options)
    losses = _losses("out")
    # Only the first loss belongs to the same weights: the scaler skips steps until it has found its scale.
    assert len(losses) == len(plain) and losses[0] == pytest.approx(plain[0], rel=0.02)
    scale = torch.load("out/training_state.pt", weights_only=True)["scaler"]["scale"]
    workflow = run("training", **options, resume="true", max_epochs=3)
    assert 0 < workflow.parser.get_parsed_content("train#trainer").scaler.get_scale() <= scale
    assert all(value.isfinite().all() for value in load_checkpoint("model.pt").network.state_dict().values())


@pytest.mark.slow
def test_every_frame_of_a_sample(run, phantom: Path, plain: list[float]) -> None:
    options: dict[str, Any] = {"dataset_dir": str(phantom), "drop_path_rate": 0, "every_frame": "true"}
    workflow = run("training", output_dir="out", model_file="model.pt", **options)
    batch = next(iter(workflow.parser.get_parsed_content("train#dataloader")))
    assert batch["label"].shape[1:] == (3, 64, 64) and batch["memory_mask"].shape[1:] == (1, 64, 64)
    losses = _losses("out")
    assert len(losses) == len(plain) and losses[0] != plain[0]
    assert losses[0] == pytest.approx(plain[0], rel=0.3)  # a mean over frames, not their sum
    assert load_checkpoint("model.pt").network.config["backbone"] == "mobilenetv3_small_100"


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.25, pytest.param(None, marks=pytest.mark.slow)])
def test_clips_without_a_polyp(run, phantom: Path, share: float | None) -> None:
    frames = next((phantom / "TrainDataset" / "Frame").iterdir())
    shutil.copytree(frames, "negatives/case8")
    shutil.copytree(frames, "negatives/case9")
    workflow = run(
        "training", dataset_dir=str(phantom), output_dir="out", model_file="model.pt", negative_dir="negatives",
        negative_share=share, balance_clips="true", validation_fraction=0, max_epochs=1, batch_size=1000,
    )  # fmt: skip
    sampler = workflow.parser.get_parsed_content("sampler")
    assert sampler.balance_clips
    assert len(sampler) == (12 + 6 if share is None else 12 + 4)


@pytest.mark.parametrize(("overlay", "backbone"), OVERLAYS.items())
def test_overlays_name_keys_and_backbones_that_there_are(overlay: str, backbone: str) -> None:
    content = json.loads((CONFIGS / f"{overlay}.json").read_text())
    assert content["backbone"] == backbone
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "train.json"))
    assert {key.lstrip("+").partition("#")[0] for key in content} <= parser.get().keys()


def test_fast_steps_are_compiled_on_a_gpu() -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "fast.json")])
    for device, is_compiled in ((torch.device("cuda", 1), True), ("cuda", True), ("cpu", False)):
        parser["device"] = device
        assert parser.get_parsed_content("compile") is is_compiled


@pytest.mark.slow
@pytest.mark.parametrize("overlay", [pytest.param(o, marks=pytest.mark.slow) for o in ("res2net50", "fast")] + ["cpu"])
def test_overlays_train(phantom: Path, overlay: str) -> None:
    _train_with(overlay, dataset_dir=str(phantom))
    assert load_checkpoint("new.pt").network.config["backbone"] == OVERLAYS[overlay]


@pytest.mark.slow
@pytest.mark.parametrize("by_overlay", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_fine_tuning_of_a_model_file(run, phantom: Path, model_file: Path, by_overlay: bool) -> None:
    options = {"dataset_dir": str(phantom), "checkpoint": str(model_file), "max_epochs": 1, "learning_rate": 1e-9}
    if by_overlay:
        parser = ConfigParser()
        parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "finetune.json")])
        assert parser["image_size"] == "$@model.image_size"
        _train_with("finetune", **options)
    else:
        run("training", **options, output_dir="out", model_file="new.pt", backbone="pvt_v2_b5", image_size=[64, 96])
    start, tuned = load_checkpoint(model_file).network, load_checkpoint("new.pt").network
    assert tuned.config == start.config
    expected = dict(start.named_parameters())
    assert all(torch.allclose(value, expected[name], atol=1e-6) for name, value in tuned.named_parameters())


@pytest.mark.slow
def test_fine_tuning_of_the_authors_checkpoint(phantom: Path, released_file: Path) -> None:
    _train_with("finetune", dataset_dir=str(phantom), checkpoint=str(released_file))
    assert load_checkpoint("new.pt").network.config["backbone"] == "pvt_v2_b1"
