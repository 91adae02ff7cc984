"""The app as MONAI Label makes it, without a server."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

pytest.importorskip("monailabel")

from lib.errors import NotFound
from lib.exports import write_masks
from monailabel.config import settings
from monailabel.interfaces.datastore import DefaultLabelTag

from lsinet_monai.errors import InputError

VIDEO = "p1_a.frames"


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"chekpoint": "x"}, "--conf chekpoint is not known: choose from checkpoint, device"),
        ({"threshold": "2"}, "threshold"),
        ({"threshold": "high"}, "--conf threshold 'high' must be a number, such as 0.5"),
        ({"max_upload_gb": "inf"}, "--conf max_upload_gb 'inf' must be a number, such as 4"),
        ({"device": "gpu0"}, "device"),
        ({"allow_network": "perhaps"}, "allow_network"),
    ],
)
def test_a_bad_key_is_named(make_app, conf, said):
    with pytest.raises(InputError, match=said):
        make_app(**conf)


def test_a_folder_that_cannot_be_written_to_is_named(make_app, studies):
    (studies / "labels").touch()
    with pytest.raises(InputError, match=f"^studies folder '{studies}': .*labels/lsinet' cannot be written to"):
        make_app()


def test_what_monai_label_finds(app):
    app.model.checkpoint.touch()
    info = app.info()
    assert (info["name"], info["labels"]) == ("LSI-Net", ["polyp"])
    assert [*info["models"]] == ["lsinet"] and [*info["trainers"]] == ["lsinet"]
    assert info["strategies"].keys() == {"doubt", "uncertainty", "disagreement"}
    assert [*info["scoring"]] == ["dice_of_corrections"]
    assert [*app.datastore().list_images()] == [VIDEO]


def test_without_a_model_the_description_says_how_to_get_one(app):
    assert "--conf checkpoint FILE" in app.info()["description"] and app.model_file("lsinet") is None
    app.model.checkpoint.touch()
    assert "--conf" not in app.info()["description"] and app.info()["model"]["available"]
    assert app.model_file("lsinet") == str(app.model.checkpoint) and app.model_file("other") is None


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda app: app.infer({"model": "other", "image": VIDEO}), InputError, "model='other' .* choose from lsinet"),
        (lambda app: app.infer({"model": "lsinet", "image": "../x.mp4"}), NotFound, "no video"),
        (lambda app: app.infer({"model": "lsinet", "image": VIDEO}), InputError, "--conf checkpoint FILE"),
        (lambda app: app.infer_wsi({"model": "lsinet"}), InputError, "no slides"),
        (lambda app: app.next_sample({"strategy": "luck"}), InputError, "strategy='luck' must be one of doubt"),
    ],
)
def test_requests_that_are_refused(app, ask, error, said):
    with pytest.raises(error, match=said):
        ask(app)


def test_the_next_sample_is_a_frame_of_a_video(app, studies):
    found = app.next_sample({})
    assert (found["id"], found["frame"], found["path"]) == (VIDEO, 0, str(studies / VIDEO))


def label(app, tag):
    """The content of the video's label, or None without one."""
    path = app.datastore().get_label_uri(VIDEO, tag)
    return json.loads(Path(path).read_text()) if path else None


def test_a_final_video_has_the_final_label_until_it_is_opened_again(app, drawn, wait_until):
    video = app.videos[VIDEO]
    assert app.save_final(video) is None and label(app, DefaultLabelTag.FINAL) is None
    video.save_correction(3, drawn(), "ann")
    video.set_final(True, "ann")
    job = app.save_final(video)
    app.jobs.run()
    wait_until(lambda: job.state == "done")
    app.jobs.stop()
    assert [entry["image_id"] for entry in label(app, DefaultLabelTag.FINAL)["annotations"]] == [4]
    assert label(app, DefaultLabelTag.ORIGINAL) is None
    answer = app.infer({"model": "lsinet", "image": VIDEO})
    assert json.loads(Path(answer["file"]).read_text()) == label(app, DefaultLabelTag.FINAL)
    Path(answer["file"]).unlink()
    video.set_final(False, "ann")
    assert app.save_final(video) is None and label(app, DefaultLabelTag.FINAL) is None


def test_a_label_that_a_client_saves_becomes_corrections(app, drawn, tmp_path):
    video = app.videos[VIDEO]
    video.save_correction(3, drawn(), "ann")
    write_masks(video, "coco", tmp_path / "theirs.json")
    video.take_back(3, "ann")
    app.datastore().save_label(VIDEO, str(tmp_path / "theirs.json"), "final", {})
    answer = app.on_save_label(VIDEO, VIDEO)
    assert answer["corrected"] == [3] and (video.mask(3).labels == drawn()).all()
    job = app.jobs[answer["job"]]
    assert (job.image, job.kind, job.frame) == (VIDEO, "propagate", None)


def test_a_label_that_cannot_be_read_is_removed(app, tmp_path):
    (tmp_path / "theirs.json").write_text("{}")
    app.datastore().save_label(VIDEO, str(tmp_path / "theirs.json"), "final", {})
    with pytest.raises(InputError, match="is not a file of COCO instances"):
        app.on_save_label(VIDEO, VIDEO)
    assert not app.videos[VIDEO].corrections and label(app, DefaultLabelTag.FINAL) is None
    with pytest.raises(InputError, match="save labels with the tag final"):
        app.on_save_label(VIDEO, VIDEO)


def test_a_video_is_removed_with_its_jobs_and_its_store(app, drawn):
    video = app.videos[VIDEO]
    video.save_correction(3, drawn(), "ann")
    job = app.jobs.submit(VIDEO, "annotate")
    app.datastore().remove_image(VIDEO)
    assert job.state == "cancelled" and not video.folder.exists()
    with pytest.raises(NotFound):
        app.videos[VIDEO]


def test_masks_of_a_lost_correction_go_with_the_videos_last_job(app, drawn):
    video = app.videos[VIDEO]
    for frame in (3, 8):
        video.save_correction(frame, drawn(), "ann")
    video.write_propagated(5, drawn(), [3], scores=0.5)
    video.write_propagated(6, drawn(), [3, 8], scores=0.5)
    video.take_back(3, "ann")
    jobs = [app.jobs.submit(VIDEO, "propagate", frame) for frame in (3, 4)]
    app.jobs.cancel(jobs[0].job)
    assert video.propagated_frames() == [5, 6]  # the other job may need them
    app.jobs.cancel(jobs[1].job)
    assert video.propagated_frames() == [6] and video.values.per_frame("scores")[5] is None


def test_a_server_whose_port_is_in_use_writes_nothing(make_app, studies, monkeypatch):
    before = sorted(studies.rglob("*"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr("sys.argv", ["monailabel", "start_server", "--host", "127.0.0.1"])
        monkeypatch.setattr(settings, "MONAI_LABEL_SERVER_PORT", other.getsockname()[1])
        with pytest.raises(InputError, match="cannot be used"):
            make_app()
    assert sorted(studies.rglob("*")) == before
