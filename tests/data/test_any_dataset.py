"""Whatever the files of a dataset are called: each frame has the mask that was drawn for it, or the set is refused.

Each test names files at random and works out from the names alone which mask belongs to which frame.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsinet_monai.data import Clip, check_clips, find_stills, read_mask, read_split, with_mask_rule
from lsinet_monai.errors import InputError

SIZE = (40, 96)
STEMS = ["1", "2", "10", "a", "b", "a_mask", "2-gt"]
PLAIN = STEMS[:5]
UNMARKED = {"a_mask": "a", "2-gt": "2"}
MARKS = ["", "", "", "_mask", "-GT", "_segmentation", ".jpg"]


class File(NamedTuple):
    stem: str
    """Without the mark."""
    mark: str
    suffix: str

    @property
    def name(self) -> str:
        return f"{self.stem}{self.mark}.{self.suffix}"

    def owner(self, frames: set[str]) -> str:
        """The frame that the mask belongs to: the one of its own name, or else of its name without a mark.

        Only if there is none, the case of the letters does not count.
        """
        names = [self.stem + self.mark, self.stem]
        if self.mark in ("", ".jpg"):
            names.append(UNMARKED.get(self.stem, self.stem))
        exact = [name for name in names if name in frames]
        alike = [frame for name in names for frame in frames if frame.lower() == name.lower()]
        return [*exact, *alike, self.stem][0]


def _square(number: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 4 * number : 4 * number + 8] = 255
    return mask


def _write(files: list[tuple[Path, np.ndarray]]) -> None:
    for path, array in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def _as_split(root: Path) -> list[Clip]:
    clips = read_split(root)
    check_clips(clips, progress=False)
    return with_mask_rule(clips)


# where frames and masks lie, and how they are read
LAYOUTS: dict[str, tuple[str, str, Callable[[Path], list[Clip]]]] = {
    "SUN-SEG": ("TrainDataset/Frame/case1", "TrainDataset/GT/case1", _as_split),
    "stills": ("images", "masks", find_stills),
    "stills in cases": ("Frame/case1", "GT/case1", find_stills),
    "stills in one folder": ("", "", find_stills),
}

frames = st.lists(
    st.builds(File, st.sampled_from(STEMS), st.just(""), st.sampled_from(["png", "png", "png", "bmp"])),
    min_size=1,
    max_size=5,
    unique=True,
)
masks = st.lists(
    st.builds(File, st.sampled_from(STEMS), st.sampled_from(MARKS), st.sampled_from(["png", "PNG", "bmp", "tif"])),
    max_size=6,
    unique_by=lambda file: file.name.lower(),
)


@pytest.mark.slow
@settings(max_examples=150)
@example("SUN-SEG", [File("2-gt", "", "png")], [File("2", "-GT", "png")], "", False)
@given(st.sampled_from(list(LAYOUTS)), frames, masks, st.sampled_from(["", *MARKS]), st.booleans())
def test_a_frame_has_its_own_mask_or_the_set_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    frames: list[File],
    masks: list[File],
    mark: str,
    is_whole: bool,
) -> None:
    frame_folder, mask_folder, read = LAYOUTS[layout]
    if frame_folder == mask_folder:  # there, only a mark tells masks from frames
        frames = [frame for frame in frames if frame.stem in PLAIN] or [File("1", "", "png")]
        masks = [mask for mask in masks if mask.mark not in ("", ".jpg") and mask.stem in PLAIN]
        mark = mark if mark not in ("", ".jpg") else "_mask"
    if is_whole:  # so that the right ones are seen, too
        frames = list({frame.stem: frame for frame in frames}.values())
        masks = [File(frame.stem, mark, "png") for frame in frames]
    stems = {frame.stem for frame in frames}
    root = tmp_path_factory.getbasetemp() / "any_dataset"
    shutil.rmtree(root, ignore_errors=True)
    drawn: dict[str, list[int]] = {}
    for number, mask in enumerate(masks):
        drawn.setdefault(mask.owner(stems), []).append(number)
    _write([(root / frame_folder / frame.name, np.full((*SIZE, 3), 90, np.uint8)) for frame in frames])
    _write([(root / mask_folder / mask.name, _square(number)) for number, mask in enumerate(masks)])

    is_right = all(len(drawn.get(stem, [])) == 1 for stem in stems) and len(stems) == len(frames)
    try:
        clips = read(root)
    except InputError as error:
        assert "\n" not in str(error)
        strays = drawn.keys() - stems
        assert not is_right or strays, error
        return
    pairs = [pair for clip in clips for pair in zip(clip.image, clip.label or [], strict=True)]
    assert Counter(Path(frame).stem for frame, _ in pairs) == Counter(frame.stem for frame in frames)
    assert is_right
    for frame, path in pairs:
        (number,) = drawn[Path(frame).stem]
        np.testing.assert_array_equal(read_mask(path, clips[0].mask_rule), _square(number) > 0)
