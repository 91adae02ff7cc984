from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import Clip, FrameCache
from lsinet_monai.errors import InputError

HEIGHT, WIDTH = 12, 16
FRAME_BYTES = HEIGHT * WIDTH * 3
MASK_BYTES = HEIGHT * WIDTH


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """A clip of three frames with masks, and a negative one of two."""

    def save(name: str, mode: str, level: int) -> str:
        Image.new(mode, (WIDTH, HEIGHT), level if mode == "L" else (level,) * 3).save(tmp_path / name)
        return str(tmp_path / name)

    return [
        Clip(
            "case1",
            image=[save(f"1_{n}.png", "RGB", n) for n in range(3)],
            label=[save(f"1_{n}_mask.png", "L", 255) for n in range(3)],
        ),
        Clip("case2", image=[save(f"2_{n}.png", "RGB", 10 + n) for n in range(2)]),
    ]


def _kept(cache: FrameCache, clips: list[Clip]) -> list[str]:
    """The files that may be missing once the cache is filled."""
    for clip in clips:
        for path in (*clip.image, *(clip.label or ())):
            Path(path).unlink()
    kept = []
    for clip in clips:
        for read, paths in ((cache.read_frame, clip.image), (cache.read_mask, clip.label or ())):
            for path in paths:
                try:
                    read(path)
                except InputError:
                    continue
                kept.append(Path(path).stem)
    return kept


def test_it_gives_what_the_files_hold(clips: list[Clip]) -> None:
    cache = FrameCache(clips, max_gb=1).fill(progress=False)
    for source in (cache, FrameCache(clips)):
        np.testing.assert_array_equal(source.read_frame(clips[0].image[2]), np.full((HEIGHT, WIDTH, 3), 2))
        np.testing.assert_array_equal(source.read_mask(clips[0].label[2]), np.full((HEIGHT, WIDTH), 255))
    assert cache.size == 5 * FRAME_BYTES + 3 * MASK_BYTES
    assert _kept(cache, clips) == ["1_0", "1_1", "1_2", "1_0_mask", "1_1_mask", "1_2_mask", "2_0", "2_1"]


def test_it_keeps_no_more_than_it_may_and_of_every_clip_the_same(clips: list[Clip]) -> None:
    limit = 3 * FRAME_BYTES + 2 * MASK_BYTES
    cache = FrameCache(clips, max_gb=(limit + FRAME_BYTES - 1) / 1e9).fill(progress=False)
    assert cache.size == limit
    assert _kept(cache, clips) == ["1_0", "1_1", "1_0_mask", "1_1_mask", "2_0"]


def test_by_default_it_keeps_nothing(clips: list[Clip]) -> None:
    cache = FrameCache(clips)
    assert cache.size == 0
    assert _kept(cache, clips) == []


def test_what_it_keeps_cannot_be_changed(clips: list[Clip]) -> None:
    cache = FrameCache(clips, max_gb=1).fill(progress=False)
    with pytest.raises(ValueError, match="read-only"):
        cache.read_frame(clips[0].image[0])[:] = 0


def test_it_reads_and_keeps_at_another_size(tmp_path: Path) -> None:
    # eight columns, the right half white; four of them at half the size, each the mean of two with their neighbours
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 4:] = 255
    Image.fromarray(pixels).save(tmp_path / "frame.png")
    Image.fromarray(pixels).convert("L").save(tmp_path / "mask.png")
    frame, mask = str(tmp_path / "frame.png"), str(tmp_path / "mask.png")
    clips = [Clip("case1", image=[frame], label=[mask])]
    cache = FrameCache(clips, max_gb=1, read_size=(2, 4)).fill(progress=False)
    assert cache.size == 2 * 4 * 4
    for source in (cache, FrameCache([], read_size=(2, 4))):
        assert source.read_frame(frame).shape == (2, 4, 3)
        np.testing.assert_array_equal(source.read_frame(frame)[..., 0], source.read_mask(mask))
        assert source.read_mask(mask)[0].tolist() == pytest.approx([0, 255 / 8, 255 * 7 / 8, 255], abs=1)
    assert FrameCache([], read_size=3).read_mask(mask).shape == (3, 3)
