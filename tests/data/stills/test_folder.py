import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data.stills import find_stills, read_held_out
from lsinet_monai.errors import InputError

SIDE = 40


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def frame(side=SIDE):
    return np.full((side, side, 3), 120, np.uint8)


def mask(side=SIDE, value=255):
    array = np.zeros((side, side), np.uint8)
    array[5:20, 5:20] = value
    return array


LAYOUTS = {
    "Kvasir-SEG": (["images/a.jpg", "images/b.jpg"], ["masks/a.jpg", "masks/b.jpg"], ["a", "b"]),
    "SUN-SEG": (
        ["Frame/case1/a.jpg", "Frame/case2/a.png"],
        ["GT/case1/a.png", "GT/case2/a.png"],
        ["case1/a", "case2/a"],
    ),
    "marked": (["images/a.jpg"], ["masks/a_mask.PNG"], ["a"]),
    "decomposed letters": (["images/a\u0308.jpg"], ["masks/\u00e4.png"], ["\u00e4"]),
    "decomposed letters, flat": (["\u00e4.jpg"], ["a\u0308_mask.png"], ["\u00e4"]),
    "flat of decomposed letters": (["a\u0308.jpg"], ["a\u0308_mask.png"], ["\u00e4"]),
    "flat": (["a.jpg", "b.png"], ["a_mask.png", "b_mask.png"], ["a", "b"]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    frames, masks, names = LAYOUTS[layout]
    for path in frames:
        save(tmp_path / path, frame())
    for path in masks:
        save(tmp_path / path, mask())
    clips = find_stills(tmp_path)
    assert [clip.clip_id for clip in clips] == [f"stills/{name}" for name in names]
    assert [clip.image for clip in clips] == [[str(tmp_path / path)] for path in frames]
    assert [clip.label for clip in clips] == [[str(tmp_path / path)] for path in masks]
    assert all(clip.still and not clip.negative for clip in clips)


@pytest.fixture
def stills(tmp_path):
    for name in "abc":
        save(tmp_path / "images" / f"{name}.png", frame())
        save(tmp_path / "masks" / f"{name}.png", mask())
    return tmp_path


def test_held_out_stills_are_left_out_or_listed_alone(stills):
    held_out = stills / "held_out.txt"
    held_out.write_text("# stills that no training sees\n\na validation\nc test # scored once\n")
    assert read_held_out(held_out) == ["a", "c"]
    assert [clip.clip_id for clip in find_stills(stills, leave_out=read_held_out(held_out))] == ["stills/b"]
    assert [clip.clip_id for clip in find_stills(stills, only=read_held_out(held_out, "test"))] == ["stills/c"]


BAD = {
    "no mask": (lambda root: (root / "masks/b.png").unlink(), r"images/b.png: has no mask; add it"),
    "no masks": (
        lambda root: [(root / f"masks/{name}.png").unlink() for name in "bc"],
        r"images/b.png: has no mask, nor have 1 others",
    ),
    "no picture": (lambda root: (root / "images/b.png").unlink(), r"masks/b.png: has no picture"),
    "one pixel": (
        lambda root: [
            save(root / folder / "b.png", array(1)) for folder, array in (("images", frame), ("masks", mask))
        ],
        r"images/b.png: is 1x1 pixels",
    ),
    "larger mask": (
        lambda root: save(root / "masks/b.png", mask(50)),
        r"masks/b.png: the mask is 50x50, its picture 40x40",
    ),
    "empty set": (lambda root: [save(root / f"masks/{n}.png", mask(value=0)) for n in "abc"], "polyp"),
    "two pictures": (lambda root: save(root / "images/b.jpg", frame()), r"same name|remove one"),
    "damaged": (lambda root: (root / "images/b.png").write_bytes(b"\x89PNG"), r"images/b.png: cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_refused(stills, case):
    spoil, message = BAD[case]
    spoil(stills)
    with pytest.raises(InputError, match=message):
        find_stills(stills)


def test_other_mistakes_are_refused(stills, tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        find_stills(stills / "nothing")
    with pytest.raises(InputError, match="arrange the stills"):
        find_stills(stills / "images")
    with pytest.raises(InputError, match="1 held-out stills are not there, such as z"):
        find_stills(stills, leave_out=["a", "z"])
    with pytest.raises(InputError, match="cannot be read"):
        read_held_out(stills / "nothing.txt")
    (stills / "list.txt").write_text("a validation\n")
    with pytest.raises(InputError, match="no line with the split 'test'"):
        read_held_out(stills / "list.txt", "test")
