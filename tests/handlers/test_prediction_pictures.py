from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lsinet_monai.handlers import PredictionPictures
from lsinet_monai.writers.overlay_drawing import PREDICTION_COLOUR, TRUTH_COLOUR


def _piece(clip_id: str, frame_index: int) -> dict[str, Any]:
    """Three frames; the truth is the left half, at twice the frames' size."""
    label = torch.zeros(1, 1, 3, 128, 160, dtype=torch.uint8)
    label[..., :80] = 1
    return {
        "image": torch.zeros(1, 3, 3, 64, 80),
        "label": label,
        "clip_id": [clip_id],
        "frame_index": [frame_index],
    }


def _segment(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
    """Predict the upper half of every frame."""
    logits = torch.full((1, 1, 3, 64, 80), -5.0)
    logits[..., :32, :] = 5
    return {"pred": logits}


def _pictures(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_one_picture_per_clip(tmp_path: Path) -> None:
    engine = Engine(_segment)
    PredictionPictures(tmp_path, max_clips=2).attach(engine)
    engine.run([_piece("a", 0), _piece("a", 3), _piece("b", 0), _piece("c", 0)], max_epochs=2)
    pictures = _pictures(tmp_path)
    assert pictures.Tags()["images"] == ["val_masks/a", "val_masks/b"]
    assert [event.step for event in pictures.Images("val_masks/a")] == [1, 2]


def test_truth_and_prediction_are_outlined(tmp_path: Path) -> None:
    engine = Engine(_segment)
    PredictionPictures(tmp_path).attach(engine)
    engine.run([_piece("a", 0)])
    (event,) = _pictures(tmp_path).Images("val_masks/a")
    picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)), float)
    assert picture.shape == (64, 80, 3)
    assert np.abs(picture[60, 38:42] - TRUTH_COLOUR).sum(1).min() < 60
    assert np.abs(picture[30:34, 70] - PREDICTION_COLOUR).sum(1).min() < 60
    assert picture[60, 70] == pytest.approx(255 * np.array([0.485, 0.456, 0.406]), abs=1)  # neither: the frame's mean


def test_nothing_is_written_without_a_clip(tmp_path: Path) -> None:
    engine = Engine(_segment)
    PredictionPictures(tmp_path / "log").attach(engine)
    engine.run([_piece("a", 3)])
    assert not (tmp_path / "log").exists()
