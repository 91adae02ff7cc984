"""What is stored of a video: who saved what, and that nothing of it is lost."""

from __future__ import annotations

import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lib.errors import Conflict, NotFound
from lib.store import decode_mask, encode_mask
from PIL import Image

from lsinet_monai.data import phantom_clip
from lsinet_monai.errors import InputError

SIZE = (64, 80)
VIDEO = "p1_a.frames"


def drawn(lesion=1, size=SIZE):
    labels = np.zeros(size, np.uint8)
    labels[10:30, 20:40] = lesion
    return labels


def test_learns_what_the_video_is(open_store):
    video = open_store()[VIDEO]
    assert (video.frame_count, video.size, video.summary()["state"]) == (12, SIZE, "new")
    assert video.mask(3).source == "none" and not video.mask(3).labels.any()


def test_a_correction_is_there_after_a_restart(open_store):
    saved = open_store()[VIDEO].save_correction(3, drawn(7), "Zoë")
    video = open_store()[VIDEO]
    assert video.corrections == {3: saved} and (saved.user, saved.version, saved.lesions) == ("Zoë", 1, (7,))
    mask = video.mask(3)
    assert (mask.source, mask.version) == ("corrected", 1) and (mask.labels == drawn(7)).all()
    assert [(line["user"], line["action"], line["frame"]) for line in video.history()] == [("Zoë", "save", 3)]


def test_no_polyp_is_a_correction(open_store):
    video = open_store()[VIDEO]
    assert video.save_correction(0, np.zeros(SIZE, np.uint8), "ann").empty
    assert video.per_frame("has_polyp")[0] is False and video.details()["corrections"][0]["empty"]


def test_a_persons_mask_wins(open_store):
    video = open_store()[VIDEO]
    video.begin_annotation()
    for kind, lesion in (("predicted", 1), ("propagated", 2)):
        video.write_prediction(kind, 5, drawn(lesion), scores=0.9, uncertainty=0.5)
        assert video.mask(5).labels.max() == lesion
    video.save_correction(5, drawn(3), "ann")
    assert video.mask(5).labels.max() == 3 and video.mask(5, original=True).labels.max() == 1
    assert video.per_frame("uncertainty")[5] == 0
    video.take_back(5, "ann")
    assert (video.mask(5).labels.max(), video.mask(5).version) == (2, 2)


def test_who_starts_from_an_old_mask_is_told(open_store):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(), "ann", version=0)
    with pytest.raises(Conflict, match="somebody else") as caught:
        video.save_correction(3, drawn(), "bob", version=0)
    assert caught.value.details == {"version": 1}
    video.take_back(3, "ann")
    assert open_store()[VIDEO].mask(3).version == 2


def test_of_many_saves_at_once_one_wins(open_store):
    video = open_store()[VIDEO]
    video.open_once()

    def save(lesion):
        try:
            return video.save_correction(3, drawn(lesion), str(lesion), version=0).lesions
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [lesions for lesions in pool.map(save, range(1, 9)) if lesions]
    assert len(won) == 1 and open_store()[VIDEO].corrections[3].lesions == won[0]


def test_a_full_disk_keeps_what_was_saved(open_store, monkeypatch):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(1), "ann")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="No space left"):
        video.save_correction(3, drawn(2), "ann")
    monkeypatch.undo()
    assert video.mask(3).labels.max() == 1 and open_store()[VIDEO].mask(3).labels.max() == 1
    assert video.save_correction(3, drawn(2), "ann").version == 2


def test_a_full_disk_leaves_a_video_as_it_is(open_store, monkeypatch):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(1), "ann")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="No space left"):
        video.set_final(True, "ann")
    with pytest.raises(OSError, match="No space left"):
        video.name_lesions([{"id": 1, "name": "a", "colour": "#123456"}])
    monkeypatch.undo()
    assert not video.is_final and video.lesions()[0]["name"] == "Polyp 1"


def test_a_save_stands_though_its_line_in_the_history_finds_no_room(open_store, monkeypatch):
    video = open_store()[VIDEO]
    video.open_once()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(video, "_note", lambda *_, **__: (_ for _ in ()).throw(full))
    assert video.save_correction(3, drawn(1), "ann").version == 1
    again = open_store()[VIDEO]
    assert (again.corrections[3].user, again.mask(3).version) == ("ann", 1)


def test_a_history_that_was_cut_off_goes_on(open_store):
    video = open_store()[VIDEO]
    video.save_correction(3, drawn(), "ann")
    with (video.folder / "history.jsonl").open("a") as file:
        file.write('\n{"time": "20')
    again = open_store()[VIDEO]
    again.save_correction(4, drawn(), "bob")
    assert [line["frame"] for line in again.history()] == [3, 4]


