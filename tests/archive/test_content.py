"""The content of a video."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lsinet_monai.archive.content import content_hash, fetch
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

fsspec = pytest.importorskip("fsspec", reason='fsspec is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci

HASH = hashlib.sha256(b"content").hexdigest()


def test_a_video_here_stays_and_one_elsewhere_is_copied(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"content")
    here = ArchiveVideo("x.mp4", str(tmp_path / "x.mp4"), 7)
    fsspec.filesystem("memory").pipe("/content/y.mp4", b"content")
    elsewhere = ArchiveVideo("y.mp4", "memory://content/y.mp4", 7)
    (tmp_path / "scratch").mkdir()
    assert fetch(here, tmp_path / "scratch") == (tmp_path / "x.mp4", HASH)
    assert fetch(elsewhere, tmp_path / "scratch") == (tmp_path / "scratch" / "y.mp4", HASH)
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["y.mp4"]
    assert content_hash(here) == content_hash(elsewhere) == HASH


def test_what_cannot_be_read_and_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"gone\.mp4: cannot be read \(.*No such file"):
        content_hash(ArchiveVideo("gone.mp4", str(tmp_path / "gone.mp4"), 7))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "y.mp4")

    fsspec.filesystem("memory").pipe("/content/y.mp4", b"content")
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(ArchiveVideo("y.mp4", "memory://content/y.mp4", 7), tmp_path)


@pytest.mark.parametrize(
    ("size", "error", "said"),
    [
        (150, OSError, "No space left on device"),
        (
            250,
            InputError,
            r"memory://archive/x\.mp4: has 250 bytes, and the disk of .* 200: set TMPDIR to a larger one",
        ),
    ],
)
def test_there_may_be_no_room_for_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, error: type[Exception], said: str
) -> None:
    """A full disk is no fault of the video; one that is too small is, for this machine."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=200, free=100))
    with pytest.raises(error, match=said):
        fetch(ArchiveVideo("x.mp4", "memory://archive/x.mp4", size), tmp_path)
