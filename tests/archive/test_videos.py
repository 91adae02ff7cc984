"""The videos of an archive: folders, patterns, lists and single ones, here and on an object store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.archive.videos import ArchiveVideo, find_videos
from lsinet_monai.errors import InputError

pytest.importorskip("fsspec", reason='fsspec is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Videos of one name in different folders, and what is no video."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a/x.mp4", "in/b/x.mp4", "in/b/y.MKV", "in/.trash/z.mp4", "in/b/._y.mp4", "in/b/notes.md"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())
    return tmp_path


def _names(*inputs: str) -> list[str]:
    return [video.name for video in find_videos(inputs)]


def test_a_folder_keeps_videos_of_one_name_apart_by_their_paths(folder: Path) -> None:
    assert find_videos(["in"]) == [
        ArchiveVideo("a/x.mp4", f"{folder}/in/a/x.mp4", 10),
        ArchiveVideo("b/x.mp4", f"{folder}/in/b/x.mp4", 10),
        ArchiveVideo("b/y.MKV", f"{folder}/in/b/y.MKV", 10),
    ]


def test_patterns_lists_single_videos_and_urls(folder: Path) -> None:
    Path("in/list.txt").write_text(f"b/x.mp4\n{folder}/in/a/x.mp4\n")
    Path("list.txt").write_text("in/../in/a/x.mp4\n")
    assert _names("in/*/x.mp4") == ["a/x.mp4", "b/x.mp4"]
    assert _names("in/**/*.MKV") == ["b/y.MKV"]
    assert _names("in/b/y.MKV") == ["y.MKV"]
    assert _names("in/list.txt") == ["a/x.mp4", "b/x.mp4"]
    assert _names("list.txt") == ["in/a/x.mp4"]
    assert _names(f"file://{folder}/in/b") == ["x.mp4", "y.MKV"]


def test_a_list_names_videos_outside_its_folder_by_their_whole_paths(folder: Path) -> None:
    Path("lists").mkdir()
    Path("lists/all.txt").write_text("../in/a/x.mp4\n")
    assert _names("lists/all.txt") == [f"{folder}/in/a/x.mp4"[1:]]


def test_a_local_path_with_dots_is_the_plain_one(folder: Path) -> None:
    Path("list.txt").write_text(f"{folder}/in/b/../a/x.mp4\n")
    Path("twice.txt").write_text(f"{folder}/in/a/x.mp4\n{folder}/in/b/../a/x.mp4\n")
    plain = [ArchiveVideo("in/a/x.mp4", f"{folder}/in/a/x.mp4", 10)]
    assert find_videos(["list.txt"]) == plain
    assert [video.path for video in find_videos(["in/b/../a"])] == [plain[0].path]
    assert [video.path for video in find_videos([f"{folder}/in/b/../a/*"])] == [plain[0].path]
    with pytest.raises(InputError, match="line 1 and line 2 name the same video"):
        find_videos(["twice.txt"])


def test_no_name_leads_out_of_the_output(folder: Path) -> None:
    """Dots in the name of an object are no way up, so they are not worked out."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.store["/dots/a/../x.mp4"] = fsspec.implementations.memory.MemoryFile(files, "/dots/a/../x.mp4", b"x")
    files.pseudo_dirs += ["/dots", "/dots/a", "/dots/a/.."]
    files.pipe("/dots/list.txt", b"memory://dots/a/../x.mp4\n")
    try:
        with pytest.raises(InputError, match=r"would be called 'a/\.\./x\.mp4', and its results would lie elsewhere"):
            find_videos(["memory://dots/list.txt"])
    finally:
        files.rm("/dots", recursive=True)


def test_links_to_videos_are_videos(folder: Path) -> None:
    """But not those to folders. One to nothing is, so that people see it fail."""
    Path("links").mkdir()
    for name, target in (("x.mp4", "in/a/x.mp4"), ("folder.mp4", "in/a"), ("nothing.mp4", "gone.mp4")):
        Path("links", name).symlink_to(folder / target)
    Path("list.txt").write_text("links/x.mp4\n")
    found = [ArchiveVideo("nothing.mp4", f"{folder}/links/nothing.mp4", 0)]
    found.append(ArchiveVideo("x.mp4", f"{folder}/links/x.mp4", 10))
    assert find_videos(["links"]) == find_videos(["links/*.mp4"]) == found
    assert find_videos(["links/x.mp4"]) == found[1:]
    assert [(video.name, video.size) for video in find_videos(["list.txt"])] == [("links/x.mp4", 10)]


def test_a_link_to_a_folder_is_not_followed_which_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("in/more").symlink_to(folder / "in/b")
    assert _names("in") == ["a/x.mp4", "b/x.mp4", "b/y.MKV"]
    said = f"in: links to folders are not followed (1, such as {folder}/in/more): give these folders as INPUT, too"
    assert said in caplog.text


def test_a_folder_that_cannot_be_listed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = os.walk

    def refuse(root: str, **options: Any) -> Iterator[Any]:
        options["onerror"](PermissionError(13, "Permission denied", f"{folder}/in/b"))
        yield from walk(root)

    monkeypatch.setattr(os, "walk", refuse)
    for text in ("in", "in/**/*.mp4"):
        with pytest.raises(
            InputError, match=r"in/b: cannot be listed \(Permission denied\): make it readable, or leave"
        ):
            find_videos([text])


