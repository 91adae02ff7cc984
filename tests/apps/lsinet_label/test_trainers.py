"""Fine-tuning on what people corrected; the server's own way to it is in test_server.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lsinet_monai.networks import save_checkpoint

BUNDLE = Path(__file__).parents[3] / "bundle"

pytest.importorskip("monailabel")


@pytest.mark.slow
def test_one_patient_alone_and_in_turns(open_store, small_network, tmp_path):
    from lib.device_lock import DeviceTurns
    from lib.model import ServedModel
    from lib.trainers import FineTuneTask

    turns = []

    class Counted(DeviceTurns):
        def __enter__(self):
            turns.append("begins")
            return super().__enter__()

        def __exit__(self, *error):
            turns.append("ends")
            super().__exit__(*error)

    save_checkpoint(tmp_path / "model.pt", small_network, [64, 80])
    videos = open_store()
    labels = np.zeros((64, 80), np.uint8)
    labels[10:50, 20:60] = 1
    for frame in range(4):
        videos["p1_a.frames"].save_correction(frame, labels, "ann")
    model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
    device = Counted(tmp_path / "turns", slice_seconds=0)
    task = FineTuneTask(videos, model, BUNDLE / "configs" / "train.json", device)
    datastore = SimpleNamespace(list_images=lambda: ["p1_a.frames"])
    record = task({"max_epochs": 2, "batch_size": 2}, datastore)
    # Nobody is held out, so the last epoch is kept; the turn was handed over at least once an epoch.
    assert (record["validation_videos"], record["val_mean_dice"]) == ([], None)
    assert model.path().name == record["model"] and model.load()[1].network is not None
    assert turns == ["begins", "ends"] * (len(turns) // 2) and len(turns) >= 6
