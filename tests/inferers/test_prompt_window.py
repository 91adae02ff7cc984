from __future__ import annotations

import numpy as np
import pytest
import torch

from lsinet_monai.inferers.prompt_window import Window, choose_window, crop, paste

SIZE = (160, 200)
WHOLE = Window(0, 0, 200, 160)


def _mask(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


# the mask so far, points in the lesion, a box, and the window
WINDOWS = [
    (_mask(0, 0, 0, 0), [(100, 80)], None, WHOLE),  # nothing is known but a point
    (_mask(90, 70, 20, 16), [(100, 80)], None, Window(75, 58, 50, 40)),  # the smallest
    (_mask(80, 70, 40, 16), [(100, 80)], None, Window(60, 46, 80, 64)),  # twice the mask's width
    (_mask(80, 64, 40, 16), [(160, 72)], None, WHOLE),  # 80 wide with the point
    (_mask(0, 0, 20, 16), [], None, Window(0, 0, 50, 40)),  # in a corner
    (_mask(180, 144, 20, 16), [], None, Window(150, 120, 50, 40)),
    (_mask(0, 0, 0, 0), [], (90, 70, 130, 86), Window(70, 46, 80, 64)),  # a box alone
    (_mask(20, 20, 150, 100), [], None, WHOLE),
]


@pytest.mark.parametrize(("mask", "points", "box", "expected"), WINDOWS)
def test_the_window(
    mask: np.ndarray, points: list[tuple[float, float]], box: tuple[float, ...], expected: Window
) -> None:
    assert choose_window(mask, points, box) == expected


@pytest.mark.parametrize("image_size", [(64, 96), (72, 100)])  # the second is padded to 96 x 128
def test_the_whole_frame_is_cropped_as_it_is(image_size: tuple[int, int]) -> None:
    height, width = (-(-side // 32) * 4 for side in image_size)
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    whole = Window(0, 0, image_size[1], image_size[0])
    torch.testing.assert_close(crop(x, [whole, whole], image_size), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("image_size", [(64, 96), (72, 100)])
def test_a_place_is_where_it_should_be_in_the_crop(image_size: tuple[int, int]) -> None:
    height, width = (-(-side // 32) * 32 for side in image_size)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    places = torch.stack([x, y])[None]
    window = Window(10, 20, image_size[1] // 2, image_size[0] // 2)
    cropped = crop(places, [window], image_size)[0]
    # A pixel's centre in the crop, at 30.5 and 12.5, is as far from the window's corner in it, at half the size.
    torch.testing.assert_close(cropped[:, 12, 30], torch.tensor([10 + 30.5 / 2, 20 + 12.5 / 2]))


def test_each_row_has_a_window_of_its_own() -> None:
    x = torch.rand(2, 1, 64, 96)
    windows = [Window(0, 0, 96, 64), Window(24, 16, 48, 32)]
    both = crop(x, windows, (64, 96))
    for i, window in enumerate(windows):
        torch.testing.assert_close(both[i : i + 1], crop(x[i : i + 1], [window], (64, 96)))


def test_paste_changes_the_window_alone() -> None:
    canvas = torch.zeros(1, 1, 64, 96)
    pasted = paste(canvas, torch.ones(1, 1, 64, 96), Window(24, 16, 48, 32))
    expected = torch.zeros(64, 96)
    expected[16:48, 24:72] = 1
    torch.testing.assert_close(pasted[0, 0], expected)
    assert not canvas.any()


def test_what_is_pasted_comes_out_of_the_crop() -> None:
    # A ramp is the same under linear interpolation, so a shift by half a pixel would show.
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    ramp = (0.02 * x - 0.03 * y)[None, None]
    window = Window(24, 16, 48, 32)
    again = crop(paste(torch.zeros(1, 1, 64, 96), ramp, window), [window], (64, 96))
    torch.testing.assert_close(again[..., 6:-6, 6:-6], ramp[..., 6:-6, 6:-6], atol=2e-3, rtol=0)
