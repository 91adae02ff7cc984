"""The command ``archive``: a run over two workers, one of which is killed, and what is said before the first video."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lsinet_monai.archive import command, run_archive
from lsinet_monai.archive.failures import Failures
from lsinet_monai.archive.ray_engine import ray_session
from lsinet_monai.archive.table import failed_row, read_table
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError

ray = pytest.importorskip("ray", reason='Ray is missing: pip install ".[archive]"')
pytest.importorskip("av", reason='PyAV is missing: pip install ".[archive]"')
pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci

Contents = Callable[[Path], dict[str, bytes]]
MakeVideo = Callable[..., ArchiveVideo]


@pytest.fixture(scope="module")
def session(bucket: str) -> Iterator[Path]:
    """Ray on two cores for all tests of this file, which share its start. Its temporary files are in a folder.

    The workers see the bucket, since they have the environment in which Ray was started.
    """
    before = os.environ.get("TMPDIR")
    # Ray's sockets lie in it, whose paths have 107 letters at most: pytest's own folders are too deep.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        os.environ["TMPDIR"] = folder
        try:
            with ray_session(cores=2):
                yield Path(folder)
        finally:
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


def _processes(folder: Path) -> dict[int, str]:
    """The titles of the processes whose temporary files are in a folder: those of our Ray alone."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
    return found


def _in_the_middle_of_the_long_video(folder: Path) -> int | None:
    """The worker that has written some of the long video's masks, known by the lock of its folder that it holds."""
    for masks in folder.glob("lsinet_archive_*/video/results/masks/long"):
        lock = str(masks.parents[3] / ".lock")
        if len(list(masks.glob("*.png"))) > 5:
            for pid in _processes(folder):
                with suppress(OSError):
                    if lock in map(os.readlink, Path(f"/proc/{pid}/fd").glob("*")):
                        return pid
    return None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc")
