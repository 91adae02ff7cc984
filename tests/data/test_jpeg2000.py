from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data.jpeg2000 import CODESTREAM, is_reversible, transforms_colours


def _encoded(**options: Any) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "JPEG2000", **options)
    return content.getvalue()


@pytest.mark.parametrize("no_jp2", [False, True])
@pytest.mark.parametrize("irreversible", [False, True])
@pytest.mark.parametrize("tile_size", [(0, 0), (16, 16)])
def test_a_reversible_compression(no_jp2: bool, irreversible: bool, tile_size: tuple[int, int]) -> None:
    data = _encoded(no_jp2=no_jp2, irreversible=irreversible, tile_size=tile_size)
    assert data.startswith(CODESTREAM) == no_jp2 and is_reversible(data) != irreversible


@pytest.mark.parametrize("mct", [0, 1])
def test_a_transform_of_colours(mct: int) -> None:
    assert transforms_colours(_encoded(no_jp2=True, mct=mct)) == bool(mct)


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


def _style(wavelet: int, mct: int = 0) -> bytes:
    return _segment(0x52, bytes([0, 0, 0, 1, mct, 5, 4, 4, 0, wavelet, 0]))


STEPS, QUANTISED = _segment(0x5C, bytes([0x40, 8, 8])), _segment(0x5C, bytes([0x41, 8, 8]))
TILE, DATA = _segment(0x90, bytes(8)), b"\xff\x93"

# what comes after the first marker; whether it is reversible
HEADERS = [
    ("5/3", _style(1) + STEPS + TILE + DATA, True),
    ("9/7", _style(0) + STEPS + TILE + DATA, False),
    ("5/3, quantised", _style(1) + QUANTISED + TILE + DATA, False),
    ("another style for a component", _style(1) + STEPS + _segment(0x53, bytes(7)) + TILE + DATA, False),
    ("another quantisation for a component", _style(1) + STEPS + _segment(0x5D, bytes(3)) + TILE + DATA, False),
    ("another style for a tile", _style(1) + STEPS + TILE + _style(0) + DATA, False),
    ("what looks like a style in the data", _style(1) + STEPS + TILE + DATA + _style(0), True),
    ("no quantisation is given", _style(1) + TILE + DATA, False),
    ("no style is given", STEPS + TILE + DATA, False),
    ("a style that is cut off", STEPS + _style(1)[:9], False),
    ("nothing", b"", False),
]


@pytest.mark.parametrize(("header", "expected"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_headers(header: bytes, expected: bool) -> None:
    assert is_reversible(CODESTREAM + header) == expected


def test_the_main_header_says_whether_colours_are_transformed() -> None:
    assert transforms_colours(CODESTREAM + _style(1, mct=1) + TILE + _style(1, mct=0) + DATA)
    assert not transforms_colours(CODESTREAM + _style(1, mct=0) + TILE + _style(1, mct=1) + DATA)
    assert not transforms_colours(CODESTREAM)


def _box(kind: bytes, content: bytes, is_long: bool = False) -> bytes:
    size = len(content) + (16 if is_long else 8)
    return (b"\0\0\0\1" + kind + size.to_bytes(8, "big") if is_long else size.to_bytes(4, "big") + kind) + content


CODED = CODESTREAM + _style(1) + STEPS + TILE + DATA

# a JP2 file; whether its codestream is found
FILES = [
    ("a box before it", _box(b"jp2h", bytes(9)) + _box(b"jp2c", CODED), True),
    ("long boxes", _box(b"jp2h", bytes(9), is_long=True) + _box(b"jp2c", CODED, is_long=True), True),
    ("to the end of the file", _box(b"jp2h", bytes(9)) + b"\0\0\0\0jp2c" + CODED, True),
    ("another box to the end of the file", b"\0\0\0\0uuid" + _box(b"jp2c", CODED), False),
    ("a box of a length that cannot be", b"\0\0\0\5uuid" + _box(b"jp2c", CODED), False),
    ("no codestream", _box(b"jp2h", bytes(9)), False),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_the_codestream_of_a_jp2_file(data: bytes, expected: bool) -> None:
    assert is_reversible(data) == expected
