from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.workflow.inference import all_exports, check_exported, record_settings
from lsinet_monai.writers import Outputs

# the values of the keys, the exports that follow, and what the log names
KEYS: list[tuple[dict[str, Any], list[str], str]] = [
    ({"exports": "csv,nrrd"}, ["csv", "nrrd"], ""),
    ({"exports": ["coco"]}, ["coco"], ""),
    ({"exports": [], "write_csv": "true"}, ["csv"], "write_csv: 'exports' replaces these keys, give --exports csv"),
    (
        {"exports": ["csv"], "write_cvat": True, "write_stack": "nifti"},
        ["csv", "cvat", "nifti"],
        "write_cvat, write_stack: 'exports' replaces these keys, give --exports csv,cvat,nifti",
    ),
    ({"exports": [], "write_coco": False}, [], "write_coco: 'exports' replaces these keys, leave them out"),
]


@pytest.mark.parametrize(("keys", "exports", "logged"), KEYS)
def test_all_exports(caplog: pytest.LogCaptureFixture, keys: dict[str, Any], exports: list[str], logged: str) -> None:
    assert all_exports(**keys) == exports
    assert [record.getMessage() for record in caplog.records] == ([logged] if logged else [])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [({"write_stack": "tiff"}, "neither nifti nor nrrd"), ({"write_csv": "yes"}, "write_csv='yes' is neither true")],
)
def test_old_keys_are_checked(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        all_exports([], **keys)


def test_settings_are_those_that_shape_the_results(tmp_path: Path) -> None:
    inferer = SequentialVideoInferer(memory_interval=2, adjacent="previous", encode_batch=4)
    model = tmp_path / "model.pt"
    model.write_bytes(b"weights")
    outputs = Outputs(exports=["csv"], threshold=0.3)
    settings = record_settings(model, [64, 96], inferer, outputs, "true", True, dataset_dir="data")
    assert settings == {
        "checkpoint": str(model),
        "model_sha256": hashlib.sha256(b"weights").hexdigest()[:16],
        "image_size": [64, 96],
        "memory_interval": 2,
        "memory_frames": 35,
        "forgetting": "usage",
        "adjacent": "previous",
        "amp_dtype": None,
        "detect_cuts": False,
        "smoothing": 0.0,
        "refine": False,
        "amp": True,
        "crop_field": True,
        "threshold": 0.3,
        "write_masks": True,
        "write_maps": True,
        "write_overlay": True,
        "show_score": True,
        "exports": ["csv"],
        "frames": None,
        "with_images": False,
        "dataset_dir": "data",
    }


def test_check_exported() -> None:
    check_exported(adjacent="previous", forgetting="usage", amp_dtype=None, detect_cuts=False, smoothing=0)
    with pytest.raises(InputError, match=r"^adjacent='next': exports support only 'previous'; leave adjacent out"):
        check_exported(forgetting="usage", adjacent="next")
