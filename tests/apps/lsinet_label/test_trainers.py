"""Fine-tuning on people's corrections. test_server.py starts it through the server."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("monailabel")

from lib.device_turns import DeviceTurns
from lib.model import ServedModel
from lib.trainers import FineTuneTask, check_training_options, patient_of_video

from lsinet_monai.errors import InputError
from lsinet_monai.networks import save_model

BUNDLE = Path(__file__).parents[3] / "bundle"


@pytest.mark.parametrize(
    ("name", "patient"), [("p07_caecum.mp4", "p07"), ("p07_2.frames", "p07"), ("p7.mkv", "p7"), ("a b_c_d.avi", "a b")]
)
def test_the_patient_of_a_video(name, patient):
    assert patient_of_video(name) == patient


def test_without_a_model_or_a_correction(open_store, tmp_path):
    model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
    task = FineTuneTask(open_store(), model, BUNDLE / "configs" / "train.json", DeviceTurns(tmp_path / "turns"))
    datastore = SimpleNamespace(list_images=lambda: ["p1_a.frames"])
    with pytest.raises(InputError, match="--conf checkpoint FILE"):
        task({}, datastore)
    (tmp_path / "model.pt").touch()
    with pytest.raises(InputError, match="no corrected video to train on"):
        task({}, datastore)
    assert task.stats() == {} and task.config()["device"] == "cpu"


def test_a_final_video_that_is_partly_done_trains_with_the_frames_that_have_a_mask(
    open_store, tmp_path, monkeypatch, caplog, drawn
):
    video = (videos := open_store())["p1_a.frames"]
    video.begin_annotation()
    for frame in range(5):
        video.write_prediction("predicted", frame, drawn(), scores=0.9, uncertainty=0.1)
    video.save_correction(8, drawn(), "ann")
    video.set_final(True, "ann")
    (tmp_path / "model.pt").touch()
    model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
    task = FineTuneTask(videos, model, BUNDLE / "configs" / "train.json", DeviceTurns(tmp_path / "turns"))
    masks = []

    def look(self, root, start, options):
        masks.extend(sorted((root / "data" / "TrainDataset" / "GT").rglob("*.png")))
        raise InputError("enough")

    monkeypatch.setattr(FineTuneTask, "_train", look)
    with pytest.raises(InputError, match="enough"):
        task({}, SimpleNamespace(list_images=lambda: ["p1_a.frames"]))
    assert len(masks) == 6 and "6 frames have no mask" in caplog.text


@pytest.mark.slow
def test_one_patient_alone_and_in_turns(open_store, small_network, tmp_path):
    turns = []

    class Counted(DeviceTurns):
        def __enter__(self):
            turns.append("begins")
            return super().__enter__()

        def __exit__(self, *error):
            turns.append("ends")
            super().__exit__(*error)

    save_model(small_network, tmp_path / "model.pt", [64, 80])
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
    # No patient is held out, so the last epoch is kept. The turn was handed over at least once an epoch.
    assert (record["validation_videos"], record["val_mean_dice"]) == ([], None)
    assert model.path().name == record["model"] and model.load()[1].network is not None
    assert turns == ["begins", "ends"] * (len(turns) // 2) and len(turns) >= 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed=-1 must be"),
        ({"val_interval": 9}, "val_interval=9 is more than max_epochs=5"),
        ({"learning_rat": 1}, "no option 'learning_rat' of a training: there are augment"),
    ],
)
def test_wrong_options_are_refused(options, said):
    check_training_options({"tracking": "mlflow", "augment": "false", "device": "cuda:0"})
    with pytest.raises(InputError, match=said):
        check_training_options(options)
