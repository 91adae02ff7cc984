from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import (
    Clip,
    ResumePoint,
    check_clips,
    clip_extent,
    describe_clips,
    find_inputs,
    patient_of,
    phantom_clip,
    rank_clips,
    read_split,
    split_by_patient,
)
from lsinet_monai.errors import InputError


def ids(clips):
    return [clip.clip_id for clip in clips]


# a clip, and how it reads as an entry of a MONAI data list
ENTRIES = [
    (Clip("a", ["1.png"], ["m.png"]), {"clip_id": "a", "image": ["1.png"], "label": ["m.png"]}),
    (Clip("a", ["1.png"], negative=True), {"clip_id": "a", "image": ["1.png"], "label": None, "negative": True}),
    (Clip("a", video="a.mp4"), {"clip_id": "a", "video": "a.mp4", "label": None}),
]


@pytest.mark.parametrize(("clip", "entry"), ENTRIES)
def test_a_clip_reads_like_an_entry_of_a_data_list(clip, entry):
    assert dict(clip) == {**clip} == entry
    assert len(clip) == len(entry)
    assert clip.get("negative") == entry.get("negative")
    with pytest.raises(KeyError):
        clip["resume"]


PATIENTS = [
    ("TrainDataset/case7_1", "case7"),
    ("TrainDataset/case7_3", "case7"),
    ("TrainDataset/case70", "case70"),
    ("TrainDataset/case07", "case7"),
    ("videos/left", "videos/left"),
]


@pytest.mark.parametrize(("clip_id", "patient"), PATIENTS)
def test_patient_is_the_number_behind_case(clip_id, patient):
    assert patient_of(Clip(clip_id)) == patient


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def shrink(path):
    Image.new("RGB", (8, 6)).save(path)


def deepen(path):
    Image.new("I;16", (16, 12)).save(path)


def turn(path):
    """Store a frame as a phone does that is held upright: lying, with an orientation."""
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (12, 16)).save(path, exif=exif)


def say_that_it_is_turned(path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (16, 12)).save(path, exif=exif)


def flip_by_exif(path):
    """Its size stays."""
    exif = Image.Exif()
    exif[0x112] = 3
    Image.new("L", (16, 12)).save(path, exif=exif)


def add_a_picture(path):
    Image.new("RGB", (16, 12)).save(path, "TIFF", save_all=True, append_images=[Image.new("RGB", (16, 12))])


def copy_with_another_suffix(path):
    Image.new("RGB", (16, 12)).save(path.with_suffix(".png"))


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
    ("Frame/case2/image2.jpg", say_that_it_is_turned, r"image2\.jpg: is 16x12 upright, by its EXIF orientation, other"),
    ("Frame/case2/image2.jpg", say_that_it_is_turned, r"the mask is 12x16, its frame 16x12 upright, by its EXIF"),
    ("GT/case2/image2.png", say_that_it_is_turned, r"the mask is 16x12 upright, by its EXIF orientation, its frame 12"),
    ("GT/case2/image2.png", flip_by_exif, r"image2\.png: the mask has an EXIF orientation, and its frame has none"),
    ("Frame/case2/image2.jpg", add_a_picture, r"Frame/case2/image2\.jpg: holds 2 pictures, but one is expected"),
    ("GT/case2/image2.png", add_a_picture, r"GT/case2/image2\.png: holds 2 pictures, but one is expected"),
    ("Frame/case2/image2.jpg", copy_with_another_suffix, r"image2\.png: another frame of its clip has the same name"),
]


@pytest.mark.parametrize(("file", "spoil", "message"), SPOILS)
def test_check_clips_finds_every_fault(tmp_path, file, spoil, message, write_split):
    write_split(tmp_path)
    spoil(tmp_path / "TrainDataset" / file)
    with pytest.raises(InputError, match=message) as error:
        check_clips(read_split(tmp_path), progress=False)
    assert "case1" not in str(error.value) and "\n" not in str(error.value)


def test_a_frame_that_is_turned_upright_fits_its_mask_and_is_named(tmp_path, write_split, caplog):
    write_split(tmp_path)
    turn(tmp_path / "TrainDataset/Frame/case2/image2.jpg")
    check_clips(read_split(tmp_path), progress=False)
    assert "1 frames are turned upright by their EXIF orientation, such as" in caplog.text
    assert "case2/image2.jpg; their masks" in caplog.text


def test_check_clips_names_ten_and_counts_all(tmp_path, write_split):
    write_split(tmp_path, frames=8)
    for mask in (tmp_path / "TrainDataset/GT").rglob("*.png"):
        mask.unlink()
    with pytest.raises(InputError, match=r"^16 problems .*and 6 more$") as error:
        check_clips(read_split(tmp_path), progress=False)
    assert str(error.value).count("no such file") == 10


def test_masks_without_a_frame_are_ignored(tmp_path, write_split):
    write_split(tmp_path)
    empty(tmp_path / "TrainDataset/GT/case1/image99.png")
    check_clips(read_split(tmp_path), progress=False)


def clips_of(lengths):
    return [Clip(f"TrainDataset/{case}", image=["x"] * length) for case, length in lengths.items()]


MANY = {f"case{patient}_{part}": 20 + patient for patient in range(20) for part in (1, 2)}

# clips' lengths, fraction, the lowest and highest share of the frames in validation
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
    share = sum(len(clip.image) for clip in validation) / sum(lengths.values())
    assert least <= share <= most
    assert training
    assert (training, validation) == split_by_patient(clips, fraction, seed)


