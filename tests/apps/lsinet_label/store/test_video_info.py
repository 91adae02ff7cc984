from __future__ import annotations

import json
import os

import pytest
from lib.errors import Conflict, NotFound
from PIL import Image

from lsinet_monai.data import open_video, phantom_clip, resize_frame
from lsinet_monai.errors import InputError

SIZE = (64, 80)
VIDEO = "p1_a.frames"


def test_the_video_is_examined_once(open_store, monkeypatch):
    info = open_store()[VIDEO].info
    assert info.get("frames") is None and (info.frame_count, info.size) == (12, SIZE)
    clip = info.clip
    assert (clip.name, clip.frame_count, clip.size, clip.file(3)) == (VIDEO, 12, SIZE, "003.png")
    monkeypatch.setattr("lib.store.video_info.open_video", lambda path: 1 / 0)
    assert open_store()[VIDEO].info.frame_count == 12


def test_a_video_that_cannot_be_read(open_store, studies):
    (studies / "bad.mp4").write_bytes(b"no video")
    info = open_store()["bad.mp4"].info
    for _ in range(2):
        with pytest.raises(InputError, match=r"bad\.mp4"):
            info.open_once()
    assert str(studies) not in info.error


@pytest.mark.parametrize("frame", [-1, 12])
def test_a_frame_out_of_range(video, frame):
    with pytest.raises(NotFound, match="has the frames 0 to 11"):
        video.info.check_frame(frame)


def test_a_jobs_error_is_kept_until_the_next_success(open_store):
    open_store()[VIDEO].info.set_job_error("out of memory")
    info = open_store()[VIDEO].info
    assert info.error == "out of memory"
    info.set_job_error(None)
    assert open_store()[VIDEO].info.error is None


def test_facts_that_cannot_be_written_do_not_change(video, full_disk):
    video.info.open_once()
    full_disk("replace")
    with pytest.raises(OSError, match="No space left"):
        video.info.update(final=True)
    full_disk()
    assert not video.info.is_final
    video.info.check_not_final()
    video.info.update(final=True)
    with pytest.raises(Conflict, match="is marked as final: open it again"):
        video.info.check_not_final()


# Another file under the name of a video that was corrected.


def replace_frames(studies, **options) -> None:
    for index, (frame, _) in enumerate(phantom_clip(12, SIZE, **options)):
        Image.fromarray(frame).save(studies / VIDEO / f"{index:03d}.png")
    os.utime(studies / VIDEO, (1, 1))


def test_another_length_sets_the_store_aside(open_store, studies, drawn):
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    (studies / VIDEO / "011.png").unlink()
    video = open_store()[VIDEO]
    video.info.open_once()
    assert (video.info.frame_count, video.corrections) == (11, {})
    kept = next((studies / "labels" / "lsinet").glob(".replaced-*"))
    assert (kept / "corrected" / "000003.png").is_file()


def test_another_look_sets_the_store_and_its_labels_aside(open_store, studies, drawn):
    labels = studies / "labels"
    for tag in ("original", "final"):
        (labels / tag).mkdir(parents=True)
        (labels / tag / f"{VIDEO}.json").write_text("{}")
        (labels / tag / f"{VIDEO}.mp4.json").write_text("of another video")
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    replace_frames(studies, seed=4, patient=2)
    video = open_store()[VIDEO]
    video.info.open_once()
    assert (video.info.frame_count, video.corrections, video.mask(3).version) == (12, {}, 0)
    kept = next((labels / "lsinet").glob(".replaced-*"))
    assert (kept / "corrected" / "000003.png").is_file() and (kept / "original.json").is_file()
    assert [path.name for path in sorted(labels.glob("*/*.json"))] == [f"{VIDEO}.mp4.json"] * 2


def store_small_pictures(studies) -> None:
    """Writes the pictures as older versions did: 8x8."""
    file = studies / "labels" / "lsinet" / VIDEO / "video.json"
    with open_video(studies / VIDEO) as video:
        pictures = [resize_frame(video.frame(frame), (8, 8)).ravel().tolist() for frame in (0, 6, 11)]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pictures": [pictures[0], None, pictures[2]]}))


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [lambda studies: None, store_small_pictures])
def test_a_copy_keeps_everything_and_another_video_does_not(open_store, studies, drawn, prepare):
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    prepare(studies)
    os.utime(studies / VIDEO, (1, 1))
    video = open_store()[VIDEO]
    video.info.open_once()
    assert list(video.corrections) == [3]
    prepare(studies)
    replace_frames(studies, seed=4, patient=2)
    os.utime(studies / VIDEO, (2, 2))
    video = open_store()[VIDEO]
    video.info.open_once()
    assert list(video.corrections) == []
