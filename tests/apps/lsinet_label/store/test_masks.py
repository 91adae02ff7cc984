from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from lib.store.history import History
from lib.store.masks import Correction, Masks, decode_mask, encode_mask
from PIL import Image

from lsinet_monai.errors import InputError

SIZE = (64, 80)


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


# A mask of 255 whose edge was smoothed.
SOFT = np.zeros(SIZE, np.uint8)
SOFT[:6] = 255
SOFT[6, :12] = range(20, 240, 19)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a PNG"),
        (b"GIF89a", "cannot be read as a PNG"),
        (png(np.full(SIZE, 7, np.uint8))[:60], "cannot be read as a PNG"),
        (png(np.zeros((8, 8), np.uint8)), "is 8x8"),
        (png(np.zeros((*SIZE, 3), np.uint8)), "mode RGB"),
        (png(np.zeros(SIZE, np.uint16)), "mode I"),
        (png(SOFT), "many greys, as soft edges"),
        (png(np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE)), "many greys, as soft edges"),
    ],
)
def test_bad_masks(content, message):
    with pytest.raises(InputError, match=message):
        decode_mask(content, SIZE)


def test_many_lesions_are_a_mask():
    labels = np.zeros(SIZE, np.uint8)
    labels.flat[:30] = np.arange(30)
    assert (decode_mask(encode_mask(labels), SIZE) == labels).all()


def test_a_mask_comes_back(drawn):
    assert (decode_mask(encode_mask(drawn(200)), SIZE) == drawn(200)).all()


@pytest.fixture
def masks(tmp_path):
    return Masks(tmp_path, History(tmp_path))


def test_the_preferred_kind_wins(masks, drawn):
    assert masks.read(("propagated", "predicted"), 5) is None
    masks.write_prediction("predicted", 5, drawn(1))
    assert masks.read(("propagated", "predicted"), 5)[1] == "predicted"
    masks.write_prediction("propagated", 5, drawn(2))
    labels, kind = masks.read(("propagated", "predicted"), 5)
    assert kind == "propagated" and (labels == drawn(2)).all()


def test_a_corrections_file_says_who_and_when(masks, tmp_path, drawn):
    correction = Correction(3, "Zoë", "2026-01-02T03:04:05Z", 2, (7,), True)
    masks.write_correction(correction, drawn(7))
    again = Masks(tmp_path, History(tmp_path))
    assert again.corrections == {3: correction} and again.version(3) == 2 and again.version(4) == 0
    again.remove_correction(3, 3)
    assert again.corrections == {} and again.version(3) == 3
    assert Masks(tmp_path, History(tmp_path)).corrections == {}


def test_propagated_masks_are_removed(masks, drawn):
    for frame in (4, 2, 3):
        masks.write_prediction("propagated", frame, drawn())
    masks.remove_propagated([3, 9])
    assert masks.propagated_frames() == [2, 4] and not masks.is_propagated(3) and masks.is_propagated(4)


def test_new_masks_replace_the_models_own_together(masks, drawn):
    assert not masks.has_predictions
    for kind in ("predicted", "propagated"):
        masks.write_prediction(kind, 2, drawn(1))
    assert masks.has_predictions and not masks.has_new
    masks.adopt_new()  # there are none
    masks.begin_new()
    masks.write_prediction("new", 3, drawn(2))
    assert masks.has_new and masks.read(("predicted",), 2)[0].max() == 1 and masks.read(("predicted",), 3) is None
    masks.adopt_new()
    assert not masks.has_new and masks.read(("predicted",), 2) is None and masks.read(("predicted",), 3)[0].max() == 2
    assert masks.propagated_frames() == [2]


def test_new_masks_of_a_stopped_annotation_are_forgotten_by_the_next(masks, drawn):
    masks.write_prediction("predicted", 2, drawn(1))
    masks.begin_new()
    masks.write_prediction("new", 2, drawn(2))
    masks.begin_new()
    masks.adopt_new()
    assert masks.read(("predicted",), 2) is None and not masks.has_predictions


@pytest.mark.parametrize("step", range(3))
def test_an_interrupted_replacement_is_ended(masks, drawn, monkeypatch, step):
    masks.write_prediction("predicted", 2, drawn(1))
    masks.begin_new()
    masks.write_prediction("new", 2, drawn(2))
    rename, left = Path.rename, [step]

    def stop(path, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        with pytest.raises(KeyboardInterrupt):
            masks.adopt_new()
    assert masks.read(("predicted",), 2)[0].max() == (1 if step < 2 else 2)  # one of the two, at any moment
    masks.adopt_new()
    assert masks.read(("predicted",), 2)[0].max() == 2 and not masks.has_new
