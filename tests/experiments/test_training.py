from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser
from monai.data import DataLoader
from monai.handlers import LrScheduleHandler

from experiments.training import MORE_FRAMES, RELEASED, WAYS
from lsinet_monai.data import write_phantom
from lsinet_monai.transforms import RandColourd

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, clips=3, frames=4, size=(72, 90), seed=1)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_takes_a_step(phantom: Path, way: str) -> None:
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.json"), str(CONFIGS / "cvc_clinicdb.json")])
    given = {
        "backbone": "mobilenetv3_small_100",
        "dataset_dir": str(phantom),
        "image_size": 64,
        "batch_size": 2,
        "num_workers": 0,
    }
    parser.update(WAYS[way] | given)
    loader = parser.get_parsed_content("train#dataloader")
    assert isinstance(loader, DataLoader)
    batch = next(iter(loader))
    network, loss = (parser.get_parsed_content(name) for name in ("network", "loss"))
    frames = {key: batch[key] for key in ("adjacent", "memory", "memory_mask")}
    logits = parser.get_parsed_content("train#inferer")(batch["image"], network, **frames)
    assert loss(logits, batch["label"]).isfinite()
    assert batch["memory_mask"].shape[1] == (1 + MORE_FRAMES if way == "three memory frames" else 1)
    transforms = parser.get_parsed_content("train#dataset").transform.transforms
    assert any(isinstance(transform, RandColourd) for transform in transforms) is (way != "no colours")
    (scheduling,) = [x for x in parser.get_parsed_content("train#handlers") if isinstance(x, LrScheduleHandler)]
    assert scheduling.epoch_level is (way != "one cycle")
    assert parser.get_parsed_content("lr_scheduler").optimizer is parser.get_parsed_content("optimizer")


def test_a_way_changes_only_what_it_names() -> None:
    for way, given in WAYS.items():
        assert given.keys() >= RELEASED.keys()
        changed = [key for key in RELEASED if given[key] != RELEASED[key]]
        assert len(changed) <= 1 + way.count(", "), way
