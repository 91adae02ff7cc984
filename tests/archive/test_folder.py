"""The folder of an archive's results."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.table import failed_row
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci

SETTINGS = {"model_sha256": "abc", "threshold": 0.5, "exports": ["png"]}
VIDEO = ArchiveVideo("b/x.mp4", "/in/b/x.mp4", 77)


def _row(video: ArchiveVideo = VIDEO, **values: Any) -> dict[str, Any]:
    return {**failed_row(video, "abc", ""), "error": None, "frames": 3, **values}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What a worker has made of a video."""
    (tmp_path / "results" / "masks").mkdir(parents=True)
    for name in ("summary.json", "masks/000000.png"):
        (tmp_path / "results" / name).write_text(name)
    return tmp_path / "results"


@pytest.fixture
def folder(tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder(tmp_path / "new" / "out")


def test_results_appear_whole_with_their_row(folder: ArchiveFolder, results: Path) -> None:
    with folder.claim(SETTINGS):
        assert folder.is_visible
        assert folder.row("b/x.mp4") is None
        assert folder.deliver(results, _row()) == _row()
    place = folder.path / "videos" / "b" / "x.mp4"
    assert {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} == {
        "result.json",
        "summary.json",
        "masks/000000.png",
    }
    assert folder.row("b/x.mp4") == _row()
    assert folder.finished([VIDEO]) == {"b/x.mp4": _row()}


def test_nothing_is_left_of_results_that_could_not_be_copied(
    folder: ArchiveFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "summary.json")

    with folder.claim(SETTINGS):
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            folder.deliver(results, _row())
        monkeypatch.undo()
        assert not folder.place("b/x.mp4").exists()
        assert list((folder.path / ".on_the_way").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_so_and_names_the_file(
    folder: ArchiveFolder, results: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(source: Any, target: Any, **_: Any) -> None:
        raise OSError(number, os.strerror(number), str(source))

    with folder.claim(SETTINGS):
        monkeypatch.setattr(shutil, "copyfile", full)
        with pytest.raises(OSError) as raised:
            folder.deliver(results, _row())
        monkeypatch.undo()
        assert raised.value.errno == number and str(folder.path) in raised.value.filename


def test_times_and_rights_that_a_mount_refuses_are_not_copied(
    folder: ArchiveFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(shutil, "copystat", refuse)
    with folder.claim(SETTINGS):
        assert folder.deliver(results, _row()) == _row()


def test_summary_and_table_are_on_the_disk_whatever_the_videos_name(
    folder: ArchiveFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video called masks.mp4 has them in the folder of the pictures, for which nobody waits."""
    (results / "masks" / "summary.json").touch()
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(Path(f"/dev/fd/{number}").resolve().name))
    with folder.claim(SETTINGS):
        flushed.clear()
        folder.deliver(results, _row(ArchiveVideo("masks.mp4", "/in/masks.mp4", 5)))
    assert sorted(flushed) == ["result.json", "summary.json", "summary.json"]


def test_the_first_of_two_results_stays(folder: ArchiveFolder, results: Path) -> None:
    """A worker on a machine that was thought to be lost may deliver late. But one of another content is replaced."""
    with folder.claim(SETTINGS):
        folder.deliver(results, _row(compute_seconds=1.0, sha256="a"))
        assert folder.deliver(results, _row(compute_seconds=2.0, sha256="a"))["compute_seconds"] == 1.0
        assert folder.row("b/x.mp4") == _row(compute_seconds=1.0, sha256="a")
        assert folder.deliver(results, _row(compute_seconds=3.0, sha256="b"))["compute_seconds"] == 3.0
        assert folder.row("b/x.mp4") == _row(compute_seconds=3.0, sha256="b")


def test_results_without_a_row_are_replaced(folder: ArchiveFolder, results: Path) -> None:
    with folder.claim(SETTINGS):
        folder.deliver(results, _row())
        (folder.place("b/x.mp4") / "result.json").write_text("{")
        assert folder.finished([VIDEO]) == {}
        folder.deliver(results, _row())
        assert folder.finished([VIDEO]) == {"b/x.mp4": _row()}


def test_nothing_is_written_where_the_folder_is_gone(folder: ArchiveFolder, results: Path) -> None:
    """As after an unmount: the folder under it is on another disk."""
    with folder.claim(SETTINGS):
        shutil.rmtree(folder.path)
        for write in (lambda: folder.deliver(results, _row()), lambda: folder.write_table({})):
            with pytest.raises(FileNotFoundError, match="the folder of the run is not there any more"):
                write()
        assert not folder.path.exists()


def test_a_file_has_one_result_whatever_it_is_called(folder: ArchiveFolder, results: Path) -> None:
    with folder.claim(SETTINGS):
        folder.deliver(results, _row())
        said = (
            r"holds results of /in/b/x\.mp4 by the name b/x\.mp4, and this INPUT would call it x\.mp4: give the INPUT"
        )
        with pytest.raises(InputError, match=said):
            folder.finished([ArchiveVideo("x.mp4", VIDEO.path, VIDEO.size)])


def test_rows_come_from_the_table_or_from_the_videos_folders(folder: ArchiveFolder, results: Path) -> None:
    other = ArchiveVideo("other.mp4", "/elsewhere/other.mp4", 5)
    with folder.claim(SETTINGS):
        folder.deliver(results, _row())
        folder.deliver(results, _row(other))
        folder.write_table({"other.mp4": _row(other), "gone.mp4": _row(ArchiveVideo("gone.mp4", "/in/gone.mp4", 1))})
        # the one of an earlier run over another input stays, the one whose folder was deleted does not
        assert sorted(folder.finished([VIDEO])) == ["b/x.mp4", "other.mp4"]
        shutil.rmtree(folder.place("b/x.mp4"))
        assert sorted(folder.finished([VIDEO])) == ["other.mp4"]


def test_what_runs_over_other_inputs_have_set_aside_stays_in_the_table(folder: ArchiveFolder, tmp_path: Path) -> None:
    """Unless its file is gone. Those of this run count by their failures."""
    (tmp_path / "other.mp4").touch()
    aside = {
        name: failed_row(ArchiveVideo(name, path, 5), "abc", "cut off (3 tries)")
        for name, path in (
            ("other.mp4", str(tmp_path / "other.mp4")),
            ("far.mp4", "s3://in/far.mp4"),
            ("gone.mp4", str(tmp_path / "gone.mp4")),
            ("b/x.mp4", "/in/b/x.mp4"),
        )
    }
    with folder.claim(SETTINGS):
        folder.write_table(aside)
        found = folder.finished([VIDEO])
        assert sorted(found) == ["far.mp4", "other.mp4"]
        assert {row["error"] for row in found.values()} == {"cut off (3 tries)"}


def test_a_video_that_has_changed_is_done_again(folder: ArchiveFolder, results: Path) -> None:
    with folder.claim(SETTINGS):
        folder.deliver(results, _row())
        assert folder.finished([ArchiveVideo("b/x.mp4", "/in/b/x.mp4", 78)]) == {}
        assert not folder.place("b/x.mp4").exists()


def test_another_video_of_the_same_name_is_refused(folder: ArchiveFolder, results: Path, tmp_path: Path) -> None:
    """One of the same size too: it is told from one that has moved by its content."""
    (tmp_path / "moved.mp4").write_bytes(b"x" * 77)
    (tmp_path / "another.mp4").write_bytes(b"y" * 77)
    moved = ArchiveVideo("b/x.mp4", str(tmp_path / "moved.mp4"), 77)
    with folder.claim(SETTINGS):
        row = _row(sha256=hashlib.sha256(b"x" * 77).hexdigest())
        folder.deliver(results, row)
        assert folder.finished([moved]) == {"b/x.mp4": {**row, "path": moved.path}}
        with pytest.raises(InputError, match=r"holds results of /in/b/x\.mp4 by the name b/x\.mp4, and .*another\.mp4"):
            folder.finished([ArchiveVideo("b/x.mp4", str(tmp_path / "another.mp4"), 77)])
        with pytest.raises(InputError, match=r"gone\.mp4: cannot be read"):
            folder.finished([ArchiveVideo("b/x.mp4", str(tmp_path / "gone.mp4"), 77)])
        with pytest.raises(InputError, match=r"holds results of /in/b/x\.mp4 by the name b/x\.mp4, and /2025/b/x\.mp4"):
            folder.finished([ArchiveVideo("b/x.mp4", "/2025/b/x.mp4", 78)])
        assert folder.place("b/x.mp4").exists()


def test_what_a_killed_run_left_is_removed(folder: ArchiveFolder, results: Path) -> None:
    with folder.claim(SETTINGS):
        pass
    shutil.copytree(results, folder.path / ".on_the_way" / "1234")
    with folder.claim(SETTINGS):
        assert not (folder.path / ".on_the_way").exists()
        assert list(folder.path.glob(".trash_*")) == []


def test_a_late_worker_delivers_nothing_of_which_files_are_removed(
    folder: ArchiveFolder, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run removes what is on the way, which a rename takes out of reach before the first file is gone."""
    copies: list[list[Path]] = []
    remove = shutil.rmtree

    def look(path: Path, **options: Any) -> None:
        copies.append(list((folder.path / ".on_the_way").glob("*")))
        remove(path, **options)

    (folder.path / ".on_the_way" / "1234").mkdir(parents=True)
    (folder.path / "settings.json").write_text(json.dumps(SETTINGS))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", look)
        with folder.claim(SETTINGS):
            pass
    assert copies == [[]]

    def lose(number: int) -> None:
        for path in (folder.path / ".on_the_way").glob("*/summary.json"):
            path.unlink()

    with folder.claim(SETTINGS):
        monkeypatch.setattr(os, "fsync", lose)
        with pytest.raises(OSError):
            folder.deliver(results, _row())
        assert not folder.place("b/x.mp4").exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("threshold", 0.4, "holds results with threshold=0.5, and this run has 0.4"),
        ("model_sha256", "def", "holds results with model_sha256='abc', and this run has 'def'"),
        ("exports", [], r"holds results with exports=\['png'\], and this run has \[\]"),
    ],
)
def test_all_results_of_a_folder_have_the_same_settings(
    folder: ArchiveFolder, results: Path, name: str, value: Any, said: str
) -> None:
    with folder.claim({**SETTINGS, name: "of a run that did no video"}):
        pass
    with folder.claim(SETTINGS):
        folder.deliver(results, _row())
    with pytest.raises(InputError, match=said), folder.claim({**SETTINGS, name: value}):
        pass


def test_one_run_at_a_time(folder: ArchiveFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsinet_monai.archive.folder._LOCK_WAIT", 0)
    folder.path.mkdir(parents=True)
    with (
        FileLock(folder.path / ".lock"),
        pytest.raises(InputError, match=r"another process archives in --output .*out: wait until it has ended"),
        folder.claim(SETTINGS),
    ):
        pass


def test_folders_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.tex").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "settings.json").write_text("{")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "settings.json").write_text(json.dumps(SETTINGS))
    for path, said in (
        (tmp_path / "file", "is a file: choose a folder"),
        (tmp_path / "file" / "below", "cannot be created .*: choose another folder"),
        (tmp_path / "others", r"holds files that no archive's run wrote \(e\.g\. thesis\.tex\)"),
        (tmp_path / "damaged", r"settings\.json: damaged"),
        ("s3://bucket/out", "is no folder: results appear by a rename, which object stores lack"),
    ):
        with pytest.raises(InputError, match=said), ArchiveFolder(path).claim(SETTINGS):
            pass
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="no permission"), ArchiveFolder(tmp_path / "mine").claim(SETTINGS):
        pass
