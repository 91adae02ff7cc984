import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import check_clips, find_stills, read_frame, read_mask, read_split
from lsinet_monai.data.stills import StillClip, write_still_clips
from lsinet_monai.errors import InputError

SPLIT = "TestEasyDataset/Unseen"


@pytest.fixture
def stills(tmp_path):
    for case in ("one", "two"):
        frame = np.linspace((60, 90, 120), (200, 150, 100), 48 * 64).reshape(48, 64, 3).astype(np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 20:50] = 1
        for kind, picture in (("Frame", frame), ("GT", mask)):
            folder = tmp_path / "stills" / kind / case
            folder.mkdir(parents=True)
            Image.fromarray(picture).save(folder / "a.png")
    return tmp_path / "stills"


def test_each_still_becomes_a_clip_of_the_test_set(tmp_path, stills):
    write_still_clips(tmp_path / "set", stills, frames=3, size=(40, 56), seed=5, effects={"smoke": 0})
    clips = read_split(tmp_path / "set", SPLIT)
    assert [clip.clip_id for clip in clips] == [f"{SPLIT}/one_a", f"{SPLIT}/two_a"]
    check_clips(clips)
    for number, (clip, still) in enumerate(zip(clips, find_stills(stills), strict=True)):
        picture, mask = read_frame(still.image[0]), read_mask(still.label[0], still.mask_rule)
        expected = list(StillClip(picture, mask, (40, 56), 5 + number, 3, {"smoke": 0}))
        assert len(clip.image) == len(clip.label) == 3
        for file, (_, wanted) in zip(clip.label, expected, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(file)), wanted * np.uint8(255))
        for file, (wanted, _) in zip(clip.image, expected, strict=True):  # JPEG
            assert np.abs(read_frame(file).astype(int) - wanted).mean() < 12
    assert "--frames 3 --size 40x56 --seed 5" in (tmp_path / "set" / "STILL_CLIPS.txt").read_text()


REFUSED = [({"frames": 0}, "frames is 0"), ({"size": (16, 64)}, "size is 16x64"), ({"seed": -1}, "seed is -1")]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_numbers_that_are_refused(tmp_path, stills, options, message):
    with pytest.raises(InputError, match=message):
        write_still_clips(tmp_path / "set", stills, **options)
    assert not (tmp_path / "set").exists()
