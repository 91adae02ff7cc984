from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import pytest
from torch import nn

from lsinet_monai.data import Clip
from lsinet_monai.errors import InputError
from lsinet_monai.workflow.training import read_settings, record_settings

CONFIG = Path(__file__).parents[2] / "bundle" / "configs" / "train.json"

# A training state of an earlier version has these settings, and resumes with the same names only.
RECORDED = {
    "training_clips", "validation_clips", "processes", "seed", "network", "image_size", "read_size", "augment",
    "batch_size", "learning_rate", "learning_rate_step", "clip_gradients", "weighted_bce", "every_frame", "max_skip",
    "balance_clips", "negative_share", "amp_dtype", "channels_last", "compile", "sync_batchnorm", "memory_interval",
    "memory_frames", "forgetting", "adjacent", "threshold",
}  # fmt: skip

BAD_SETTINGS = [
    ({"augment": "perhaps"}, "augment='perhaps' is neither true nor false"),
    ({"seed": 1, "pretrained": 1}, "pretrained=1 is neither true nor false"),
    ({"batch_size": "four"}, "batch_size='four' must be a whole number of 1 or more"),
    ({"val_interval": 3, "max_epochs": 2}, "val_interval=3 is more than max_epochs=2"),
]


def test_read_settings() -> None:
    settings = read_settings(augment="False", compile=True, seed=3, max_skip=[5, 10], amp_dtype="bfloat16")
    assert vars(settings) == {
        "augment": False, "compile": True, "seed": 3, "max_skip": [5, 10], "amp_dtype": "bfloat16"
    }  # fmt: skip


@pytest.mark.parametrize(("settings", "said"), BAD_SETTINGS)
def test_read_settings_refuses(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(said)}"):
        read_settings(**settings)


def test_record_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = nn.Identity()
    network.config = {"backbone": "b1"}
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    recorded = record_settings(SimpleNamespace(seed=3), network, [Clip("a", ["0.png", "1.png"])], [])
    assert re.fullmatch("1 with 2 frames, names [0-9a-f]{8}", recorded.pop("training_clips"))
    assert recorded.pop("validation_clips").startswith("0 with 0 frames")
    assert recorded == {"seed": 3, "network": {"backbone": "b1"}, "processes": 2}


def test_the_config_records_the_settings_of_earlier_versions() -> None:
    settings = re.findall(r"(\w+)=@(\w+)", json.loads(CONFIG.read_text())["settings"])
    assert all(name == key for name, key in settings)
    assert {name for name, _ in settings} | {"network", "processes", "training_clips", "validation_clips"} == RECORDED
