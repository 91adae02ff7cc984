from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import (
    check_clips,
    describe_clips,
    find_clips,
    find_test_splits,
    natural_key,
    patient_of,
    read_split,
    split_by_patient,
)
from lsinet_monai.errors import InputError


def write_image(path, size=(12, 16), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0])).save(path)


def write_split(root, split="TrainDataset", cases=("case1", "case2"), frames=3):
    for case in cases:
        for frame in range(1, frames + 1):
            write_image(root / split / "Frame" / case / f"image{frame}.jpg")
            write_image(root / split / "GT" / case / f"image{frame}.png", mode="L")


def ids(clips):
    return [clip["clip_id"] for clip in clips]


def names(clip):
    return [Path(path).name for path in clip["image"]]


ORDERS = [
    ["image9", "image10", "image100"],
    ["case_M_1_a2_ayy_image0007", "case_M_1_a10_ayy_image0001", "case_M_1_a10_ayy_image0002"],
    ["1", "02", "3"],
    ["image1", "image1b"],
]


@pytest.mark.parametrize("ordered", ORDERS)
def test_natural_key_orders_by_number(ordered):
    assert sorted(reversed(ordered), key=natural_key) == ordered


PATIENTS = [
    ("TrainDataset/case7_1", "case7"),
    ("TrainDataset/case7_3", "case7"),
    ("TrainDataset/case70", "case70"),
    ("TrainDataset/case07", "case7"),
    ("videos/left", "videos/left"),
]


@pytest.mark.parametrize(("clip_id", "patient"), PATIENTS)
def test_patient_is_the_number_behind_case(clip_id, patient):
    assert patient_of({"clip_id": clip_id}) == patient


def test_read_split_lists_clips_and_frames_in_natural_order(tmp_path):
    write_split(tmp_path, cases=("case10", "case9_2", "case9_1"), frames=11)
    write_image(tmp_path / "TrainDataset/Frame/case10/.hidden.png")
    write_image(tmp_path / "TrainDataset/Edge/case10/image1.png")
    (tmp_path / "TrainDataset/Frame/case10/notes.txt").write_text("not a frame")
    clips = read_split(tmp_path)
    assert ids(clips) == ["TrainDataset/case9_1", "TrainDataset/case9_2", "TrainDataset/case10"]
    assert names(clips[2]) == [f"image{frame}.jpg" for frame in range(1, 12)]
    assert clips[0]["label"][10] == str(tmp_path / "TrainDataset/GT/case9_1/image11.png")
    check_clips(clips, progress=False)


def test_only_negative_clips_may_lack_masks(tmp_path):
    write_split(tmp_path / "data")
    write_image(tmp_path / "mucosa/case5/frame.png")
    clips = read_split(tmp_path / "data", negative_dir=tmp_path / "mucosa")
    assert ids(clips)[2:] == ["negative/case5"]
    assert clips[2]["label"] is None and clips[2]["negative"]
    check_clips(clips, progress=False)


@pytest.mark.parametrize("negative_dir", ["TrainDataset", ".", "TestEasyDataset/Seen"])
def test_polyp_clips_and_test_splits_are_never_negative(tmp_path, negative_dir):
    write_split(tmp_path)
    write_split(tmp_path, "TestEasyDataset/Seen", cases=("case3",))
    with pytest.raises(InputError, match="belongs to the dataset itself"):
        read_split(tmp_path, negative_dir=tmp_path / negative_dir)


def test_a_missing_dataset_gives_both_ways_on(tmp_path):
    with pytest.raises(InputError, match=r"on request.*TrainDataset/\{Frame,GT\}.*python -m lsinet_monai phantom"):
        read_split(tmp_path / "nowhere")


def test_an_empty_root_and_an_empty_case_are_errors(tmp_path):
    (tmp_path / "TrainDataset/Frame").mkdir(parents=True)
    with pytest.raises(InputError, match="no case folders"):
        read_split(tmp_path)
    (tmp_path / "TrainDataset/Frame/case1").mkdir()
    with pytest.raises(InputError, match="case1: holds no frames"):
        read_split(tmp_path)
    with pytest.raises(InputError, match="'Test' is not one of TrainDataset, "):
        read_split(tmp_path, "Test")


def test_test_splits_are_those_present(tmp_path):
    write_split(tmp_path)
    write_split(tmp_path, "TestHardDataset/Seen")
    write_split(tmp_path, "TestEasyDataset/Unseen")
    assert find_test_splits(tmp_path) == ["TestEasyDataset/Unseen", "TestHardDataset/Seen"]


