from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE, NAME
from lsinet_monai.workflow import load_model, warn_of_image_size


def test_the_shipped_model_is_named_once_with_its_terms(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lsinet_monai")
    loaded = load_model(shipped_folder("bundle") / MODEL_FILE)
    assert loaded.network.config["backbone"] == "tf_efficientnet_lite1" and loaded.image_size == 352
    (said,) = (record.getMessage() for record in caplog.records if NAME in record.getMessage())
    assert "research and education" in said


def test_another_model_is_named_too(model_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lsinet_monai")
    load_model(model_file)
    assert f"model: {model_file.name} (" in caplog.text and "education" not in caplog.text


def test_other_processes_than_the_first_say_nothing(
    model_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    caplog.set_level(logging.INFO, "lsinet_monai")
    load_model(model_file)
    assert "model:" not in caplog.text


def test_a_model_is_needed() -> None:
    with pytest.raises(InputError, match="checkpoint=None: give a model file"):
        load_model(None)


@pytest.mark.parametrize(("size", "warned"), [(352, False), ([352, 352], False), (128, True), ([352, 128], True)])
def test_another_size_than_the_models_is_said(size: int | list[int], warned: bool, caplog: Any) -> None:
    warn_of_image_size(size, 352)
    assert ("replaces the model's, 352" in caplog.text) == warned