def test_two_colons_in_a_name_are_no_chain(folder: Path) -> None:
    Path("in/polyp::1.mp4").touch()
    Path("list.txt").write_text("in/polyp::1.mp4\n")
    assert _names("in/polyp::1.mp4") == ["polyp::1.mp4"]
    assert _names("list.txt") == ["in/polyp::1.mp4"]


def test_a_name_that_is_no_text(folder: Path) -> None:
    Path(os.fsdecode(b"in/M\xfcller.mp4")).touch()
    with pytest.raises(InputError, match=r"M\\udcfcller\.mp4': its name is no UTF-8, which the table needs: rename it"):
        find_videos(["in"])


def test_signs_of_patterns_in_the_name_of_a_folder(folder: Path) -> None:
    Path("in/a").rename("in/[a]")
    assert _names("in/[a]") == ["x.mp4"]


BAD_INPUTS = [
    (["nothing"], "nothing: no such folder, video or list"),
    (["in/*.mp4"], r"in/\*\.mp4: no video has such a path"),
    (["empty"], "empty: holds no video, nor do the folders in it"),
    (["tape://a"], "tape://a: Protocol not known: tape; give a path, or a URL that fsspec knows"),
    (["in", "in/a"], "in/a/x.mp4 is named twice, by in and in/a: name each video once"),
    (["in/a", "in/a"], "in/a/x.mp4 is named twice, in in/a: name each video once"),
    (["in/a", "in/b"], r"a/x.mp4 \(of in/a\) and .*b/x.mp4 \(of in/b\) would both be called 'x.mp4'"),
    (["twice.txt"], "twice.txt: line 1 and line 3 name the same video, in/a/x.mp4: remove one of them"),
    (["wrong.txt"], "wrong.txt: line 1: there is no video .*in/c/x.mp4; correct the list"),
    (["odd"], r"odd/result\.json\.mp4 \(of odd\): its folder of results would have the name of a file beside it"),
    (["folder.txt"], "folder.txt: line 1: there is no video .*in/a; correct the list"),
]


@pytest.mark.parametrize(("inputs", "said"), BAD_INPUTS)
def test_bad_inputs_end_in_one_line(folder: Path, inputs: list[str], said: str) -> None:
    Path("empty").mkdir()
    Path("odd").mkdir()
    Path("odd/result.json.mp4").touch()
    Path("twice.txt").write_text("./in/a/x.mp4\n\nin/a/x.mp4\n")
    Path("wrong.txt").write_text("in/c/x.mp4\n")
    Path("folder.txt").write_text("in/a\n")
    with pytest.raises(InputError, match=said) as raised:
        find_videos(inputs)
    assert "\n" not in str(raised.value)


def test_a_video_in_the_place_of_another_ones_results(folder: Path) -> None:
    Path("more/x.mp4").mkdir(parents=True)
    Path("more/x.mp4/y.mp4").touch()
    with pytest.raises(InputError, match="would lie in the folder of its results"):
        find_videos(["in/a", "more"])


@pytest.mark.slow
def test_an_object_store(bucket: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    files = s3fs.S3FileSystem()
    for name in ("2024/a.mp4", "2024/b/c.mp4", "2025/a.mp4", "2025/notes.md"):
        files.pipe(f"{bucket}/{name}", name.encode())
    files.pipe(f"{bucket}/list.txt", f"2024/a.mp4\ns3://{bucket}/2025/a.mp4\n{folder}/in/a/x.mp4\n".encode())
    url = f"s3://{bucket}"
    assert find_videos([f"{url}/2024"]) == [
        ArchiveVideo("a.mp4", f"{url}/2024/a.mp4", 10),
        ArchiveVideo("b/c.mp4", f"{url}/2024/b/c.mp4", 12),
    ]
    assert _names(f"{url}/*/a.mp4") == ["2024/a.mp4", "2025/a.mp4"]
    assert _names(f"{url}/list.txt") == ["2024/a.mp4", "2025/a.mp4", f"{folder}/in/a/x.mp4"[1:]]
    for text, said in (
        (f"{url}/2023", "no such folder, video or list"),
        ("s3://nowhere/a*", "s3://nowhere/a.*: cannot be read|no video has such a path"),
    ):
        with pytest.raises(InputError, match=said):
            find_videos([text])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # no server listens there
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=f"{url}/2024: cannot be read .* check the path, and the right to read it"):
        find_videos([f"{url}/2024"])
    s3fs.S3FileSystem.clear_instance_cache()


def test_videos_that_are_left_out_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("in/c.VOB", "in/b/d.ivf", "in/trail.mp4 "):
        Path(name).write_bytes(b"x")
    assert _names("in") == ["a/x.mp4", "b/x.mp4", "b/y.MKV", "c.VOB"]
    assert "in: left out, because videos of these names are not read: 'b/d.ivf', 'trail.mp4 '; convert" in caplog.text