# what is given below the root of a layout, and the ids of the clips found there
GIVEN = [
    (".", ["TestEasyDataset/Seen/case3", "TrainDataset/case1", "TrainDataset/case2"]),
    ("TrainDataset", ["case1", "case2"]),
    ("TrainDataset/Frame", ["case1", "case2"]),
    ("TrainDataset/Frame/case2", ["case2"]),
    ("TestEasyDataset", ["Seen/case3"]),
]


@pytest.mark.parametrize(("given", "expected"), GIVEN)
def test_find_clips_takes_frames_and_nothing_beside_them(tmp_path, given, expected):
    write_split(tmp_path)
    write_split(tmp_path, "TestEasyDataset/Seen", cases=("case3",))
    write_image(tmp_path / "TrainDataset/Edge/case1/image1.png")
    clips = find_clips(tmp_path / given)
    assert ids(clips) == expected
    assert all(clip["label"] is None and len(clip["image"]) == 3 for clip in clips)


def test_find_clips_below_a_plain_folder(tmp_path):
    for name in ("b/deep/1.PNG", "b/deep/2.Tiff", "a2/1.bmp", "a10/1.jpeg", ".cache/1.png", "a2/.1.png"):
        write_image(tmp_path / name)
    (tmp_path / "b/deep/again").symlink_to(tmp_path)
    clips = find_clips(tmp_path)
    assert ids(clips) == ["a2", "a10", "b/deep"]
    assert names(clips[2]) == ["1.PNG", "2.Tiff"]


def test_find_clips_calls_no_two_clips_the_same(tmp_path):
    write_image(tmp_path / "scope/1.png")
    write_image(tmp_path / "scope/scope/1.png")
    with pytest.raises(InputError, match="two clips that would be called 'scope'"):
        find_clips(tmp_path / "scope")


def test_a_frame_folder_of_frames_is_called_after_its_parent(tmp_path):
    write_image(tmp_path / "case4/Frame/1.png")
    write_image(tmp_path / "case4/GT/1.png")
    assert ids(find_clips(tmp_path / "case4")) == ids(find_clips(tmp_path / "case4/Frame")) == ["case4"]


