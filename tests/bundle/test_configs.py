"""The configs read like the paper: the recipe is in train.json, and overlays override keys without repeating it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.utils.shipped_model import MODEL_FILE

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
ZOO_LINES = 287  # of the train.json of the zoo's endoscopic bundle

# The method in the order of the file: a key, and the classes that it names.
METHOD = [
    ("network_def", ["lsinet_monai.networks.create_network"]),
    ("loss", ["lsinet_monai.losses.LSINetLoss"]),
    (
        "transforms",
        [
            "lsinet_monai.transforms.LoadFramesd",
            "lsinet_monai.transforms.RandStillClipd",
            "lsinet_monai.transforms.RandFlipClipd",
            "lsinet_monai.transforms.RandRotateClipd",
            "lsinet_monai.transforms.RandColourd",
            "lsinet_monai.transforms.RandMaskNoised",
            "lsinet_monai.transforms.FramesToTensord",
            "ConcatItemsd",
        ],
    ),
    ("sampler", ["lsinet_monai.data.TrainingSampler"]),
    ("optimizer", ["torch.optim.Adam"]),
    ("lr_scheduler", ["torch.optim.lr_scheduler.StepLR"]),
    ("train", ["SupervisedTrainer"]),
]

# Overlays, and the config that each of them extends.
OVERLAYS = {
    "evaluate": "train", "finetune": "train", "multi_gpu_train": "train", "res2net50": "train", "fast": "train",
    "cpu": "train", "cvc_clinicdb": "train", "demo": "train", "export": "inference", "multi_gpu_inference": "inference",
    "stills": "train", "time": "stills",
}  # fmt: skip
NEW_KEYS = {
    "evaluate": {"model", "released_maps", "frames_per_second", "splits", "evaluating"},
    "finetune": {"model"},
    "multi_gpu_train": {"finalize"},
    "multi_gpu_inference": {"finalize"},
    "export": {"filepath", "exporting"},
    "stills": {
        "stills_held_out",
        "encoder_learning_rate",
        "weight_decay",
        "warmup_steps",
        "averaging_decay",
        "averaging",
    },
    "time": {
        "mask_embedding",
        "model",
        "features_dir",
        "clips_per_still",
        "clip_size",
        "clip_frames",
        "loss_frames",
        "spoiled_clips",
        "clip_dataset",
    },
}


def _read(name: str) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_method_is_in_train_json_in_the_papers_order() -> None:
    config = _read("train")
    places = [list(config).index(key) for key, _ in METHOD]
    assert places == sorted(places)
    for key, targets in METHOD:
        found = config[key]["trainer"] if key == "train" else config[key]
        parts = [_find(config, part) for part in (found if isinstance(found, list) else [found])]
        assert [part["_target_"] for part in parts if isinstance(part, dict)] == targets


def _find(config: dict[str, Any], part: Any) -> Any:
    """A part of the config, which may be named, such as "$@still_clips if ..."."""
    named = re.match(r"\$?@(\w+)", part) if isinstance(part, str) else None
    return config[named[1]] if named else part


def test_train_json_is_short() -> None:
    assert len((CONFIGS / "train.json").read_text(encoding="utf-8").splitlines()) < ZOO_LINES


def test_the_published_numbers_are_in_train_json() -> None:
    config = _read("train")
    _, _, flip, rotation, colour, noise, *_ = config["transforms"]
    assert flip["prob"] == 0.5
    assert (rotation["prob"], rotation["max_degrees"]) == (0.2, 15)
    assert [eval(colour[name][1:]) for name in ("brightness", "contrast", "saturation", "sharpness")] == [
        (0.5, 1.5), (0.5, 1.5), (0, 2), (0, 3)
    ]  # fmt: skip
    assert noise["fraction"] == 0.0015
    assert eval(config["max_skip"][1:]) == [5, 10, 15, 20, 25, 5]


@pytest.mark.parametrize(("overlay", "base"), OVERLAYS.items())
def test_overlays_override_and_do_not_repeat(overlay: str, base: str) -> None:
    content, below = _read(overlay), _read(base) | (_read("train") if base in OVERLAYS else {})
    assert not {"imports", "initialize", "settings", "options"} & content.keys()
    new = {key.lstrip("+").partition("#")[0] for key in content} - below.keys()
    assert new == NEW_KEYS.get(overlay, set())


@pytest.mark.parametrize(("name", "key"), [("train", "model_file"), ("export", "filepath")])
def test_nothing_is_written_next_to_the_shipped_model(name: str, key: str) -> None:
    assert "@output_dir" in _read(name)[key] and "bundle_root" not in _read(name)["output_dir"]


@pytest.mark.parametrize("name", ["inference", "evaluate", "finetune", "time"])
def test_the_shipped_model_is_the_default(name: str) -> None:
    assert _read(name)["checkpoint"] == f"$@bundle_root + '/{MODEL_FILE}'"


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.json")), ids=lambda path: path.stem)
def test_a_target_is_never_a_module(config: Path) -> None:
    # From Python 3.12 on, MONAI's way to find a target prefers a module to a function of the same name.
    for target in re.findall(r'"_target_": "(lsinet_monai\.[\w.]+)"', config.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(target) is None, target
