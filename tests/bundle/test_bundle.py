from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from lsinet_monai.data import frames_to_tensor, open_video, read_frame, read_mask, read_split
from lsinet_monai.evaluation import score_folders
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.metrics import BENCHMARK_SCORES
from lsinet_monai.networks import load_checkpoint

# Layouts of a folder of clips: the frames to write, by size (H, W) and Pillow mode, and the clips that are found.
LAYOUTS: dict[str, tuple[dict[str, tuple[tuple[int, int], str]], dict[str, int]]] = {
    "one folder": (
        {"9.jpg": ((70, 80), "RGB"), "10.jpg": ((70, 80), "RGB")},
        {"clips": 2},
    ),
    "frame folders": (
        {
            "one/a.png": ((50, 64), "RGB"),
            "grey/0.jpg": ((64, 64), "L"), "grey/1.jpg": ((64, 64), "L"),
            "deep/rgba/0.png": ((80, 100), "RGBA"), "deep/rgba/1.png": ((80, 100), "RGBA"),
        },
        {"one": 1, "grey": 2, "deep/rgba": 2},
    ),
    "SUN-SEG": (
        {
            "TrainDataset/Frame/case1/0.jpg": ((64, 64), "RGB"), "TrainDataset/GT/case1/0.png": ((64, 64), "L"),
            "TestEasyDataset/Unseen/Frame/case2/0.jpg": ((66, 64), "RGB"),
            "TestEasyDataset/Unseen/GT/case2/0.png": ((66, 64), "L"),
        },
        {"TrainDataset/case1": 1, "TestEasyDataset/Unseen/case2": 1},
    ),
}  # fmt: skip


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _events(folder: Path) -> tuple[dict[str, list[float]], set[str]]:
    """The scalars, and the names of the pictures, of all event files of a folder."""
    scalars: dict[str, list[float]] = {}
    pictures: set[str] = set()
    for path in sorted(folder.glob("events.*")):
        events = EventAccumulator(str(path)).Reload()
        scalars |= {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
        pictures |= set(events.Tags()["images"])
    return scalars, pictures


def _write_frames(folder: Path, frames: dict[str, tuple[tuple[int, int], str]]) -> None:
    generator = np.random.default_rng(0)
    for name, (size, mode) in frames.items():
        pixels = generator.integers(256, size=(size[0] // 8, size[1] // 8, 4), dtype=np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").resize(size[::-1]).convert(mode).save(folder / name)


def _probabilities(frames: list[np.ndarray], model_file: Path, settings: dict[str, Any]) -> np.ndarray:
    """The result of an inferer with these settings for a whole clip at once, at the frames' size."""
    network, image_size = load_checkpoint(model_file)
    logits = SequentialVideoInferer(**settings)(frames_to_tensor(frames, image_size)[None], network)
    size = frames[0].shape[:2]
    return torch.sigmoid(F.interpolate(logits[0, 0, :, None], size, mode="bilinear"))[:, 0].numpy()


@pytest.fixture(scope="module")
def trained(run: Callable[..., Any], phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a training ran."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        workflow = run("training", dataset_dir=str(phantom), output_dir="out", model_file="models/model.pt")
        assert workflow.check_properties() == []
    return folder


@pytest.mark.slow
def test_training_writes_its_model_and_events_alone(trained: Path) -> None:
    files = _files(trained)
    events = {name for name in files if re.fullmatch(r"out/events\.out\.tfevents\..*", name)}
    assert files - events == {"models/model.pt", "out/training_state.pt", "out/.training.lock"}
    scalars, pictures = _events(trained / "out")
    assert len(scalars["train_loss"]) == 2 * 3  # 9 or 6 frames in batches of 4, twice
    outputs = [scalars.pop(f"train_loss/{name}") for name in ("S_g", "S_5", "S_4", "S_3")]
    assert np.sum(outputs, axis=0) == pytest.approx(scalars["train_loss"], rel=1e-6)
    assert scalars["learning_rate"] == pytest.approx([1e-4] * 6)
    (clip,) = (tag for tag in scalars if tag.startswith("val_dice/TrainDataset/case"))
    assert scalars[clip] == scalars["val_mean_dice"]
    assert len(scalars["val_mean_dice"]) == 2
    assert 0 <= min(scalars["val_mean_dice"]) <= max(scalars["val_mean_dice"]) <= 1
    assert len(pictures) == 1 and next(iter(pictures)).startswith("val_masks/TrainDataset/case")


def test_model_file_says_how_to_build_the_network(trained: Path) -> None:
    network, image_size = load_checkpoint(trained / "models" / "model.pt")
    assert image_size == 64
    assert network.config["backbone"] == "mobilenetv3_small_100"


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_one_seed_gives_the_same_losses(run, phantom: Path, trained: Path, num_workers: int) -> None:
    run("run", dataset_dir=str(phantom), output_dir="out", model_file="model.pt", num_workers=num_workers)
    assert _events(Path("out"))[0] == _events(trained / "out")[0]


@pytest.mark.slow
def test_another_seed_gives_other_losses(run, phantom: Path, trained: Path) -> None:
    run("run", dataset_dir=str(phantom), output_dir="out", seed=1, max_epochs=1)
    assert {name for name in _files(Path()) if name.endswith("model.pt")} == {"out/model.pt"}  # by default
    losses = _events(Path("out"))[0]["train_loss"]
    assert losses != _events(trained / "out")[0]["train_loss"][: len(losses)]


@pytest.mark.slow
def test_the_best_model_is_kept(run, phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr("lsinet_monai.metrics.ClipDice.compute", lambda metric: next(dice))
    saved = []
    monkeypatch.setattr(
        "lsinet_monai.handlers.model_saver.save_model", lambda network, path, *rest: (saved.append(path), path.touch())
    )
    options = {"max_epochs": 3, "batch_size": 1000}  # one step an epoch
    run("training", dataset_dir=str(phantom), output_dir="out", model_file="model.pt", **options)
    assert saved == [Path("model.pt")] * 2
    assert [path.name for path in Path().glob("*.pt")] == ["model.pt"]  # the run's own earlier best is replaced


@pytest.mark.slow
def test_without_validation_the_last_network_is_saved_and_an_earlier_file_kept(run, phantom: Path) -> None:
    Path("model.pt").write_bytes(b"earlier")
    options = {"batch_size": 1000, "max_epochs": 1, "validation_fraction": 0, "image_size": [64, 96]}
    workflow = run("run", dataset_dir=str(phantom), output_dir="out", model_file="model.pt", **options)
    trained = workflow.parser.get_parsed_content("network").state_dict()
    network, image_size = load_checkpoint("model.pt")
    assert image_size == [64, 96]
    assert all(torch.equal(value, trained[name]) for name, value in network.state_dict().items())
    (kept,) = (path for path in Path().glob("*.pt") if path.name != "model.pt")
    assert re.fullmatch(r"model_\d{4}-\d\d-\d\d_\d{6}\.pt", kept.name)
    assert kept.read_bytes() == b"earlier"


@pytest.mark.slow
def test_evaluation_of_a_model_file(run, phantom: Path, model_file: Path) -> None:
    run("evaluating", dataset_dir=str(phantom), checkpoint=str(model_file), output_dir="out", piece_frames=2)
    (clip,) = read_split(phantom, "TestEasyDataset/Unseen")
    predictions = _probabilities([read_frame(path) for path in clip["image"]], model_file, {}) > 0.5
    masks = [read_mask(path) for path in clip["label"]]
    dice = np.mean([2 * (p & m).sum() / (p.sum() + m.sum()) for p, m in zip(predictions, masks, strict=True)])
    scores = json.loads(Path("out/scores.json").read_text())
    split = scores["lsinet"]["TestEasyDataset/Unseen"]
    assert split["dataset"]["dice_at_0.5"] == pytest.approx(dice, abs=1e-3)
    assert list(split["cases"]) == [Path(clip["clip_id"]).name]
    assert _files(Path()) == {"out/scores.json", "out/summary.json"}
    settings = json.loads(Path("out/summary.json").read_text())["settings"]
    assert settings["checkpoint"] == str(model_file)
    assert settings["model_sha256"] == hashlib.sha256(model_file.read_bytes()).hexdigest()[:16]


@pytest.mark.slow
def test_evaluation_without_extras(run, phantom: Path, model_file: Path, monkeypatch, capsys) -> None:
    for module in ("py_sod_metrics", "matplotlib", "jinja2", "av"):
        monkeypatch.setitem(sys.modules, module, None)
    run("evaluating", dataset_dir=str(phantom), checkpoint=str(model_file), output_dir="out")
    (split,) = json.loads(Path("out/scores.json").read_text())["lsinet"].values()
    assert split["dataset"]["dice_at_0.5"] is not None and split["dataset"]["maxDice"] is None
    table = capsys.readouterr().out
    assert "Dice at 0.5" in table and "Dice max" not in table


@pytest.mark.slow
def test_released_maps_have_the_scores_that_evaluation_prints(run, phantom: Path, model_file: Path) -> None:
    options = {"checkpoint": str(model_file), "output_dir": "out", "piece_frames": 2, "released_maps": "true"}
    run("evaluating", dataset_dir=str(phantom), **options)
    printed = json.loads(Path("out/scores.json").read_text())["lsinet"]["TestEasyDataset/Unseen"]
    evaluation = score_folders({"maps": "out/released_maps"}, phantom, processes=1, progress=False)
    scores = evaluation.scores()["maps"]["TestEasyDataset/Unseen"]
    for name in BENCHMARK_SCORES:
        assert scores["dataset"][name] == pytest.approx(printed["dataset"][name], abs=1e-12), name


@pytest.mark.slow
def test_evaluation_counts_false_positives_of_negative_clips(run, phantom: Path, model_file: Path) -> None:
    negatives = next((phantom / "TrainDataset" / "Frame").iterdir())
    shutil.copytree(negatives, "negatives/case1")
    options = {"checkpoint": str(model_file), "output_dir": "out", "negative_dir": "negatives"}
    run("evaluating", dataset_dir=str(phantom), **options)
    scores = json.loads(Path("out/scores.json").read_text())["lsinet"]
    assert list(scores) == ["TestEasyDataset/Unseen", "negative"]
    assert scores["negative"]["dataset"]["negative_frames"] == 3
    assert scores["negative"]["dataset"]["maxDice"] is None  # it would be 0 whatever is predicted


@pytest.mark.slow
def test_the_authors_checkpoint(run, phantom: Path, released_file: Path) -> None:
    options = {"checkpoint": str(released_file), "image_size": 64}
    workflow = run("evaluating", dataset_dir=str(phantom), output_dir="evaluation", **options)
    assert workflow.parser.get_parsed_content("network").config["backbone"] == "pvt_v2_b1"
    run("inference", input=str(phantom / "TestEasyDataset"), output_dir="inference", **options)
    assert Path("evaluation/scores.json").is_file()
    assert len(list(Path("inference/maps").rglob("*.png"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "clips"), LAYOUTS.values(), ids=LAYOUTS)
def test_inference_over_a_layout(run, model_file: Path, frames: dict[str, Any], clips: dict[str, int]) -> None:
    _write_frames(Path("clips"), frames)
    run("inference", input="clips", checkpoint=str(model_file), output_dir="out")
    read = {name: size for name, (size, _) in frames.items() if "GT" not in name}
    expected = {f"overlays/{clip}.mp4" for clip in clips} | {f"{clip}/summary.json" for clip in clips}
    for name, size in read.items():
        frame = Path(name if "/" in name else f"clips/{name}").with_suffix(".png").as_posix().replace("Frame/", "")
        for kind in ("masks", "maps"):
            expected.add(f"{kind}/{frame}")
            with Image.open(Path("out", kind, frame)) as image:
                assert (image.height, image.width, image.mode) == (*size, "L")
    assert _files(Path("out")) == expected
    for clip, count in clips.items():
        with open_video(f"out/overlays/{clip}.mp4") as overlay:
            assert len(list(overlay)) == count
        assert json.loads(Path(f"out/{clip}/summary.json").read_text())["counts"]["frames"] == count


@pytest.mark.slow
@pytest.mark.parametrize("piece_frames", [1, 2, 8])
def test_maps_are_the_inferers_probabilities(run, phantom: Path, model_file: Path, piece_frames: int) -> None:
    folder = next((phantom / "TrainDataset" / "Frame").iterdir())
    options = {"output_dir": "out", "threshold": 0.4, "piece_frames": piece_frames}
    workflow = run("inference", input=str(folder), checkpoint=str(model_file), **options)
    settings = workflow.parser.get_parsed_content("inferer").settings
    assert (settings["adjacent"], settings["smoothing"], settings["detect_cuts"]) == ("clearest", 0.35, True)
    paths = sorted(folder.iterdir())
    probabilities = _probabilities([read_frame(path) for path in paths], model_file, settings)
    for path, probability in zip(paths, probabilities, strict=True):
        values = np.array(Image.open(f"out/maps/{folder.name}/{path.stem}.png"), float)
        assert np.abs(values - 255 * probability).max() <= 0.51  # rounded, of sums in another order
        mask = np.array(Image.open(f"out/masks/{folder.name}/{path.stem}.png"))
        sure = np.abs(probability - 0.4) > 1e-4
        assert np.array_equal(mask[sure], np.where(probability > 0.4, 255, 0)[sure])


@pytest.mark.slow
@pytest.mark.parametrize("amp_dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_inference_in_half_precision(run, phantom: Path, model_file: Path, amp_dtype: str) -> None:
    folder = next((phantom / "TrainDataset" / "Frame").iterdir())
    options = {"input": str(folder), "checkpoint": str(model_file)}
    run("inference", output_dir="single", **options)
    workflow = run("inference", output_dir="half", amp_dtype=amp_dtype, encode_batch=2, **options)
    assert workflow.parser.get_parsed_content("inferer").amp_dtype == amp_dtype
    files = sorted(Path("single/maps").rglob("*.png"))
    assert len(files) == 3
    single, half = (
        np.stack([np.array(Image.open(output / file.relative_to("single")), int) for file in files])
        for output in (Path("single"), Path("half"))
    )
    assert np.abs(single - half).mean() < 5


@pytest.mark.slow
def test_evaluation_in_half_precision(run, phantom: Path, model_file: Path) -> None:
    options = {"checkpoint": str(model_file), "output_dir": "out", "amp_dtype": "bfloat16"}
    workflow = run("evaluating", dataset_dir=str(phantom), **options)
    assert workflow.parser.get_parsed_content("validate#inferer").amp_dtype == "bfloat16"


@pytest.mark.slow
def test_a_second_inference_overwrites_if_asked_to(run, phantom: Path, model_file: Path) -> None:
    folder = next((phantom / "TrainDataset" / "Frame").iterdir())
    options = {"input": str(folder), "checkpoint": str(model_file), "output_dir": "out"}
    workflow = run("inference", **options)
    assert workflow.check_properties() == []
    first = _files(Path("out"))
    run("inference", overwrite="true", **options)
    assert _files(Path("out")) == first


@pytest.mark.slow
def test_training_and_evaluation_on_real_frames(run, real_data: Path) -> None:
    options = {"dataset_dir": str(real_data), "batch_size": 32, "max_epochs": 1, "validation_fraction": 0}
    workflow = run("training", output_dir="training", model_file="model.pt", **options)
    assert len(workflow.parser.get_parsed_content("clips")) == 22
    run("evaluating", dataset_dir=str(real_data), checkpoint="model.pt", output_dir="evaluation")
    (split,) = json.loads(Path("evaluation/scores.json").read_text())["lsinet"].values()
    assert len(split["cases"]) == 7
    assert 0 <= split["dataset"]["dice_at_0.5"] <= 1
