from __future__ import annotations

from experiments.clips import FOLDS, fold, phantom_clips
from lsinet_monai.data import Clip, patient_of

CLIPS = [Clip(f"case{patient}_{part}") for patient in range(7) for part in range(2)]


def test_folds_hold_out_each_patient_once() -> None:
    held_out = []
    for number in range(FOLDS):
        train, test = fold(CLIPS, number)
        assert not {patient_of(clip) for clip in train} & {patient_of(clip) for clip in test}
        assert len(train) + len(test) == len(CLIPS)
        held_out += test
    assert sorted(clip.clip_id for clip in held_out) == sorted(clip.clip_id for clip in CLIPS)


def test_phantom_clips_have_a_mask_for_each_frame() -> None:
    names = []
    for name, frames, masks in phantom_clips(2, frames=3, seed=1):
        names.append(name)
        assert [frame.shape[:2] for frame in frames] == [mask.shape for mask in masks]
        assert masks[0].dtype == bool
    assert names == ["phantom 0", "phantom 1"]
