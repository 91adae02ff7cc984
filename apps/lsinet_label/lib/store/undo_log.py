"""What the last acts on many frames replaced: ``undo/N/`` with the old masks, and ``act.json`` once an act is done."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lib.errors import NotFound
from lib.store.files import write_durably
from lib.store.masks import PROPAGATED
from lsinet_monai.utils.files import atomic_write

if TYPE_CHECKING:
    from lib.store.video_info import VideoInfo

__all__ = ["PROPAGATION", "UndoLog", "digest", "is_as_left", "is_unanswered", "read_backup"]

PROPAGATION = "spread"
"""The name of a propagation among the acts, as ``act.json`` has it."""

_KEPT = 50  # acts that can be undone


class UndoLog:
    """The folders of the acts of one video.

    Args:
        folder: ``undo`` in the video's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_of(self, act: int) -> Path:
        """The folder of an act by its number."""
        return self._folder / f"{act:06d}"

    def begin(self, info: VideoInfo) -> tuple[int, Path]:
        """Make the folder of a new act, and number it. ``info`` knows the last number: none is used twice.

        With it there are 50; the oldest of more are forgotten. Those stay of which people are asked, and the
        propagations after them, which may have gone over their masks.
        """
        is_asked = False
        for old in self.finished()[: 1 - _KEPT]:
            content = self.read(old)
            is_asked = is_asked or is_unanswered(content)
            if not (is_asked and content["name"] == PROPAGATION):
                self.forget(old)
        number = info.count("acts")
        folder = self.folder_of(number)
        folder.mkdir(parents=True)
        return number, folder

    def forget(self, folder: Path) -> None:
        """Remove the folder of an act. If the server is killed meanwhile, it is not taken for an unfinished act."""
        folder.rename(self._folder / f"forgotten-{folder.name}")
        for forgotten in self._folder.glob("forgotten-*"):
            shutil.rmtree(forgotten, ignore_errors=True)

    def finished(self) -> list[Path]:
        """The folders of the acts that have come to their end, the oldest first."""
        return sorted(path.parent for path in self._folder.glob("[0-9]*/act.json"))

    def unfinished(self) -> list[Path]:
        """The folders of the acts that have not."""
        return sorted(set(self._folder.glob("[0-9]*")) - set(self.finished()))

    def keep(self, folder: Path, kind: str, frame: int, content: bytes | None) -> None:
        """Keep what is replaced, so that it can be brought back even if the act does not come to its end.

        Args:
            folder: the act's.
            kind: the mask's, such as ``corrected``.
            frame: its index.
            content: the mask's PNG file; None if there was no mask.
        """
        file = _backup_of(folder, kind, frame)
        files = [file, file.with_suffix(".none")]
        kept, other = files if content is not None else reversed(files)
        with atomic_write(kept) as temporary:
            temporary.write_bytes(content or b"")
        other.unlink(missing_ok=True)

    def kept(self, folder: Path) -> list[tuple[int, str]]:
        """What an act has replaced so far: frame and kind of each mask."""
        names = (path.name.split(".") for path in sorted(folder.glob("[0-9]*.*.*")))
        return [(int(frame), kind) for frame, kind, _ in names]

    def write(self, folder: Path, content: dict[str, Any]) -> None:
        """Note that an act has come to its end, or what has changed since."""
        write_durably(folder / "act.json", json.dumps(content).encode())

    def read(self, folder: Path) -> dict[str, Any]:
        """What :meth:`write` noted.

        Raises:
            NotFound: the act is not known any more.
        """
        try:
            content: dict[str, Any] = json.loads((folder / "act.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound("this step cannot be undone any more") from None
        return content


def read_backup(folder: Path, kind: str, frame: int) -> bytes | None:
    """The mask that an act replaced, as :meth:`UndoLog.keep` kept it; None if there was none."""
    file = _backup_of(folder, kind, frame)
    return file.read_bytes() if file.exists() else None


def _backup_of(folder: Path, kind: str, frame: int) -> Path:
    return folder / f"{frame:06d}.{kind}.png"


def is_unanswered(content: dict[str, Any]) -> bool:
    """Whether an act is a propagation that nobody has kept, and whose correction nobody has taken back."""
    return content["name"] == PROPAGATION and not (content.get("kept") or content.get("closed"))


def is_as_left(folder: Path, act: dict[str, Any], entry: dict[str, Any], now: bytes | None) -> bool:
    """Whether a mask is as an act left it, or as an undo of the act that was interrupted left it.

    Args:
        folder: the act's.
        act: what :meth:`UndoLog.write` noted of it; with ``undoing`` once its masks are being brought back.
        entry: of the frame, in the act: ``frame``, ``kind`` and ``after``.
        now: the mask's PNG file; None if there is none.
    """
    if digest(now) == entry["after"]:
        return True
    if "undoing" not in act:
        return False
    # An undo removes propagated masks whose corrections are gone.
    is_orphan = now is None and entry["kind"] == PROPAGATED
    return is_orphan or digest(now) == digest(read_backup(folder, entry["kind"], entry["frame"]))


def digest(content: bytes | None) -> str | None:
    """Identify a mask and who saved it, but for the version, which an undo raises, too; None if there is no mask."""
    if content is None:
        return None
    try:
        image = Image.open(io.BytesIO(content))
    except OSError:  # a damaged mask
        return hashlib.sha256(content).hexdigest()
    with image:
        texts = {name: text for name, text in getattr(image, "text", {}).items() if name != "Version"}
        return hashlib.sha256(np.array(image).tobytes() + json.dumps(texts, sort_keys=True).encode()).hexdigest()
