"""What a server checks before it works. test_server.py starts real ones."""

from __future__ import annotations

import logging
import socket

import pytest

pytest.importorskip("monailabel")

from lib.startup import (
    check_one_process,
    check_port,
    check_writable_folders,
    lock_studies,
    report_refusals_in_one_line,
    server_host,
)

from lsinet_monai.errors import InputError


def test_a_port_that_is_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            with pytest.raises(InputError, match=f"port {port} of {host} cannot be used .*--port"):
                check_port(host, port)
    for host in ("127.0.0.1", "0.0.0.0", "localhost"):
        check_port(host, port)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 99999, "port 99999 does not exist: give one from 1 to 65535"),
        ("127.0.0.1", -1, "port -1 does not exist"),
        (
            "192.0.2.7",
            0,
            r"host 192\.0\.2\.7 is not an address of this machine: give --host 127\.0\.0\.1",
        ),
        ("no host", 0, r"host no host is not known \(.*\): give --host 127\.0\.0\.1"),
    ],
)
def test_an_address_that_there_is_not(host, port, said):
    with pytest.raises(InputError, match=said):
        check_port(host, port)


def test_a_file_is_no_folder_of_videos(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match=r"a\.mp4' is a file: give the folder of the videos with --studies"):
        check_writable_folders(tmp_path / "a.mp4", tmp_path / "a.mp4" / "labels")


@pytest.mark.parametrize(
    ("arguments", "host"),
    [(["--host", "127.0.0.1"], "127.0.0.1"), (["-i", "::1", "--port", "80"], "::1"), (["--conf", "a", "b"], "0.0.0.0")],
)
def test_the_address_of_the_command_line(monkeypatch, arguments, host):
    monkeypatch.setattr("sys.argv", ["monailabel", "start_server", "--app", "x", *arguments])
    assert server_host() == host


def test_several_processes_are_refused(monkeypatch):
    for arguments in ([], ["--workers", "1"]):
        monkeypatch.setattr("sys.argv", ["monailabel", "start_server", *arguments])
        check_one_process()
    monkeypatch.setattr("sys.argv", ["monailabel", "start_server", "--workers", "2"])
    with pytest.raises(InputError, match="--workers 2: one process answers all calls of this app: leave it out"):
        check_one_process()
    monkeypatch.setattr("sys.argv", ["monailabel", "start_server"])
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    with pytest.raises(InputError, match="WEB_CONCURRENCY=3: one process"):
        check_one_process()


def test_folders_that_cannot_be_written_to(tmp_path, monkeypatch):
    check_writable_folders(tmp_path, tmp_path / "labels" / "lsinet")
    assert [path.name for path in tmp_path.rglob("*")] == ["labels", "lsinet"]
    (tmp_path / "labels" / "final").touch()
    with pytest.raises(InputError, match=r"'.*final' cannot be written to \(File exists\).*--studies"):
        check_writable_folders(tmp_path, tmp_path / "labels" / "final")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
        check_writable_folders(tmp_path)


def test_a_second_server_is_kept_out_until_the_first_one_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.startup._WAIT", 0.1)
    first = lock_studies(tmp_path, tmp_path)
    with pytest.raises(InputError, match=f"another process serves the videos in studies folder '{tmp_path}': use that"):
        lock_studies(tmp_path, tmp_path)
    first.release()
    lock_studies(tmp_path, tmp_path)


def test_a_start_that_is_refused_takes_one_line(caplog, monkeypatch):
    for hook in ("sys.excepthook", "threading.excepthook"):
        monkeypatch.setattr(hook, lambda *_: None)
    report_refusals_in_one_line()
    report_refusals_in_one_line()
    logger = logging.getLogger("uvicorn.error")
    for error in (InputError("port 80 is in use"), ValueError("a bug")):
        try:
            raise error
        except ValueError:
            logger.error("Traceback\n%s", "of uvicorn")
    assert caplog.messages == ["error: port 80 is in use", "Traceback\nof uvicorn"]