def test_the_seed_chooses_patients_and_the_choice_is_logged(caplog):
    caplog.set_level("INFO")
    chosen = {tuple(ids(split_by_patient(clips_of(MANY), 0.1, seed)[1])) for seed in range(5)}
    assert len(chosen) > 1
    assert all(", ".join(validation) in caplog.text for validation in chosen)


@pytest.mark.parametrize("seed", range(5))
def test_negative_clips_are_held_out_by_themselves(seed):
    clips = clips_of({f"case{number}": 10 for number in range(1, 21)})
    # case1 shows a polyp in one clip and none in another; 60 more patients show none at all
    negative = [
        replace(clip, negative=True) for clip in clips_of({f"case{number}": 10 for number in (1, *range(101, 161))})
    ]
    training, validation = split_by_patient(clips + negative, 0.1, seed)
    assert not {patient_of(clip) for clip in training} & {patient_of(clip) for clip in validation}
    held_out = [clip for clip in validation if clip in clips]
    assert held_out == split_by_patient(clips, 0.1, seed)[1] and len(held_out) == 2
    assert len(validation) - len(held_out) == 6 + any(patient_of(clip) == "case1" for clip in held_out)


@pytest.mark.parametrize("fraction", [-0.1, 1, 10])
def test_a_fraction_is_below_1(fraction):
    with pytest.raises(InputError, match=r"^validation_fraction=.* must be a number of 0 or more and below 1$"):
        split_by_patient(clips_of(MANY), fraction)


def test_a_description_tells_other_clips_and_frames_apart():
    clips = [Clip("a", ["/x/1.jpg", "/x/2.jpg"]), Clip("b", ["/x/3.jpg"])]
    others = [
        [Clip("c", ["/x/1.jpg", "/x/2.jpg"]), clips[1]],
        [Clip("a", ["/x/1.jpg", "/x/4.jpg"]), clips[1]],
        [Clip("a", ["/x/1.jpg"]), Clip("b", ["/x/2.jpg", "/x/3.jpg"])],
        clips[::-1],
        clips[:1],
        [],
    ]
    assert len({describe_clips(some) for some in [clips, *others]}) == 7
    moved = [replace(clip, image=[path.replace("/x", "/y/z") for path in clip.image]) for clip in clips]
    assert describe_clips(moved) == describe_clips(clips)
    assert describe_clips(clips).startswith("2 with 3 frames, names ")


def test_clip_extent(tmp_path, recipe):
    frames: list[np.ndarray] = [frame for frame, _ in phantom_clip(5, (64, 80), seed=1)]
    recipe.write_video(tmp_path / "a.mp4", frames)
    for index, frame in enumerate(frames[:3]):
        Image.fromarray(frame).save(tmp_path / f"{index}.png")
    (tmp_path / "empty.avi").touch()
    found = {clip.clip_id: clip_extent(clip) for clip in find_inputs(tmp_path)}
    assert found == {tmp_path.name: (64, 80, 3), "a": (64, 80, 5), "empty": None}


# the clips' numbers of frames; the frames already done, by clip; the clips of each of two processes
RANKS = [
    ([10, 10], {}, [[0], [1]]),
    ([3, 9, 3, 3], {}, [[1], [0, 2, 3]]),
    ([100, 30, 40], {0: 95}, [[2], [0, 1]]),
    ([5], {}, [[0], []]),
]


@pytest.mark.parametrize(("lengths", "done", "expected"), RANKS)
def test_processes_get_as_many_frames_as_are_left(lengths, done, expected):
    clips = [
        Clip(str(at), image=["x"] * length, resume=ResumePoint(done.get(at, 0), done.get(at, 0)))
        for at, length in enumerate(lengths)
    ]
    assert [[int(clip.clip_id) for clip in rank_clips(clips, rank, 2)] for rank in range(2)] == expected


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_every_clip_belongs_to_one_process(world_size, repeat):
    clips = [Clip(str(at), image=["x"] * length) for at, length in enumerate([7, 1, 4, 4, 9])]
    parts = [rank_clips(clips, rank, world_size, repeat) for rank in range(world_size)]
    assert sorted(clip.clip_id for part in parts for clip in part) == ["0", "1", "2", "3", "4"]
    assert all(part == sorted(part, key=clips.index) for part in parts)
    frames = [sum(len(clip.image) for clip in part) for part in parts]
    assert max(frames) - min(frames) <= 9


def test_every_process_has_a_clip_if_clips_may_repeat():
    clips = [Clip("short", image=["x"] * 3), Clip("long", image=["x"] * 50)]
    parts = [ids(rank_clips(clips, rank, 5, repeat=True)) for rank in range(5)]
    assert parts == [["long"], ["short"], ["long"], ["short"], ["long"]]
    assert rank_clips([], 0, 2, repeat=True) == []


def test_videos_are_opened_to_count_their_frames(tmp_path, recipe):
    frames = [frame for frame, _ in phantom_clip(12, (64, 80), seed=1)]
    for name, count in (("a", 4), ("b", 12), ("c", 5)):
        recipe.write_video(tmp_path / f"{name}.mkv", frames[:count])
    (tmp_path / "empty.avi").touch()  # it has no frames, and one process must report that
    clips = find_inputs(tmp_path)
    assert [ids(rank_clips(clips, rank, 2)) for rank in range(2)] == [["b"], ["a", "c", "empty"]]
