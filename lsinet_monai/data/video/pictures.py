"""Pictures as videos: animated GIF, PNG and WebP, TIFF of several pages, and any picture alone. Pillow reads them."""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lsinet_monai.data.frames import exceeds_8_bits, find_pictures, open_image, to_rgb
from lsinet_monai.data.video.video import BUFFER_BYTES, DEFAULT_FPS, Video
from lsinet_monai.errors import InputError

__all__ = ["PicturesVideo", "holds_several", "is_picture_file"]

_PNG, _GIF, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"WEBP"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEAD_BYTES = 4096
_WEBP_FLAGS, _WEBP_IS_ANIMATED = 20, 0b10
_SHORTEST, _USUAL = 20, 100  # ms: browsers and FFmpeg show a picture of less than 20 ms for 100 ms
_GIF_HEADER, _GIF_PICTURE, _GIF_EXTENSION, _GIF_END = 13, ord(","), ord("!"), ord(";")
_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error, Image.DecompressionBombError,
)  # fmt: skip


def is_picture_file(head: bytes) -> bool:
    """Return whether a file is GIF, PNG, TIFF or WebP, by its first 12 bytes or more."""
    return head.startswith((_GIF, _PNG, *_TIFF)) or (head[:4] == _RIFF and head[8:12] == _WEBP)


