"""What the app stores of each video, on disk, below ``labels/lsinet/<id>/`` of the videos' folder.

======================  ===============================================================================================
``video.json``          size, number of frames, lesions' names and colours, whether it is final
``frames.json``         per frame: score, uncertainty, change from the frame before, has a polyp, lesions; by the model
                        and, below ``propagated``, by what corrections made of it
``predicted/N.png``     the model's masks; in all masks a pixel is its lesion's id, and 0 is background
``propagated/N.png``    what corrections made of them
``corrected/N.png``     a person's masks; who saved them, and when, stands inside the same file
``history.jsonl``       every save, and every correction that was taken back
``annotate.pt``         where an annotation that was interrupted goes on
======================  ===============================================================================================

A person's mask wins over a propagated one, and that over the model's. Every file appears whole or not at all; a
correction is on the disk, not only on its way there, before its save is answered.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from lib.errors import Conflict, NotFound
from lsinet_monai.data import Video, open_video, resize_frame
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo
from lsinet_monai.masks import frame_doubts, has_polyp, temporal_disagreement, video_doubt
from lsinet_monai.utils.files import atomic_write

__all__ = [
    "LABEL_SUFFIXES",
    "LABEL_TAGS",
    "LAST_LESION",
    "Correction",
    "Mask",
    "StoredVideo",
    "VideoStore",
    "decode_mask",
    "encode_mask",
]

logger = logging.getLogger(__name__)

LABEL_TAGS = ("original", "final")
"""The datastore's labels of a video: the folders beside this store's that they lie in."""
LABEL_SUFFIXES = (".json", ".xml", ".nii.gz", ".nii", ".nrrd", ".zip")

LAST_LESION = 255
"""Masks have 8 bits."""

# Okabe and Ito's colours, which people who see few colours tell apart, without black.
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")

_PER_FRAME = ("scores", "uncertainty", "changes", "has_polyp", "lesions")
_PROPAGATED = "propagated"

# Small pictures of a few frames tell a video from another one of the same length and size.
_THUMBNAIL = (8, 8)
_SAME_PICTURE = 8.0  # mean difference, of 255


class Correction(NamedTuple):
    """A mask that a person saved."""

    frame: int
    user: str
    time: str
    """ISO 8601, UTC."""
    version: int
    """1 for the first save of the frame, and 1 more for each that followed."""
    lesions: tuple[int, ...]
    has_polyp: bool

    @property
    def empty(self) -> bool:
        """Whether it says that the frame shows no polyp."""
        return not self.lesions


class Mask(NamedTuple):
    """The mask of a frame as it stands."""

    labels: np.ndarray
    """uint8, (H, W): lesions' ids, 0 for background."""
    source: str
    """``corrected``, ``predicted`` (propagated ones too) or ``none``."""
    version: int


def encode_mask(labels: np.ndarray, texts: dict[str, str] | None = None) -> bytes:
    """Write lesions' ids, uint8, (H, W), as a PNG file, with texts inside."""
    info = PngImagePlugin.PngInfo()
    for name, text in (texts or {}).items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    Image.fromarray(labels).save(file, format="PNG", pnginfo=info, compress_level=1)
    return file.getvalue()


