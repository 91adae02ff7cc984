from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lsinet_monai.errors import InputError
from lsinet_monai.utils.files import atomic_write, check_link, check_writable, read_torch_file, write_torch_file


def test_a_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("one")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_earlier_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("one")
    with pytest.raises(RuntimeError), atomic_write(str(path)) as temporary:
        temporary.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "file.txt"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9" * 127])
def test_the_longest_names_that_there_are(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("one")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("durable", [False, True])
def test_a_durable_file_is_on_disk_before_it_takes_the_others_place(tmp_path: Path, monkeypatch, durable: bool) -> None:
    path, calls = tmp_path / "file.txt", []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append((os.fstat(file).st_size, path.exists())), fsync(file)))
    with atomic_write(path, durable) as temporary:
        temporary.write_text("one")
    assert calls == [(3, False)] * durable and path.read_text() == "one"


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full, to which writing fails as on a full disk")
    for size in (3, 1_000_000):  # PyTorch's writer fails at the end, or before
        (tmp_path / ".weights.pt.tmp").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left") as caught:
            write_torch_file({"weights": torch.ones(size)}, tmp_path / "weights.pt")
        assert caught.value.filename == str(tmp_path / "weights.pt") and not [*tmp_path.iterdir()]


def test_a_file_of_tensors(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"weights": torch.randn(10_000)}, path)
    assert read_torch_file(path)["weights"].shape == (10_000,)
    content = bytearray(path.read_bytes())
    content[20_000:24_096] = bytes(4096)
    path.write_bytes(content)
    torch.load(path, weights_only=True)  # which does not see it
    with pytest.raises(InputError, match=r"^damaged, or another kind of file$"):
        read_torch_file(path)
    torch.save({"weights": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    assert read_torch_file(path)["weights"].sum() == 3
    with pytest.raises(InputError, match=r"^No such file or directory$"):
        read_torch_file(tmp_path / "other.pt")


def test_where_a_file_can_be_written(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    assert check_writable(str(tmp_path / "new" / "folder" / "model.pt"), "model_file").name == "model.pt"
    refused = (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "below" / "model.pt", "file' is a file"),
        (tmp_path / "link" / "model.pt", "link' is a link to nothing"),
    )
    for place, said in refused:
        with pytest.raises(InputError, match=said):
            check_writable(place, "model_file")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"^model_file '.*model\.pt' cannot be written \(no permission\): "):
        check_writable(tmp_path / "new" / "model.pt", "model_file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link", "none"):
        check_link(tmp_path / name)
    (tmp_path / "a").unlink()
    with pytest.raises(InputError, match="link: is a link to a, which is not there: fetch its content"):
        check_link(tmp_path / "link")