def holds_several(path: Path) -> bool:
    """Return whether a file can be read and holds several pictures. Most files of one are not decoded."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(_PNG) and b"acTL" not in head:
            return False
        if head[:4] == _RIFF and not (head[12:16] == b"VP8X" and head[_WEBP_FLAGS] & _WEBP_IS_ANIMATED):
            return False
        if not is_picture_file(head):
            return False
        with open_image(path, pictures=True, upright=False) as image:
            return len(find_pictures(image)) > 1
    except (OSError, InputError):  # whoever reads the file reports it
        return False


class PicturesVideo(Video):
    """The pictures of one file, in order.

    Each picture of an animation has its own duration; pages have none.

    Args:
        path: the file: GIF, PNG, TIFF or WebP; or any other picture, as one frame.
        fps: frames per second of a TIFF; 30 by default.

    Raises:
        InputError: the file is not an image, has more than 8 bits a channel, or has no picture that can be decoded.
    """

    def __init__(self, path: Path, fps: float | None) -> None:
        self._file = path
        with open_image(path, pictures=True, upright=False) as image:
            self._places = find_pictures(image)
            self._has_pages = image.format == "TIFF"
            durations = [] if self._has_pages else self._durations(image)
            is_gif = image.format == "GIF"
        count = len(self._places)
        if durations:
            self._seconds = np.concatenate([[0], np.cumsum(durations[:-1])]) / 1000
            fps = 1000 * len(durations) / sum(durations) if count == 1 else float((count - 1) / self._seconds[-1])
        else:
            fps = fps or DEFAULT_FPS
            self._seconds = np.arange(count) / fps
        self._canvas: tuple[int, int] | None = None
        self._lock = threading.Lock()  # guards the fields below, which frame() uses
        self._image: Image.Image | None = None
        self._following = 0
        self._recent: OrderedDict[int, np.ndarray | None] = OrderedDict()
        with Image.open(path) as image:
            # A GIF says its size, and Pillow enlarges it with each picture that lies beyond.
            canvas = (image.height, image.width) if is_gif else None
            first = next((frame for at in range(count) if (frame := self._read(image, at)) is not None), None)
        if first is None:
            raise InputError(f"{path}: none of its {count} pictures can be decoded; replace it")
        size = self._canvas = canvas or (first.shape[0], first.shape[1])
        self._most_recent = max(1, BUFFER_BYTES // (3 * size[0] * size[1]))
        self._is_resized = False
        notes = []
        if is_gif and not _is_whole_gif(path.read_bytes()):
            notes.append("is cut off or damaged between its pictures, so that later ones may be missing")
        super().__init__(path, size, fps, count, expected=count, notes=notes)

    def _durations(self, image: Image.Image) -> list[float]:
        """Return how long each picture is shown, in milliseconds; a damaged one for as long as the one before it."""
        durations: list[float] = []
        for place in self._places:
            try:
                image.seek(place)
                image.load()  # a WebP says it only then
                duration = float(image.info.get("duration", 0))
            except _ERRORS:
                duration = durations[-1] if durations else _USUAL
            durations.append(duration if duration >= _SHORTEST else _USUAL)
        return durations

    def _read(self, image: Image.Image, index: int, wanted: bool = True) -> np.ndarray | None:
        """Read one picture of an open file; None if it is damaged or not wanted.

        Each picture of an animation is drawn over the one before, so all are read in order, and the image stays as it
        is. What a damaged one leaves behind then is the same for every reader.
        """
        try:
            image.seek(self._places[index])
            is_deep = exceeds_8_bits(image)
            image.load()
            return None if is_deep or not wanted else self._fit(to_rgb(ImageOps.exif_transpose(image)))
        except _ERRORS:
            return None

    def _fit(self, frame: np.ndarray) -> np.ndarray:
        """Give a picture the size of the video, and note it: cut off what lies beyond a GIF, and scale pages."""
        if self._canvas is None or frame.shape[:2] == self._canvas:
            return frame
        height, width = self._canvas
        if not self._is_resized:
            self._is_resized = True
            how = "scaled to it" if self._has_pages else "cut off at it, as FFmpeg does"
            self._notes.append(
                f"has pictures that differ from the first one's size of {height}x{width}; they are {how}"
            )
        if self._has_pages:
            return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
        return np.ascontiguousarray(frame[:height, :width])

    def seconds(self, index: int) -> float:
        """Return the time of a frame, in seconds after the first one."""
        return float(self._seconds[index])

    def close(self) -> None:
        """Stop the running iterations and free the file. Closing twice is fine."""
        super().close()
        with self._lock:
            self._forget_image()
            self._recent.clear()

    def _forget_image(self) -> None:
        if self._image is not None:
            self._image.close()
        self._image = None

    def _decode(self, start: int, end: int) -> Generator[tuple[int, np.ndarray] | None, None, None]:
        image = Image.open(self._file)
        try:
            for index in range(start if self._has_pages else 0, end):
                frame = self._read(image, index, index >= start)
                yield None if frame is None else (index, frame)
                if frame is None and self._has_pages:  # so that a damaged page harms no other
                    image.close()
                    image = Image.open(self._file)
        finally:
            image.close()

    def _decode_one(self, index: int) -> np.ndarray | None:
        with self._lock:
            if index not in self._recent:
                is_back = index < self._following and not self._has_pages
                if self._image is None or is_back:
                    self._forget_image()
                    self._image, self._following = Image.open(self._file), 0
                # Keep the pictures that come next when going backwards.
                first = max(0, index - self._most_recent + 1) if is_back else index
                for at in range(index if self._has_pages else self._following, index + 1):
                    frame = self._read(self._image, at, at >= first)
                    if at >= first:
                        self._recent[at] = frame
                        self._recent.move_to_end(at)
                self._following = index + 1
                if frame is None and self._has_pages:
                    self._forget_image()
                while len(self._recent) > self._most_recent:
                    self._recent.popitem(last=False)
            frame = self._recent[index]
            return None if frame is None else frame.copy()


def _is_whole_gif(content: bytes) -> bool:
    """Whether the blocks of a GIF follow one another up to its end mark, behind which is nothing but zeros.

    Pillow searches on for the next block where one does not follow, and takes the first end mark that it meets.
    """
    try:
        at = _GIF_HEADER + _palette_bytes(content[10])
        while content[at] in (_GIF_PICTURE, _GIF_EXTENSION):
            is_picture = content[at] == _GIF_PICTURE
            at += 11 + _palette_bytes(content[at + 9]) if is_picture else 2
            while content[at]:  # each piece of the block begins with its length, and 0 ends it
                at += 1 + content[at]
            at += 1
        return content[at] == _GIF_END and not content[at + 1 :].strip(b"\0")
    except IndexError:
        return False


def _palette_bytes(flags: int) -> int:
    """The length of the palette that the flags of a GIF or of one of its pictures announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