def decode_mask(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Read lesions' ids from a PNG file that a client sent.

    Args:
        content: the file.
        size: height and width of the frame.

    Returns:
        uint8, (H, W).

    Raises:
        InputError: it is no PNG file of 8 bits a pixel, one channel or a palette, or has another size.
    """
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode not in ("L", "P", "1"):
                raise InputError(f"the mask has the mode {image.mode}: send 8-bit grey, a pixel is its lesion's id")
            if (image.height, image.width) != size:
                raise InputError(
                    f"the mask is {image.width}x{image.height} (width x height), the frame {size[1]}x{size[0]}"
                )
            return np.array(image, np.uint8)
    except InputError:
        raise
    except Exception as error:  # what Pillow raises for damaged files has no common class
        raise InputError("the mask cannot be read as a PNG file: send 8-bit grey") from error


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def _save(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and wait until it is on the disk."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class StoredVideo:
    """One video and what is stored of it. Use it within ``with video.lock`` where several calls belong together.

    Args:
        image_id: its id in the datastore.
        path: the video.
        folder: what is stored of it.

    Attributes:
        lock: is held by whoever changes anything. Other processes only read.
    """

    def __init__(self, image_id: str, path: Path, folder: Path) -> None:
        self.id = image_id
        self.path = path
        self.folder = folder
        self.lock = threading.RLock()
        self._info: dict[str, Any] = self._read("video.json") or {}
        self._frames: dict[str, list[Any]] = self._read("frames.json") or {}
        # By frame; the model's own numbers stay, for when a correction is taken back.
        self._propagated = {int(frame): known for frame, known in dict(self._frames.pop(_PROPAGATED, {})).items()}
        self._rank: tuple[float | None] | None = None
        self._corrections = {c.frame: c for c in map(_read_correction, self._files("corrected"))}
        self._versions = self._read_versions()

    # What is known ---------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _files(self, kind: str) -> list[Path]:
        return sorted((self.folder / kind).glob("[0-9]*.png"))

    def _read_versions(self) -> dict[int, int]:
        """The newest version of each frame, of those too whose correction was taken back."""
        versions = {frame: correction.version for frame, correction in self._corrections.items()}
        for entry in self.history():
            frame, version = entry.get("frame"), entry.get("version")
            if frame is not None and version is not None:
                versions[frame] = max(version, versions.get(frame, 0))
        return versions

    def history(self) -> list[dict[str, Any]]:
        """What people did, in order: who, when, what, to which frame."""
        try:
            lines = (self.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            try:
                entries.append(json.loads(line))
            except ValueError:  # the last line of a server that was killed while it wrote it
                continue
        return entries

    def _write_info(self, **content: Any) -> None:
        info = {**self._info, **content}
        _save(self.folder / "video.json", json.dumps(info, indent=1).encode())
        self._info = info

    def _note(self, user: str, action: str, **details: Any) -> None:
        """Write a line into the history."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            # A line that was cut off is left alone on its own.
            file.write(
                ("\n" if file.tell() else "") + json.dumps({"time": _now(), "user": user, "action": action} | details)
            )
            file.flush()
            os.fsync(file.fileno())

    def open_once(self) -> None:
        """Learn the video's size and number of frames, if that has not been done.

        Raises:
            InputError: it cannot be read; that is known from then on, until the file changes.
        """
        stat = self.path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        with self.lock:
            if self._info.get("mark") == mark:
                if self._info["error"]:
                    raise InputError(self._info["error"])
                return
        try:
            with open_video(self.path) as video:
                seconds = [round(video.seconds(i), 6) for i in range(video.frame_count)]
                pictures = _thumbnails(video)
                found = {
                    "frames": video.frame_count,
                    "fps": video.fps,
                    "size": list(video.size),
                    "files": [video.files[i] for i in range(video.frame_count)] if video.files else None,
                    "seconds": None if _is_regular(seconds, video.fps) else seconds,
                    "warnings": [] if video.report.is_complete else [self._without_path(str(video.report))],
                }
        except InputError as error:
            with self.lock:
                self._write_info(mark=mark, error=self._without_path(str(error)))
            raise InputError(self._info["error"]) from error
        with self.lock:
            known = [self._info.get(name) for name in ("frames", "size")]
            is_same = known == [found["frames"], found["size"]] and _are_alike(self._info.get("pictures"), pictures)
            if known[0] is not None and not is_same:
                self._set_aside()
            self._write_info(mark=mark, error=None, pictures=pictures, **found)

    def _without_path(self, text: str) -> str:
        return text.replace(str(self.path.parent) + os.sep, "")

    def _set_aside(self) -> None:
        """Another video took the place of the one that was stored: keep what belongs to that one, elsewhere."""
        aside = self.folder.with_name(f".replaced-{datetime.now():%Y%m%d-%H%M%S}-{self.id}")
        self.folder.rename(aside)
        for tag in LABEL_TAGS:
            for suffix in LABEL_SUFFIXES:
                label = self.folder.parents[1] / tag / f"{self.id}{suffix}"
                if label.exists():
                    label.rename(aside / f"{tag}{suffix}")
        self._info, self._frames, self._propagated, self._corrections, self._versions = {}, {}, {}, {}, {}
        self._rank = None

    @property
    def frame_count(self) -> int:
        """The number of frames; the video is opened for that if it was not."""
        self.open_once()
        return int(self._info["frames"])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        self.open_once()
        height, width = self._info["size"]
        return height, width

    @property
    def clip(self) -> ClipInfo:
        """What exchange formats need to know."""
        self.open_once()
        info = self._info
        seconds = info["seconds"] or [i / info["fps"] for i in range(info["frames"])]
        return ClipInfo(
            self.id,
            self.size,
            info["frames"],
            dict(enumerate(info["files"] or [])),
            dict(enumerate(seconds)),
            info["fps"],
        )

    @property
    def is_annotated(self) -> bool:
        """Whether the model has gone through all of it."""
        return bool(self._info.get("annotated"))

    @property
    def is_final(self) -> bool:
        return bool(self._info.get("final"))

    @property
    def error(self) -> str | None:
        """Why it cannot be read, or why the model could not go through it."""
        return self._info.get("error") or (None if self.is_annotated else self._info.get("job_error"))

    @property
    def corrections(self) -> dict[int, Correction]:
        """A copy of what is corrected, by frame, in order."""
        with self.lock:
            return dict(sorted(self._corrections.items()))

    def per_frame(self, name: str) -> list[Any]:
        """What is known of each frame, those that a person corrected included; None where nothing is.

        Args:
            name: ``scores``, ``uncertainty``, ``changes``, ``has_polyp`` or ``lesions``.
        """
        count = self._info.get("frames") or 0
        with self.lock:
            values = list(self._frames.get(name) or [None] * count)
            for frame, known in self._propagated.items():
                if frame < count:
                    values[frame] = known.get(name, values[frame])
            for frame, correction in self._corrections.items():
                if frame < len(values):
                    sure = {"scores": float(correction.has_polyp), "uncertainty": 0.0, "changes": values[frame]}
                    values[frame] = sure.get(name, getattr(correction, name, None))
        return values

    def doubts(self) -> list[float | None]:
        """How much each frame is worth a person's look; None for those that were looked at or are not known."""
        doubts = frame_doubts(self.per_frame("uncertainty"), temporal_disagreement(self.per_frame("changes")))
        return [
            None if doubt is None or frame in self._corrections else round(doubt, 4)
            for frame, doubt in enumerate(doubts)
        ]

    def rank(self) -> float | None:
        """How much the video is worth a look, in [0, 1]; None where the model has not seen it, and for final ones."""
        if self.is_final or not self.is_annotated:
            return None
        with self.lock:
            if self._rank is None:  # for an hour of video it takes a while, and lists ask for it every second
                self._rank = (video_doubt(self.doubts()),)
            return self._rank[0]

    def lesions(self) -> list[dict[str, Any]]:
        """The lesions that the masks show, or that were given a name, each with ``id``, ``name`` and ``colour``."""
        with self.lock:
            table = self._merges()
            named = {int(lesion): entry for lesion, entry in self._info.get("lesions", {}).items()}
            seen = {int(table[lesion]) for lesions in self.per_frame("lesions") for lesion in lesions or ()}
        present = sorted(lesion for lesion in seen | named.keys() if table[lesion] == lesion)
        return [
            {"id": lesion, "name": f"Polyp {lesion}", "colour": PALETTE[(lesion - 1) % len(PALETTE)]}
            | named.get(lesion, {})
            for lesion in present
        ]

    def _merges(self) -> np.ndarray:
        """uint8, (256,): which lesion each id stands for."""
        table = np.arange(LAST_LESION + 1, dtype=np.uint8)
        for lesion, into in self._info.get("merged", {}).items():
            table[int(lesion)] = into
        return table

    def summary(self) -> dict[str, Any]:
        """A line of the list of videos, without its job."""
        info = self._info
        height, width = info.get("size") or (None, None)
        corrected = len(self._corrections)
        state = (
            "failed" if self.error else "final" if self.is_final else "corrected" if corrected
            else "annotated" if self.is_annotated else "new"
        )  # fmt: skip
        return {
            "id": self.id,
            "name": self.id,
            "frames": info.get("frames"),
            "fps": info.get("fps"),
            "width": width,
            "height": height,
            "state": state,
            "rank": self.rank(),
            "corrected": corrected,
            "error": self.error,
        }

    def details(self) -> dict[str, Any]:
        """All of it, for the page of one video."""
        self.open_once()
        return self.summary() | {
            "seconds": self._info["seconds"],
            **{name: self.per_frame(name) for name in ("scores", "uncertainty", "has_polyp")},
            "doubt": self.doubts(),
            "corrections": [
                {"frame": c.frame, "user": c.user, "time": c.time, "empty": c.empty} for c in self.corrections.values()
            ],
            "lesions": self.lesions(),
            "free_lesion": self.free_lesion(),
            "final": self.is_final,
            "warnings": self._info["warnings"],
        }

    # Masks -----------------------------------------------------------------------------------------------------------

    def _file(self, kind: str, frame: int) -> Path:
        return self.folder / kind / f"{frame:06d}.png"

    def check_frame(self, frame: int) -> None:
        """Raises NotFound where the video has no such frame."""
        if not 0 <= frame < self.frame_count:
            raise NotFound(f"frame {frame} is not in '{self.id}', which has the frames 0 to {self.frame_count - 1}")

    def mask(self, frame: int, original: bool = False) -> Mask:
        """The mask of a frame as it stands, or the model's own.

        Raises:
            NotFound: the video has no such frame.
        """
        self.check_frame(frame)
        with self.lock:
            version = self._versions.get(frame, 0)
            kinds = ("predicted",) if original else ("corrected", "propagated", "predicted")
            for kind in kinds:
                try:
                    with Image.open(self._file(kind, frame)) as image:
                        labels = np.array(image)
                except FileNotFoundError:
                    continue
                merged = labels if original else self._merges()[labels]
                return Mask(merged, "corrected" if kind == "corrected" else "predicted", version)
        return Mask(np.zeros(self.size, np.uint8), "none", version)

    def save_correction(self, frame: int, labels: np.ndarray, user: str, version: int | None = None) -> Correction:
        """Store a person's mask; it is on the disk when this returns.

        Args:
            frame: its index.
            labels: uint8, (H, W): lesions' ids; all 0 says that there is no polyp.
            user: who saves it.
            version: the one that the person started from; None to save over whatever there is.

        Raises:
            Conflict: somebody else saved meanwhile, or the video is final.
            NotFound: the video has no such frame.
        """
        self.check_frame(frame)
        with self.lock:
            self._check_open()
            current = self._versions.get(frame, 0)
            if version is not None and version != current:
                raise Conflict(
                    f"frame {frame} of '{self.id}' was saved by somebody else meanwhile: load its mask again",
                    version=current,
                )
            lesions = tuple(np.unique(labels[labels > 0]).tolist())
            correction = Correction(frame, user, _now(), current + 1, lesions, has_polyp(labels > 0))
            texts = {"Author": user, "Creation Time": correction.time, "Version": str(correction.version)}
            _save(self._file("corrected", frame), encode_mask(labels, texts))
            self._corrections[frame] = correction
            self._versions[frame] = correction.version
            self._rank = None
            try:
                self._note(user, "save", frame=frame, version=correction.version, empty=correction.empty)
            except OSError:  # the mask's own file says who saved it, and when
                logger.exception("the save of frame %d of '%s' is not in its history", frame, self.id)
            return correction

    def take_back(self, frame: int, user: str) -> int:
        """Remove a person's mask, so that the model's is back.

        Returns:
            the frame's new version.

        Raises:
            Conflict: the video is final.
            NotFound: there is no correction.
        """
        self.check_frame(frame)
        with self.lock:
            self._check_open()
            if frame not in self._corrections:
                raise NotFound(f"frame {frame} of '{self.id}' is not corrected")
            version = self._versions[frame] + 1
            self._note(user, "take back", frame=frame, version=version)
            self._file("corrected", frame).unlink(missing_ok=True)
            del self._corrections[frame]
            self._versions[frame] = version
            self._rank = None
            return version

    def _check_open(self) -> None:
        if self.is_final:
            raise Conflict(f"'{self.id}' is marked as final: open it again to change it")

    # Names -----------------------------------------------------------------------------------------------------------

    def name_lesions(self, lesions: Sequence[dict[str, Any]]) -> None:
        """Give lesions names and colours."""
        with self.lock:
            named = self._info.get("lesions", {})
            given = {str(entry["id"]): {"name": entry["name"], "colour": entry["colour"]} for entry in lesions}
            self._write_info(lesions={**named, **given})

    def merge_lesions(self, into: int, other: int, user: str) -> None:
        """Let two lesions be one from now on, in all masks."""
        with self.lock:
            self._check_open()
            table = self._merges()
            into = int(table[into])
            known = {entry["id"] for entry in self.lesions()}
            if into == other or not {into, other} <= known:
                raise InputError(f"lesions {other} and {into} cannot be merged: give two that GET .../videos/ID lists")
            merged = {str(lesion): into for lesion in range(1, len(table)) if table[lesion] == other}
            self._note(user, "merge", into=into, **{"from": other})
            self._write_info(merged={**self._info.get("merged", {}), **merged})

    def set_final(self, final: bool, user: str) -> None:
        """Mark it as final, so that nothing changes any more; or open it again."""
        with self.lock:
            if final != self.is_final:
                self._note(user, "final" if final else "open again")
                self._write_info(final=final)

    # What jobs write -------------------------------------------------------------------------------------------------

    def note_error(self, message: str | None) -> None:
        """Keep why the model could not go through the video, or that it could."""
        with self.lock:
            if message != self._info.get("job_error"):
                self._write_info(job_error=message)

    def begin_annotation(self) -> None:
        """Forget the model's masks, and what corrections made of them; people's masks stay."""
        count = self.frame_count
        with self.lock:
            for kind in ("predicted", _PROPAGATED):
                shutil.rmtree(self.folder / kind, ignore_errors=True)
            self._frames = {name: [None] * count for name in _PER_FRAME}
            self._propagated = {}
            self._rank = None
            self._write_info(annotated=None)

    def end_annotation(self, model: str) -> None:
        """Note that the model has gone through all of the video."""
        with self.lock:
            self.flush()
            self._write_info(annotated={"model": model, "time": _now()})

    def write_prediction(self, kind: str, frame: int, labels: np.ndarray, **numbers: Any) -> None:
        """Store a frame's mask by the model, or by propagation, and what is known of it.

        Args:
            kind: ``predicted`` or ``propagated``.
            frame: its index.
            labels: uint8, (H, W).
            numbers: ``scores``, ``uncertainty``, ``changes``; what is not given stays.
        """
        with atomic_write(self._file(kind, frame)) as temporary:
            temporary.write_bytes(encode_mask(labels))
        lesions = np.unique(labels[labels > 0]).tolist()
        with self.lock:
            known: dict[str, Any] = {name: round(value, 4) for name, value in numbers.items()}
            known |= {"has_polyp": has_polyp(labels > 0), "lesions": lesions}
            self._rank = None
            if kind == _PROPAGATED:
                self._propagated.setdefault(frame, {}).update(known)
                return
            for name, value in known.items():
                self._frames.setdefault(name, [None] * self.frame_count)[frame] = value

    def drop_propagated(self, frames: Iterable[int]) -> None:
        """Forget what corrections made of some frames: they are as the model has them again."""
        with self.lock:
            for frame in frames:
                self._file(_PROPAGATED, frame).unlink(missing_ok=True)
                self._propagated.pop(frame, None)
            self._rank = None

    def is_propagated(self, frame: int) -> bool:
        """Whether corrections have spread to a frame."""
        return self._file(_PROPAGATED, frame).exists()

    def set_change(self, frame: int, change: float) -> None:
        """Store how much a frame's mask differs from that of the frame before, after corrections moved one of them."""
        with self.lock:
            self._propagated.setdefault(frame, {})["changes"] = round(change, 4)
            self._rank = None

    def flush(self) -> None:
        """Write what is known of the frames to the disk."""
        with self.lock:
            _save(self.folder / "frames.json", json.dumps({**self._frames, _PROPAGATED: self._propagated}).encode())

    def next_lesion(self) -> int:
        """The id after all that were ever given."""
        return max(self._known_lesions(), default=0) + 1

    def free_lesion(self) -> int | None:
        """The first id that was never given, or None if all were."""
        return next(iter(sorted(set(range(1, LAST_LESION + 1)) - self._known_lesions())), None)

    def last_named_lesion(self) -> int:
        """The last id that a person gave, or took away by merging it; 0 if there is none."""
        with self.lock:
            return max(map(int, {**self._info.get("lesions", {}), **self._info.get("merged", {})}), default=0)

    def _known_lesions(self) -> set[int]:
        """The ids that masks have, that have a name, or that were merged into others: masks may have those again."""
        with self.lock:
            seen = {lesion for lesions in self.per_frame("lesions") for lesion in lesions or ()}
            return seen | {int(lesion) for name in ("lesions", "merged") for lesion in self._info.get(name, {})}


def _thumbnails(video: Video) -> list[list[int] | None]:
    """Very small pictures of the first, the middle and the last frame; None for one that is damaged."""
    pictures: list[list[int] | None] = []
    for frame in (0, video.frame_count // 2, video.frame_count - 1):
        try:
            pictures.append(resize_frame(video.frame(frame), _THUMBNAIL).ravel().tolist())
        except InputError:
            pictures.append(None)
    return pictures


def _are_alike(before: list[list[int] | None] | None, after: list[list[int] | None]) -> bool:
    pairs = [(a, b) for a, b in zip(before or [], after, strict=False) if a and b]
    return all(np.abs(np.subtract(a, b)).mean() <= _SAME_PICTURE for a, b in pairs)


def _is_regular(seconds: Sequence[float], fps: float) -> bool:
    return all(abs(second - i / fps) < 0.5 / fps for i, second in enumerate(seconds))


def _read_correction(path: Path) -> Correction:
    with Image.open(path) as image:
        labels = np.array(image)
        texts = getattr(image, "text", {})
    lesions = tuple(np.unique(labels[labels > 0]).tolist())
    version = int(texts.get("Version", 1))
    return Correction(
        int(path.stem), texts.get("Author", ""), texts.get("Creation Time", ""), version, lesions, has_polyp(labels > 0)
    )


class VideoStore:
    """All videos of a datastore, and what is stored of them.

    Args:
        folder: ``labels/lsinet`` of the videos' folder.
        path_of: gives a video's path by its id; raises NotFound.
    """

    def __init__(self, folder: Path, path_of: Callable[[str], Path]) -> None:
        self.folder = folder
        self._path_of = path_of
        self._videos: dict[str, StoredVideo] = {}
        self._lock = threading.Lock()

    def __getitem__(self, image_id: str) -> StoredVideo:
        """A video by its id.

        Raises:
            NotFound: the datastore has no such video.
        """
        path = self._path_of(image_id)
        with self._lock:
            if image_id not in self._videos:
                self._videos[image_id] = StoredVideo(image_id, path, self.folder / image_id)
            return self._videos[image_id]

    def remove(self, image_id: str) -> None:
        """Forget a video, and remove what is stored of it."""
        with self._lock:
            self._videos.pop(image_id, None)
        shutil.rmtree(self.folder / image_id, ignore_errors=True)

    @contextmanager
    def scratch(self, suffix: str = "") -> Iterator[Path]:
        """A name for a file on the videos' disk, that is removed when the block ends."""
        folder = self.folder / ".scratch"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{threading.get_ident()}-{os.urandom(4).hex()}{suffix}"
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
