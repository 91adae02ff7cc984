from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from lsinet_monai.data import check_frame, frame_size, read_frame, read_map, read_mask, resize_frame
from lsinet_monai.data.frames import check_image
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
    ("RGBA", (*RED, 0), "webp", (0, 0, 0)),
    ("RGB", RED, "ppm", RED),
    ("L", GREY, "jp2", (GREY,) * 3),
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


# Orientations ------------------------------------------------------------------------------------------------------

# the EXIF orientation, and how the upright picture is stored with it
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.fixture
def upright():
    """A picture whose quarters have four colours, larger than the blocks of a JPEG, (64, 96, 3)."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48] = (200, 40, 10), (20, 180, 40), (30, 20, 220)
    return picture


def exif(orientation):
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    return found


def behind_the_pixels(png, orientation):
    """Move the orientation to where some tools write it: between the pixels and the end of the file."""
    body = exif(orientation).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    return png[:-12] + chunk + png[-12:]


@pytest.mark.parametrize("suffix", ["jpg", "png", "late.png", "webp", "tif"])
@pytest.mark.parametrize("orientation", STORED)
def test_an_orientation_is_applied_to_frames_and_maps_alike(tmp_path, upright, orientation, suffix):
    path, stored = tmp_path / f"frame.{suffix}", Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    if suffix == "late.png":
        file = io.BytesIO()
        stored.save(file, "PNG")
        path.write_bytes(behind_the_pixels(file.getvalue(), orientation))
    else:
        stored.save(path, exif=exif(orientation), **options)
    assert np.abs(read_frame(path).astype(int) - upright).max() <= (12 if suffix == "jpg" else 0)
    grey = np.asarray(Image.fromarray(upright).convert("L"))
    assert np.abs(read_map(path).astype(int) - grey).max() <= (12 if suffix == "jpg" else 0)
    assert frame_size(path) == check_frame(path) == (64, 96)
    assert check_image(path).is_turned is (orientation != 1)


def test_a_truncated_turned_frame_is_refused(tmp_path, upright):
    Image.fromarray(upright).save(tmp_path / "a.png", exif=exif(6))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image"):
        check_frame(tmp_path / "a.png")


# Files of several pictures ------------------------------------------------------------------------------------------


def write_several(path, count=3, **options):
    pictures = [Image.new("RGB", (8, 6), (60 * at, 0, 0)) for at in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **options)


@pytest.mark.parametrize("suffix", ["tif", "png", "webp", "gif"])
@pytest.mark.parametrize("read", [read_frame, read_map, read_mask, frame_size, check_frame])
def test_several_pictures_are_no_frame(tmp_path, suffix, read):
    write_several(tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match=rf"a\.{suffix}: holds 3 pictures, but one is expected here"):
        read(tmp_path / f"a.{suffix}")


def test_a_preview_is_no_second_picture(tmp_path):
    pages = [Image.new("RGB", (16, 12), RED), Image.new("RGB", (8, 6), RED), Image.new("L", (16, 12), 0)]
    for page, kind in zip(pages, (0, 1, 4), strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], tiffinfo={254: 0})
    write_several(tmp_path / "camera.jpg", 2, format="MPO")
    for name, size in (("a.tif", (12, 16)), ("camera.jpg", (6, 8))):
        assert read_frame(tmp_path / name).shape == (*size, 3) and check_frame(tmp_path / name) == size


def test_a_stack_of_imagej_that_hides_its_pictures_is_refused(tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "a.tif", tiffinfo={270: "ImageJ=1.53t\nimages=50\nslices=50\n"})
    with pytest.raises(InputError, match="holds 50 pictures behind one page"):
        read_frame(tmp_path / "a.tif")


@pytest.mark.parametrize(("alpha", "warned"), [(255, False), (128, True), (0, False)])
def test_a_frame_transparent_in_part_is_said_once(tmp_path: Path, caplog: Any, alpha: int, warned: bool) -> None:
    for name in ("0.png", "1.png"):
        Image.new("RGBA", (8, 6), (200, 100, 50, alpha)).save(tmp_path / name)
        assert read_frame(tmp_path / name)[0, 0, 0] == round(200 * alpha / 255)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned and all(f"{tmp_path}/0.png: is transparent in part" in line for line in said)
