from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import check_frame, frame_size, frames_to_tensor, read_frame, read_map, read_mask, resize_frame
from lsinet_monai.errors import InputError

RED, GREY = (200, 40, 10), 90

# mode, colour of a plain image, suffix, the RGB that a frame of it has everywhere
MODES = [
    ("RGB", RED, "png", RED),
    ("RGB", RED, "bmp", RED),
    ("RGB", RED, "tif", RED),
    ("L", GREY, "png", (GREY,) * 3),
    ("L", GREY, "jpg", (GREY,) * 3),
    ("LA", (GREY, 255), "png", (GREY,) * 3),
    ("RGBA", (*RED, 255), "png", RED),
    ("RGBA", (*RED, 0), "png", (0, 0, 0)),
    ("1", 1, "png", (255, 255, 255)),
    ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
]


def png_of_16_bits(path, colour_type, channels):
    """Write a PNG that Pillow cannot write: 16 bits a channel, grey (colour type 0), RGB (2) or RGBA (6)."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 4, 3, 16, colour_type, 0, 0, 0)
    rows = (b"\0" + b"\x12\x34" * 4 * channels) * 3
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(("mode", "colour", "suffix", "expected"), MODES)
def test_every_mode_of_8_bits_becomes_rgb(tmp_path, mode, colour, suffix, expected):
    path = tmp_path / f"frame.{suffix}"
    Image.new(mode, (7, 5), colour).save(path)
    frame = read_frame(path)
    assert frame.dtype == np.uint8 and frame.shape == (5, 7, 3)
    assert (frame == np.array(expected)).all()
    assert frame_size(path) == check_frame(path) == (5, 7)


def test_a_palette_frame_has_its_colours(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    image.save(tmp_path / "frame.png")
    assert (read_frame(tmp_path / "frame.png") == np.array(RED)).all()


@pytest.mark.parametrize(("value", "polyp"), [(0, False), (128, False), (129, True), (255, True)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_mask_is_polyp_above_128(tmp_path, mode, value, polyp):
    Image.new(mode, (4, 3), value if mode == "L" else (value,) * 3).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool and mask.shape == (3, 4) and (mask == polyp).all()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_map_keeps_its_values(tmp_path, mode):
    Image.new(mode, (4, 3), 77 if mode == "L" else (77,) * 3).save(tmp_path / "map.png")
    map_ = read_map(tmp_path / "map.png")
    assert map_.dtype == np.uint8 and map_.shape == (3, 4) and (map_ == 77).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (6, 4)])
@pytest.mark.parametrize("read", [read_frame, read_map, read_mask, frame_size, check_frame])
def test_16_bit_png_is_refused(tmp_path, read, colour_type, channels):
    path = tmp_path / "deep.png"
    png_of_16_bits(path, colour_type, channels)
    with pytest.raises(InputError, match=r"deep\.png: .*convert it to 8 bits"):
        read(path)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_tiff_is_refused(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "deep.tif")
    with pytest.raises(InputError, match="convert it to 8 bits"):
        read_frame(tmp_path / "deep.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_cut_off_file_is_named(tmp_path, suffix, kept):
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    for read in (read_frame, check_frame):
        with pytest.raises(InputError, match=rf"cut\.{suffix}: .*replace it") as error:
            read(path)
        assert "\n" not in str(error.value)


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.png: cannot be read"):
        read_frame(tmp_path / "notes.png")
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        read_frame(tmp_path / "gone.png")


def test_a_jpeg_may_have_padding_after_its_end(tmp_path):
    Image.new("RGB", (20, 10), RED).save(tmp_path / "padded.jpg")
    with open(tmp_path / "padded.jpg", "ab") as file:
        file.write(bytes(100))
    assert check_frame(tmp_path / "padded.jpg") == (10, 20)


def test_shrinking_averages():
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 32))
    small = resize_frame(stripes, (4, 8))
    assert small.shape == (4, 8)
    assert np.abs(small[:, 1:-1].astype(int) - 100).max() <= 1


@pytest.mark.parametrize("image_size", [16, (16, 16), [16, 24]])
def test_frames_to_tensor_normalises_each_channel(image_size):
    frames = [np.full((10, 12, 3), RED, np.uint8), np.zeros((20, 8, 3), np.uint8)]
    tensor = frames_to_tensor(frames, image_size)
    height, width = (16, 16) if isinstance(image_size, int) else image_size
    assert tensor.shape == (3, 2, height, width) and tensor.dtype == torch.float32 and tensor.is_contiguous()
    red = (200 / 255 - 0.485) / 0.229
    torch.testing.assert_close(tensor[0, 0], torch.full((height, width), red))
    torch.testing.assert_close(tensor[2, 1], torch.full((height, width), -0.406 / 0.225))