def test_find_clips_wants_frames(tmp_path):
    with pytest.raises(InputError, match="holds no frames"):
        find_clips(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_clips(tmp_path / "gone")


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def shrink(path):
    write_image(path, (6, 8))


def deepen(path):
    Image.new("I;16", (16, 12)).save(path)


def copy_with_another_suffix(path):
    write_image(path.with_suffix(".png"))


# which file of a sound split is spoiled, how, and what the error then says
SPOILS = [
    ("GT/case2/image2.png", remove, r"GT/case2/image2\.png: no such file"),
    ("GT/case2/image2.png", empty, r"GT/case2/image2\.png: is empty"),
    ("GT/case2/image2.png", cut, r"GT/case2/image2\.png: cannot be read"),
    ("GT/case2/image2.png", shrink, r"GT/case2/image2\.png: the mask is 6x8, its frame 12x16"),
    ("GT/case2/image2.png", deepen, r"GT/case2/image2\.png: has more than 8 bits"),
    ("Frame/case2/image2.jpg", empty, r"Frame/case2/image2\.jpg: is empty"),
    ("Frame/case2/image2.jpg", cut, r"Frame/case2/image2\.jpg: cannot be read"),
    ("Frame/case2/image2.jpg", shrink, r"Frame/case2/image2\.jpg: is 6x8, other frames of its clip 12x16"),
    ("Frame/case2/image2.jpg", copy_with_another_suffix, r"image2\.png: another frame of its clip has this name"),
]


@pytest.mark.parametrize(("file", "spoil", "message"), SPOILS)
def test_check_clips_finds_every_fault(tmp_path, file, spoil, message):
    write_split(tmp_path)
    spoil(tmp_path / "TrainDataset" / file)
    with pytest.raises(InputError, match=message) as error:
        check_clips(read_split(tmp_path), progress=False)
    assert "case1" not in str(error.value) and "\n" not in str(error.value)


def test_check_clips_names_ten_and_counts_all(tmp_path):
    write_split(tmp_path, frames=8)
    for mask in (tmp_path / "TrainDataset/GT").rglob("*.png"):
        mask.unlink()
    with pytest.raises(InputError, match=r"^16 problems .*and 6 more$") as error:
        check_clips(read_split(tmp_path), progress=False)
    assert str(error.value).count("no such file") == 10


def test_masks_without_a_frame_are_ignored(tmp_path):
    write_split(tmp_path)
    empty(tmp_path / "TrainDataset/GT/case1/image99.png")
    check_clips(read_split(tmp_path), progress=False)


def clips_of(lengths):
    return [{"clip_id": f"TrainDataset/{case}", "image": ["x"] * length} for case, length in lengths.items()]


MANY = {f"case{patient}_{part}": 20 + patient for patient in range(20) for part in (1, 2)}

# clips' lengths, fraction, the shares of the frames between which the validation lies
FRACTIONS = [
    (MANY, 0.1, 0.05, 0.15),
    (MANY, 0.5, 0.45, 0.55),
    (MANY, 0.99, 0.9, 0.99),
    (MANY, 0, 0, 0),
    ({"case1": 10, "case2": 10}, 0.1, 0.5, 0.5),
    ({"case1_1": 10, "case1_2": 10}, 0.1, 0, 0),
]


@pytest.mark.parametrize(("lengths", "fraction", "least", "most"), FRACTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_patients_are_held_out_whole(lengths, fraction, least, most, seed):
    clips = clips_of(lengths)
    training, validation = split_by_patient(clips, fraction, seed)
    assert sorted(ids(training) + ids(validation)) == sorted(ids(clips))
    assert not {patient_of(clip) for clip in training} & {patient_of(clip) for clip in validation}
    share = sum(len(clip["image"]) for clip in validation) / sum(lengths.values())
    assert least <= share <= most
    assert training
    assert (training, validation) == split_by_patient(clips, fraction, seed)


def test_masks_without_a_frame_are_told(tmp_path, caplog):
    write_split(tmp_path)
    read_split(tmp_path)
    assert not caplog.text
    masks = tmp_path / "TrainDataset/GT/case2"
    for name in ("image10.png", "image9.png", ".hidden.png"):
        (masks / name).touch()
    assert names(read_split(tmp_path)[1]) == ["image1.jpg", "image2.jpg", "image3.jpg"]
    assert f"{masks}: masks without a frame: 2, such as image9.png" in caplog.text


def test_the_seed_chooses_patients_and_the_choice_is_logged(caplog):
    caplog.set_level("INFO")
    chosen = {tuple(ids(split_by_patient(clips_of(MANY), 0.1, seed)[1])) for seed in range(5)}
    assert len(chosen) > 1
    assert all(", ".join(validation) in caplog.text for validation in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_negative_clips_are_held_out_by_themselves(seed):
    clips = clips_of({f"case{number}": 10 for number in range(1, 21)})
    # case1 shows a polyp in one clip and none in another; 60 more patients show none at all
    negative = clips_of({f"case{number}": 10 for number in (1, *range(101, 161))})
    for clip in negative:
        clip["negative"] = True
    training, validation = split_by_patient(clips + negative, 0.1, seed)
    assert not {patient_of(clip) for clip in training} & {patient_of(clip) for clip in validation}
    held_out = [clip for clip in validation if clip in clips]
    assert held_out == split_by_patient(clips, 0.1, seed)[1] and len(held_out) == 2
    assert len(validation) - len(held_out) == 6 + any(patient_of(clip) == "case1" for clip in held_out)


@pytest.mark.parametrize("fraction", [-0.1, 1, 10])
def test_a_fraction_is_below_1(fraction):
    with pytest.raises(InputError, match="outside"):
        split_by_patient(clips_of(MANY), fraction)


@pytest.mark.parametrize(("split", "clips", "frames"), [("TrainDataset", 22, 472), ("TestEasyDataset/Unseen", 7, 140)])
def test_real_frames(real_data, split, clips, frames):
    found = read_split(real_data, split)
    assert (len(found), sum(len(clip["image"]) for clip in found)) == (clips, frames)
    numbers = [[int(Path(path).stem.rsplit("image", 1)[1]) for path in clip["image"]] for clip in found]
    assert all((np.diff(clip) > 0).all() for clip in numbers)
    check_clips(found, progress=False)


def test_a_description_tells_other_clips_and_frames_apart():
    clips = [{"clip_id": "a", "image": ["/x/1.jpg", "/x/2.jpg"]}, {"clip_id": "b", "image": ["/x/3.jpg"]}]
    others = [
        [{"clip_id": "c", "image": ["/x/1.jpg", "/x/2.jpg"]}, clips[1]],
        [{"clip_id": "a", "image": ["/x/1.jpg", "/x/4.jpg"]}, clips[1]],
        [{"clip_id": "a", "image": ["/x/1.jpg"]}, {"clip_id": "b", "image": ["/x/2.jpg", "/x/3.jpg"]}],
        clips[::-1],
        clips[:1],
        [],
    ]
    assert len({describe_clips(some) for some in [clips, *others]}) == 7
    moved = [{**clip, "image": [path.replace("/x", "/y/z") for path in clip["image"]]} for clip in clips]
    assert describe_clips(moved) == describe_clips(clips)
    assert describe_clips(clips).startswith("2 with 3 frames, names ")
