"""The masks of a video: PNG files, by the model, by propagation, and by people."""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from lib.store.files import write_durably
from lib.store.history import History
from lsinet_monai.errors import InputError
from lsinet_monai.masks import has_polyp
from lsinet_monai.utils.files import atomic_write

__all__ = [
    "CHECKED",
    "CORRECTED",
    "DRAWN",
    "FILLED",
    "NEW",
    "PREDICTED",
    "PROPAGATED",
    "Correction",
    "Mask",
    "Masks",
    "decode_mask",
    "encode_mask",
]

logger = logging.getLogger(__name__)

_FEW_LESIONS, _MOST_LESIONS = 8, 64  # in one frame
_BRIGHT = 100

CORRECTED, PREDICTED, PROPAGATED = "corrected", "predicted", "propagated"

DRAWN, CHECKED, FILLED = "drawn", "checked", "filled"
"""How a person's mask came about: drawn in its frame; the network's, which the person found right; or given to many
frames together. Only a drawn one spreads to the frames around it."""

NEW = "new"
"""The kind of the model's masks while it goes through a video again. Nobody sees them until they are complete."""

_COMPLETE, _OLD = "new.complete", "old"


class Correction(NamedTuple):
    """A mask that a person saved."""

    frame: int
    user: str
    time: str
    """ISO 8601, UTC."""
    version: int
    """1 for the first save of the frame, and 1 more for each later save."""
    lesions: tuple[int, ...]
    has_polyp: bool
    how: str = DRAWN
    """``drawn``, ``checked`` or ``filled``."""

    @property
    def empty(self) -> bool:
        """Whether it says that the frame shows no polyp."""
        return not self.lesions


class Mask(NamedTuple):
    """The current mask of a frame."""

    labels: np.ndarray
    """uint8, (H, W): lesion ids, 0 for background."""
    source: str
    """``corrected``, ``checked``, ``predicted`` (propagated masks too) or ``none``."""
    version: int


def encode_mask(labels: np.ndarray, texts: dict[str, str] | None = None) -> bytes:
    """Encode lesion ids as a PNG file.

    Args:
        labels: the ids, uint8, (H, W).
        texts: further texts to write into the file, by keyword.
    """
    info = PngImagePlugin.PngInfo()
    for name, text in (texts or {}).items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    Image.fromarray(labels).save(file, format="PNG", pnginfo=info, compress_level=1)
    return file.getvalue()


