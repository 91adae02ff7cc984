"""What the header of a JPEG 2000 codestream says of its compression (ISO/IEC 15444-1, annexes A and I)."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["CODESTREAM", "is_reversible", "transforms_colours"]

CODESTREAM = b"\xff\x4f"
"""The first bytes of a bare codestream, and of the one in a JP2 file."""

_DATA = b"\xff\x93"  # begins after the headers
_STYLE, _QUANTISATION = b"\xff\x52", b"\xff\x5c"
_OF_ONE_COMPONENT = (b"\xff\x53", b"\xff\x5d")  # another style or quantisation for it
_COLOUR_TRANSFORM, _WAVELET = 4, 9  # places in the style
_REVERSIBLE = 1  # the 5/3 wavelet


def transforms_colours(codestream: bytes) -> bool:
    """Whether the colours are transformed, which a decoder undoes."""
    style = dict(reversed(list(_segments(codestream)))).get(_STYLE, b"")  # the first one, of the main header
    return style[_COLOUR_TRANSFORM : _COLOUR_TRANSFORM + 1] not in (b"", b"\0")


def is_reversible(data: bytes) -> bool:
    """Whether the compression changes no value, if the file was not cut to a size.

    Args:
        data: a codestream, or a JP2 file.
    """
    segments = list(_segments(_codestream(data)))
    styles = [content for marker, content in segments if marker == _STYLE]
    steps = [content for marker, content in segments if marker == _QUANTISATION]
    return (
        bool(styles and steps)
        and all(style[_WAVELET : _WAVELET + 1] == bytes([_REVERSIBLE]) for style in styles)
        and all(step and step[0] & 0b11111 == 0 for step in steps)
        and not any(marker in _OF_ONE_COMPONENT for marker, _ in segments)
    )


def _codestream(data: bytes) -> bytes:
    """The codestream in the boxes of a JP2 file."""
    if data.startswith(CODESTREAM):
        return data
    at = 0
    while len(head := data[at : at + 8]) == 8:
        length, start = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:  # a long box
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        if head[4:] == b"jp2c":
            return data[start:]
        if length < 8:  # 0: the last box
            break
        at += length
    return b""


def _segments(codestream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield marker and content of what lies between the first marker and the data of the first tile."""
    at = len(CODESTREAM)
    while (marker := codestream[at : at + 2]) not in (_DATA, b""):
        length = max(2, int.from_bytes(codestream[at + 2 : at + 4], "big"))
        yield marker, codestream[at + 4 : at + 2 + length]
        at += 2 + length