def test_final_is_final(open_store):
    video = open_store()[VIDEO]
    video.set_final(True, "ann")
    with pytest.raises(Conflict, match="final"):
        video.save_correction(3, drawn(), "ann")
    assert open_store()[VIDEO].summary()["state"] == "final"
    video.set_final(False, "ann")
    video.save_correction(3, drawn(), "ann")


def test_lesions_are_named_and_merged(open_store):
    video = open_store()[VIDEO]
    both = drawn(1)
    both[40:50, 50:60] = 4
    video.save_correction(3, both, "ann")
    video.name_lesions([{"id": 4, "name": "sigmoid", "colour": "#123456"}])
    assert video.lesions()[1] == {"id": 4, "name": "sigmoid", "colour": "#123456"}
    video.merge_lesions(1, 4, "ann")
    assert [lesion["id"] for lesion in video.lesions()] == [1] and set(np.unique(video.mask(3).labels)) == {0, 1}
    with pytest.raises(InputError, match="cannot be merged"):
        video.merge_lesions(1, 9, "ann")


def test_ids_of_lesions_are_given_once(open_store):
    video = open_store()[VIDEO]
    both = drawn(1)
    both[40:50, 50:60] = 2
    video.save_correction(3, both, "ann")
    assert (video.free_lesion(), video.next_lesion(), video.last_named_lesion()) == (3, 3, 0)
    video.merge_lesions(1, 2, "ann")  # masks of frames that are not looked at yet have 2, and mean 1
    video.name_lesions([{"id": 5, "name": "not drawn yet", "colour": "#123456"}])
    video = open_store()[VIDEO]
    assert (video.free_lesion(), video.next_lesion(), video.last_named_lesion()) == (3, 6, 5)
    video.name_lesions([{"id": id, "name": "a", "colour": "#123456"} for id in range(1, 256)])
    assert video.free_lesion() is None


def test_another_video_of_the_same_name_takes_nothing_over(open_store, studies):
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    (studies / VIDEO / "011.png").unlink()
    video = open_store()[VIDEO]
    video.open_once()
    assert (video.frame_count, video.corrections) == (11, {})
    kept = next((studies / "labels" / "lsinet").glob(".replaced-*"))
    assert (kept / "corrected" / "000003.png").is_file()


def test_another_video_of_the_same_name_length_and_size_takes_nothing_over(open_store, studies):
    labels = studies / "labels"
    for tag in ("original", "final"):
        (labels / tag).mkdir(parents=True)
        (labels / tag / f"{VIDEO}.json").write_text("{}")
        (labels / tag / f"{VIDEO}.mp4.json").write_text("of another video")
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    for index, (frame, _) in enumerate(phantom_clip(12, SIZE, seed=4, patient=2)):
        Image.fromarray(frame).save(studies / VIDEO / f"{index:03d}.png")
    os.utime(studies / VIDEO, (1, 1))
    video = open_store()[VIDEO]
    video.open_once()
    assert (video.frame_count, video.corrections) == (12, {})
    kept = next((labels / "lsinet").glob(".replaced-*"))
    assert (kept / "corrected" / "000003.png").is_file() and (kept / "original.json").is_file()
    assert [path.name for path in sorted(labels.glob("*/*.json"))] == [f"{VIDEO}.mp4.json"] * 2


def test_a_video_that_was_only_copied_keeps_everything(open_store, studies):
    open_store()[VIDEO].save_correction(3, drawn(), "ann")
    os.utime(studies / VIDEO, (1, 1))
    video = open_store()[VIDEO]
    video.open_once()
    assert list(video.corrections) == [3]


def test_a_video_that_cannot_be_read(open_store, studies):
    (studies / "bad.mp4").write_bytes(b"no video")
    video = open_store()["bad.mp4"]
    with pytest.raises(InputError, match=r"bad\.mp4"):
        video.open_once()
    assert video.summary()["state"] == "failed" and str(studies) not in video.summary()["error"]


@pytest.mark.parametrize("frame", [-1, 12])
def test_a_frame_that_is_not_there(open_store, frame):
    with pytest.raises(NotFound, match="has the frames 0 to 11"):
        open_store()[VIDEO].mask(frame)


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a PNG"),
        (b"GIF89a", "cannot be read as a PNG"),
        (png(drawn())[:60], "cannot be read as a PNG"),
        (png(np.zeros((8, 8), np.uint8)), "is 8x8"),
        (png(np.zeros((*SIZE, 3), np.uint8)), "mode RGB"),
        (png(np.zeros(SIZE, np.uint16)), "mode I"),
    ],
)
def test_bad_masks(content, message):
    with pytest.raises(InputError, match=message):
        decode_mask(content, SIZE)


def test_masks_come_back():
    assert (decode_mask(encode_mask(drawn(200)), SIZE) == drawn(200)).all()