def decode_mask(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Decode lesion ids from a PNG file that a client sent.

    Args:
        content: the file.
        size: height and width of the frame.

    Returns:
        uint8, (H, W).

    Raises:
        InputError: the file is not PNG, has more than 8 bits a pixel or several channels, has another size, or has
            greys of soft edges in place of ids.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode not in ("L", "P", "1"):
                raise InputError(
                    f"the mask has the mode {image.mode}: save it as 8-bit grey, each pixel with its lesion's id"
                )
            if (image.height, image.width) != size:
                raise InputError(
                    f"the mask is {image.width}x{image.height} (width x height), but the frame is {size[1]}x{size[0]}"
                )
            labels = np.array(image, np.uint8)
            if _is_grey_picture(labels):
                raise InputError(
                    "the mask has many greys, as soft edges or a probability map have: save it without smoothing, each "
                    "pixel with its lesion's id"
                )
            return labels
    except InputError:
        raise
    except Exception as error:  # Pillow's errors for damaged files have no common class
        raise InputError("the mask cannot be read as a PNG file: save it as 8-bit grey") from error


def _is_grey_picture(labels: np.ndarray) -> bool:
    """Whether the values of a mask are greys of a probability map, or of soft edges around one bright level."""
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    has_one_level = len(values) > _FEW_LESIONS and values[-1] > _BRIGHT and 2 * counts[-1] > counts.sum()
    return len(values) > _MOST_LESIONS or bool(has_one_level)


class Masks:
    """The mask files of one video. Callers hold the video's lock while they change them.

    Args:
        folder: the video's folder in the store.
        history: has the versions of frames whose correction was taken back.

    Attributes:
        corrections: people's masks, by frame.
    """

    corrections: dict[int, Correction]

    def __init__(self, folder: Path, history: History) -> None:
        self._folder = folder
        self._history = history
        self.reload()

    def reload(self) -> None:
        """Read the corrections from the disk."""
        found = map(_read_correction, self._files(CORRECTED))
        self.corrections = {correction.frame: correction for correction in found if correction is not None}
        self._versions = self._history.versions()
        for frame, correction in self.corrections.items():
            self._versions[frame] = max(correction.version, self._versions.get(frame, 0))

    def version(self, frame: int) -> int:
        """How often the frame's mask was saved or taken back; 0 if it was never corrected."""
        return self._versions.get(frame, 0)

    @property
    def saves(self) -> int:
        """How often people saved or took back a mask of the video."""
        return sum(self._versions.values())

    def read(self, kinds: Sequence[str], frame: int) -> tuple[np.ndarray, str] | None:
        """Read the mask of a frame.

        Args:
            kinds: which kinds to look for, the preferred one first: ``corrected``, ``propagated``, ``predicted``,
                ``new``.
            frame: its index.

        Returns:
            lesion ids, uint8, (H, W), and the kind that was found; None if there is no mask.
        """
        for kind in kinds:
            # While new masks take the place of the old ones, these may lie in other folders for a moment.
            for folder in (PREDICTED, _COMPLETE, _OLD) if kind == PREDICTED else (kind,):
                try:
                    with Image.open(self._file(folder, frame)) as image:
                        return np.array(image), kind
                except FileNotFoundError:
                    continue
        return None

    def write_correction(self, correction: Correction, labels: np.ndarray) -> None:
        """Store a person's mask. It is on the disk when this returns.

        Args:
            correction: who saved it, when, and its version.
            labels: uint8, (H, W): lesion ids.
        """
        texts = {
            "Author": correction.user, "Creation Time": correction.time, "Version": str(correction.version),
            "How": correction.how,
        }  # fmt: skip
        write_durably(self._file(CORRECTED, correction.frame), encode_mask(labels, texts))
        self.corrections[correction.frame] = correction
        self._versions[correction.frame] = correction.version

    def remove_correction(self, frame: int, version: int) -> None:
        """Remove a person's mask.

        Args:
            frame: its index.
            version: the frame's version from now on.
        """
        self._file(CORRECTED, frame).unlink(missing_ok=True)
        del self.corrections[frame]
        self._versions[frame] = version

    def content(self, kind: str, frame: int) -> bytes | None:
        """The PNG file of a mask as it lies on the disk, or None."""
        try:
            return self._file(kind, frame).read_bytes()
        except FileNotFoundError:
            return None

    def put_content(self, kind: str, frame: int, content: bytes, version: int) -> Correction | None:
        """Put a PNG file back that :meth:`content` returned.

        Args:
            kind: ``corrected``, ``propagated`` or ``predicted``.
            frame: its index.
            content: the file.
            version: the frame's version from now on, if the mask is a person's.

        Returns:
            the person's mask, or None if it is none.
        """
        with atomic_write(self._file(kind, frame)) as temporary:
            temporary.write_bytes(content)
        if kind != CORRECTED:
            return None
        found = _read_correction(self._file(kind, frame))
        if found is None:
            self.corrections.pop(frame, None)
            return None
        with Image.open(io.BytesIO(content)) as image:
            self.write_correction(found._replace(version=version), np.array(image))
        return found._replace(version=version)

    def write_prediction(self, kind: str, frame: int, labels: np.ndarray) -> None:
        """Store a mask that the model predicted.

        Args:
            kind: ``predicted``, ``propagated`` or ``new``.
            frame: its index.
            labels: uint8, (H, W): lesion ids.
        """
        with atomic_write(self._file(kind, frame)) as temporary:
            temporary.write_bytes(encode_mask(labels))

    @property
    def has_predictions(self) -> bool:
        """Whether a frame has a mask of the model's own."""
        return any((self._folder / PREDICTED).glob("[0-9]*.png"))

    @property
    def has_new(self) -> bool:
        """Whether the model is going through the video again, or stopped on its way."""
        return (self._folder / NEW).is_dir()

    def begin_new(self) -> None:
        """Prepare for new masks of the model's own, which replace its present ones together."""
        shutil.rmtree(self._folder / NEW, ignore_errors=True)
        (self._folder / NEW).mkdir(parents=True)

    def adopt_new(self) -> None:
        """Replace the model's own masks by the new ones, if there are any. If this is interrupted, call it again."""
        if self.has_new:
            (self._folder / NEW).rename(self._folder / _COMPLETE)  # from here on the new ones count
        self.adopt_complete()

    def adopt_complete(self) -> None:
        """End an interrupted :meth:`adopt_new`."""
        if not (self._folder / _COMPLETE).is_dir():
            return
        if (self._folder / PREDICTED).is_dir():
            shutil.rmtree(self._folder / _OLD, ignore_errors=True)
            (self._folder / PREDICTED).rename(self._folder / _OLD)
        (self._folder / _COMPLETE).rename(self._folder / PREDICTED)
        shutil.rmtree(self._folder / _OLD, ignore_errors=True)

    def remove_propagated(self, frames: Iterable[int]) -> None:
        """Remove the propagated masks of some frames."""
        for frame in frames:
            self._file(PROPAGATED, frame).unlink(missing_ok=True)

    def is_propagated(self, frame: int) -> bool:
        """Whether the frame has a propagated mask."""
        return self._file(PROPAGATED, frame).exists()

    def propagated_frames(self) -> list[int]:
        """The frames that have a propagated mask, in order."""
        return [int(path.stem) for path in self._files(PROPAGATED)]

    def _file(self, kind: str, frame: int) -> Path:
        return self._folder / kind / f"{frame:06d}.png"

    def _files(self, kind: str) -> list[Path]:
        return sorted((self._folder / kind).glob("[0-9]*.png"))


def _read_correction(path: Path) -> Correction | None:
    try:
        with Image.open(path) as image:
            labels = np.array(image)
            texts = getattr(image, "text", {})
    except OSError:  # one damaged file must not keep people from all others
        logger.exception("'%s' cannot be read: the frame counts as not corrected", path)
        return None
    return Correction(
        int(path.stem),
        texts.get("Author", ""),
        texts.get("Creation Time", ""),
        int(texts.get("Version", 1)),
        tuple(np.unique(labels[labels > 0]).tolist()),
        has_polyp(labels > 0),
        texts.get("How", DRAWN),
    )
