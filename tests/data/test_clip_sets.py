import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import read_training_clips, split_by_patient, split_held_out
from lsinet_monai.errors import InputError


def save(path, polyp=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((40, 40), np.uint8)
    array[5:20, 5:20] = 255 * polyp
    Image.fromarray(array).save(path)


@pytest.fixture
def folders(tmp_path):
    for case in ("case1", "case2"):
        for kind in ("Frame", "GT"):
            save(tmp_path / "videos/TrainDataset" / kind / case / "a.png")
    save(tmp_path / "negative/case9/a.png")
    for name in "abcd":
        for kind in ("images", "masks"):
            save(tmp_path / "stills" / kind / f"{name}.png")
    (tmp_path / "held_out.txt").write_text("a validation\nb test\n")
    return tmp_path


SOURCES = {
    "videos": (["videos"], ["TrainDataset/case1", "TrainDataset/case2"]),
    "stills": (["stills"], ["stills/a", "stills/b", "stills/c", "stills/d"]),
    "stills and negative clips": (
        ["negative", "stills"],
        ["negative/case9", "stills/a", "stills/b", "stills/c", "stills/d"],
    ),
    "all": (
        ["videos", "negative", "stills"],
        ["TrainDataset/case1", "TrainDataset/case2", "negative/case9", "stills/a", "stills/b", "stills/c", "stills/d"],
    ),
}
KEYS = {"videos": "dataset_dir", "negative": "negative_dir", "stills": "stills_dir"}


@pytest.mark.parametrize("case", SOURCES)
def test_sources(folders, case):
    sources, expected = SOURCES[case]
    clips = read_training_clips(**{KEYS[source]: folders / source for source in sources})
    assert [clip.clip_id for clip in clips] == expected
    assert [clip.clip_id for clip in clips if clip.still] == [name for name in expected if name.startswith("stills")]
    assert [clip.clip_id for clip in clips if clip.negative] == [name for name in expected if name.startswith("neg")]


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_source_is_refused(folders, nothing):
    with pytest.raises(InputError, match="give dataset_dir, stills_dir or both"):
        read_training_clips(nothing, negative_dir=folders / "negative")


def test_stills_are_held_out_only_where_there_is_nothing_else(folders):
    both = read_training_clips(folders / "videos", stills_dir=folders / "stills")
    train, val = split_by_patient(both, 0.5)
    assert len(val) == 1 and not val[0].still and len(train) == 5
    train, val = split_by_patient(read_training_clips(stills_dir=folders / "stills"), 0.5)
    assert len(train) == len(val) == 2


def test_held_out_stills(folders):
    train, val = split_held_out(folders / "stills", folders / "held_out.txt")
    assert [clip.clip_id for clip in train] == ["stills/c", "stills/d"]
    assert [clip.clip_id for clip in val] == ["stills/a"]
    with pytest.raises(InputError, match="stills_held_out=None: give a list of pictures"):
        split_held_out(folders / "stills", None)