def test_a_killed_worker_a_broken_video_and_a_second_run(
    session: Path,
    run: Callable[..., Any],
    model_file: Path,
    empty_folder: Path,
    make_video: MakeVideo,
    contents: Contents,
    wait_until: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two workers do five videos, one of them broken; one worker is killed in the middle of a long video."""
    names = ["a/x.mp4", "b/x.mp4", "b/y.mp4", "long.mp4"]
    for seed, name in enumerate(names):
        make_video(Path("in", name), 150 if name == "long.mp4" else 4, seed)
    Path("in/b/broken.mp4").write_bytes(b"no video")
    ended: list[BaseException] = []

    def archive() -> None:
        try:
            run_archive(["in"], "out", checkpoint=model_file, exports=["png"], workers=2)
        except InputError as error:
            ended.append(error)

    thread = threading.Thread(target=archive)
    thread.start()
    found: list[int] = []
    wait_until(lambda: found.extend(filter(None, [_in_the_middle_of_the_long_video(session)])) or found)
    os.kill(found[0], signal.SIGKILL)
    thread.join()

    said = r"1 of 5 videos are set aside, each after 3 tries; .*failures\.jsonl says why, and --retry-failed"
    with pytest.raises(InputError, match=said):
        raise ended[0]
    failures = [json.loads(line) for line in Path("out/failures.jsonl").read_text().splitlines()]
    killed = [entry["video"] for entry in failures if "its worker died (it was killed" in entry["reason"]]
    assert killed == ["long.mp4"] and [entry["video"] for entry in failures].count("b/broken.mp4") == 3
    assert len(failures) == 4
    table = read_table(Path("out/results.parquet"))
    assert sorted(table) == sorted([*names, "b/broken.mp4"])
    assert [table[name]["error"] for name in names] == [None] * 4
    assert table["long.mp4"]["frames"] == 150
    assert table["b/broken.mp4"]["error"].endswith("(3 tries)")
    assert not Path("out/.on_the_way").exists()
    printed = capsys.readouterr()
    assert "5 videos: 0 done and 0 set aside before" in printed.out and "report: " in printed.out
    assert "5/5 videos" in printed.err and "raylet" not in printed.out + printed.err

    for name in names:
        options = {"checkpoint": str(model_file), "write_maps": False, "write_overlay": False, "exports": "parquet"}
        run("inference", input=f"in/{name}", output_dir=f"alone/{name}", **options)
        assert contents(Path("out/videos", name)) == contents(Path("alone", name)), name

    # The second run does what is new: what was done stays as it is, and what was set aside is not tried again.
    before = {path: path.stat().st_mtime_ns for path in Path("out/videos").rglob("*") if path.is_file()}
    make_video(Path("in/new.mp4"), 4, 9)
    with pytest.raises(InputError, match="1 of 6 videos are set aside"):
        run_archive(["in"], "out", checkpoint=model_file, exports=["png"], workers=2)
    assert "6 videos: 4 done and 1 set aside before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert sorted(read_table(Path("out/results.parquet"))) == sorted([*names, "b/broken.mp4", "new.mp4"])
    assert len(Path("out/failures.jsonl").read_text().splitlines()) == len(failures)

    # A third one has nothing to do; it says so, and mends the table.
    Path("out/results.parquet").unlink()
    Path("in/b/broken.mp4").unlink()
    run_archive(["in"], "out", checkpoint=model_file, exports=["png"], workers=2)
    assert sorted(read_table(Path("out/results.parquet"))) == sorted([*names, "new.mp4"])


@pytest.mark.slow
def test_videos_of_an_object_store(
    session: Path, bucket: str, model_file: Path, empty_folder: Path, make_video: MakeVideo, contents: Contents
) -> None:
    """They have the results of the same videos on a disk. One of them is broken."""
    s3fs = pytest.importorskip("s3fs")
    for seed, name in enumerate(("a/x.mp4", "y.mp4")):
        make_video(Path("in", name), 3, seed)
    Path("in/broken.mp4").write_bytes(b"no video")
    s3fs.S3FileSystem().put("in", f"{bucket}/in", recursive=True)
    for text, output in (("in", "near"), (f"s3://{bucket}/in", "far")):
        with pytest.raises(InputError, match="1 of 3 videos are set aside, each after 3 tries"):
            run_archive([text], output, checkpoint=model_file, workers=2)
    assert contents(Path("far/videos")) == contents(Path("near/videos")) != {}
    table = read_table(Path("far/results.parquet"))
    assert {row["path"] for row in table.values()} == {f"s3://{bucket}/in/{name}" for name in table}
    assert table["broken.mp4"]["error"].startswith(f"s3://{bucket}/in/broken.mp4: cannot be read as a video")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found by /proc")
def test_ray_listens_on_this_machine_alone_and_reports_no_usage(session: Path) -> None:
    """No socket on which a process of Ray listens has another address than 127.0.0.1."""
    from ray._common.usage.usage_lib import usage_stats_enabled

    assert not usage_stats_enabled()
    sockets = set()
    for pid in [*_processes(session), os.getpid()]:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(os.readlink(link))
            except OSError:
                continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:  # 0A: listening
                words = bytes.fromhex(fields[1].partition(":")[0])
                host = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                addresses.add(socket.inet_ntop(socket.AF_INET, host[-4:]))
    assert addresses == {"127.0.0.1"}


# inputs, options, and what the one line says, before Ray is started
BAD_CALLS: list[tuple[list[str], dict[str, Any], str]] = [
    (["nothing"], {}, "nothing: no such folder, video or list"),
    (["list.txt"], {}, r"list\.txt: line 1 and line 2 name the same video"),
    (["in"], {"output": "in/out"}, "--output .*in/out lies in the input in"),
    (
        ["*/*/*.mp4"],
        {"output": "done"},
        r"done/videos/x\.mp4 lies in --output .*done, so it is no video of the archive",
    ),
    (["results.txt"], {"output": "done"}, r"link/videos/x\.mp4 lies in --output .*done, so it is no video of the arch"),
    (["in"], {"output": "list.txt"}, r"--output .*list\.txt is a file: choose a folder"),
    (["in"], {"output": "/proc/out"}, "--output /proc/out cannot be created"),
    (
        ["in"],
        {"output": "s3://bucket/out"},
        "--output s3:/bucket/out is no folder: results appear by a rename",
    ),
    (["in"], {"exports": ["tiff"]}, "export 'tiff' is not one of png, maps, overlay, csv, coco"),
    (["in"], {"threshold": 2.0}, r"threshold=2\.0 must be a number from 0 to 1"),
    (["in"], {"amp_dtype": "bf16"}, "amp_dtype='bf16'"),
    (["in"], {"checkpoint": "list.txt"}, r"list\.txt' cannot be read as a file of weights"),
    (["in"], {"checkpoint": "no.pt"}, r"--checkpoint no\.pt: no such file"),
    (["in"], {"workers": 0}, "--workers 0 must be 1 or more"),
    (["in"], {"cpus_per_worker": 0}, "--cpus-per-worker 0 must be 1 or more"),
    (["in"], {"timeout": 0.0}, "--timeout 0 must be a number of minutes, above 0 and at most"),
    (["in"], {"timeout": float("inf")}, "--timeout inf must be a number of minutes, above 0 and at most"),
    (["in"], {"gpus_per_worker": -1.0}, r"--gpus-per-worker -1\.0 must be 0 or more"),
]


@pytest.mark.parametrize(("inputs", "options", "said"), BAD_CALLS)
def test_before_the_first_video_one_line_says_what_is_wrong(
    empty_folder: Path, inputs: list[str], options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    Path("in").mkdir()
    Path("in/x.mp4").touch()
    Path("list.txt").write_text("in/x.mp4\nin/x.mp4\n")
    Path("done/videos").mkdir(parents=True)
    Path("done/videos/x.mp4").touch()
    Path("link").symlink_to("done")
    Path("results.txt").write_text("link/videos/x.mp4\n")
    with pytest.raises(InputError, match=said) as raised:
        run_archive(inputs, **{"output": "out", **options})
    assert "\n" not in str(raised.value)
    assert not Path("out").exists()


# what ends a run, and what the one line says
ENDS = [
    (KeyboardInterrupt(), "^interrupted; the same command continues$"),
    (
        OSError(errno.ENOSPC, "No space left on device", "out/failures.jsonl"),
        r"^cannot write out/failures\.jsonl \(No space left on device\): make room, then run the same command again$",
    ),
]


@pytest.mark.parametrize(("error", "said"), ENDS, ids=["Ctrl-C", "full disk"])
def test_a_run_that_is_stopped_keeps_its_table_and_says_how_to_continue(
    empty_folder: Path, model_file: Path, error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run does one of two videos, and stops."""

    def stop(
        engine: Any, videos: Sequence[ArchiveVideo], failures: Failures, on_done: Callable[..., None], *_: Any
    ) -> None:
        row = failed_row(videos[0], "abc", "")
        on_done(row | {"error": None, "frames": 3})
        raise error

    monkeypatch.setattr(command, "ray_session", lambda *_: nullcontext())
    monkeypatch.setattr(command, "RayEngine", lambda *_: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(command, "run_all", stop)
    Path("in").mkdir()
    for name in ("x.mp4", "y.mp4"):
        Path("in", name).touch()
    with pytest.raises(InputError, match=said):
        run_archive(["in"], "out", checkpoint=model_file)
    assert list(read_table(Path("out/results.parquet"))) == ["x.mp4"]
    assert not Path("out/report.html").exists()
