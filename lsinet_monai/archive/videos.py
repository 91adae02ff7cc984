"""The videos of an archive: one that people name, those of a folder, of a pattern, or of a list."""

from __future__ import annotations

import logging
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lsinet_monai.archive.video_lists import LIST_SUFFIXES, read_list
from lsinet_monai.data import has_video_suffix, looks_like_video
from lsinet_monai.data.folders import few
from lsinet_monai.data.video_files import is_named_like_video
from lsinet_monai.errors import InputError
from lsinet_monai.utils.extras import require_extra

__all__ = ["OWN_NAMES", "ROW", "THUMBNAIL", "ArchiveVideo", "find_videos", "is_local", "open_place"]

logger = logging.getLogger(__name__)

_PATTERN = "*?["


ROW, THUMBNAIL = "result.json", "thumbnail.jpg"
OWN_NAMES = (ROW, THUMBNAIL)
"""What the folder of a video has beside the results of inference: its row of the table, and a picture of its most
doubtful frame."""


@dataclass(frozen=True)
class ArchiveVideo:
    """A video of an archive.

    Args:
        name: its path below the folder, pattern or list that it was found by, with ``/``. Its results have this name.
        path: where it lies: an absolute path, or a URL such as ``s3://bucket/a.mp4``.
        size: its size in bytes.
    """

    name: str
    path: str
    size: int


def find_videos(inputs: Sequence[str]) -> list[ArchiveVideo]:
    """Find all videos of an archive. None is opened.

    Args:
        inputs: each is one of the following, as a local path or as a URL that fsspec can read:

            - a folder, searched at any depth for files with :data:`~lsinet_monai.data.VIDEO_SUFFIXES`. Files and
              folders whose names begin with a dot are left out; so are links to folders, which is logged;
            - a pattern with ``*``, ``?``, ``[...]`` or ``**``, which selects among the same files;
            - a list, see :func:`~lsinet_monai.archive.video_lists.read_list`;
            - a video.

    Returns:
        The videos, sorted by name.

    Raises:
        InputError: an input is not there, cannot be read or holds no video; a list names what is not there; a video is
            named twice, or two videos would have the same name; or the results of one would lie outside the output.
    """
    found: dict[str, tuple[ArchiveVideo, str]] = {}
    paths: dict[str, str] = {}
    for text in inputs:
        for video in _find(text):
            if video.path in paths:
                where = f"by {paths[video.path]} and {text}" if paths[video.path] != text else f"in {text}"
                raise InputError(f"{video.path} is named twice, {where}: name each video once")
            if video.name in found:
                other, before = found[video.name]
                raise InputError(
                    f"{other.path} (of {before}) and {video.path} (of {text}) would both be called {video.name!r}: "
                    "give one folder that holds both, or archive them to two outputs"
                )
            paths[video.path] = text
            found[video.name] = video, text
    for name in found:
        # So Python reads bytes that are no UTF-8.
        if any("\ud800" <= sign <= "\udfff" for sign in name + found[name][0].path):
            raise InputError(f"{found[name][0].path!a}: its name is no UTF-8, which the table needs: rename it")
        if PurePosixPath(name).stem in OWN_NAMES:
            raise InputError(
                f"{found[name][0].path} (of {found[name][1]}): its folder of results would have the name of a file "
                f"beside it, {PurePosixPath(name).stem}: rename it, or archive the others by a list"
            )
        if ".." in PurePosixPath(name).parts:
            raise InputError(
                f"{found[name][0].path} (of {found[name][1]}) would be called {name!r}, and its results would lie "
                "elsewhere: give its path without '..'"
            )
        above = next((str(part) for part in PurePosixPath(name).parents if str(part) in found), None)
        if above is not None:
            raise InputError(
                f"{found[above][0].path} is a video, and {found[name][0].path} would lie in the folder of its results: "
                "archive them to two outputs"
            )
    return [video for _, (video, _) in sorted(found.items())]


def open_place(text: str) -> tuple[Any, str]:
    """Find the file system of a path or URL, and the path in it, which for a local one has no ``..``.

    Raises:
        InputError: fsspec is not installed, or does not know the URL's protocol or lacks what it needs for it.
    """
    fsspec = require_extra("fsspec", "archive")
    if "://" not in text:  # fsspec would take "::" in a name for one file in another
        return fsspec.filesystem("file"), posixpath.normpath(os.path.abspath(os.path.expanduser(text)))
    try:
        files, path = fsspec.core.url_to_fs(os.path.expanduser(text))
    except ImportError as error:
        raise InputError(f"{text}: cannot be read without another package ({error})") from error
    except ValueError as error:
        raise InputError(f"{text}: {error}; give a path, or a URL that fsspec knows") from error
    # fsspec leaves an absolute path as it is, so one video could have several.
    return files, posixpath.normpath(path) if is_local(files) else path


def is_local(files: Any) -> bool:
    """Whether a file system of fsspec is that of this machine."""
    return "file" in files.protocol


def _find(text: str) -> list[ArchiveVideo]:
    files, path = open_place(text)
    try:
        found = _find_in(files, path, text)
    except InputError:
        raise
    except Exception as error:  # each file system has errors of its own, from the network too
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise InputError(f"{text}: cannot be read ({reason}); check the path, and the right to read it") from error
    return found


def _find_in(files: Any, path: str, text: str) -> list[ArchiveVideo]:
    if files.isdir(path):
        return _of_folder(files, path, text)
    if files.isfile(path):
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in LIST_SUFFIXES:
            return _of_list(files, path, text)
        return [_video(files, PurePosixPath(path).name, files.info(path))]
    if any(sign in path for sign in _PATTERN):
        return _of_pattern(files, path, text)
    raise InputError(f"{text}: no such folder, video or list; a pattern has * or ? in it")


def _of_folder(files: Any, path: str, text: str) -> list[ArchiveVideo]:
    _check_readable(files, path)
    infos = files.find(path, detail=True).values()
    found = [_video(files, name, info) for name, info in _below(files, path, infos, text) if _is_file(files, info)]
    if linked := [info["name"] for info in infos if info.get("islink") and files.isdir(info["name"])]:
        logger.warning(
            "%s: links to folders are not followed (%d, such as %s): give these folders as INPUT, too, or in a list",
            text, len(linked), linked[0],
        )  # fmt: skip
    if not found:
        raise InputError(
            f"{text}: holds no video, nor do the folders in it. Folders of frames are no archive: give them to "
            "python -m monai.bundle run inference"
        )
    return found


def _of_pattern(files: Any, path: str, text: str) -> list[ArchiveVideo]:
    parts = PurePosixPath(path).parts
    fixed = next(at for at, part in enumerate(parts) if any(sign in part for sign in _PATTERN))
    root = str(PurePosixPath(*parts[:fixed])) if fixed else ""
    if "**" in path:
        _check_readable(files, root)
    elif is_local(files):
        for folder in files.glob(str(PurePosixPath(path).parent)):
            if files.isdir(folder):
                os.scandir(folder).close()  # fsspec would leave out what cannot be listed
    infos = files.glob(path, detail=True).values()
    found = [_video(files, name, info) for name, info in _below(files, root, infos, text) if _is_file(files, info)]
    if not found:
        raise InputError(f"{text}: no video has such a path")
    return found


def _check_readable(files: Any, root: str) -> None:
    """Refuse a folder with one in it that cannot be listed, which fsspec would leave out."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({error.strerror}): make it readable, or leave it out")

    if is_local(files):
        for _, folders, _ in os.walk(root, onerror=refuse):
            # What is left out anyway, and what each Linux disk has for root alone.
            folders[:] = [name for name in folders if not name.startswith(".") and name != "lost+found"]


def _below(files: Any, root: str, infos: Iterable[dict[str, Any]], text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The videos among files, each with its path below a folder; hidden ones are left out, and others logged."""
    unread = []
    for info in infos:
        name = str(PurePosixPath(info["name"]).relative_to(root))
        is_hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if is_hidden:
            continue
        if has_video_suffix(name):
            yield name, info
        elif looks_like_video(Path(info["name"])) if is_local(files) else is_named_like_video(info["name"]):
            unread.append(name)
    if unread:
        logger.warning(
            "%s: left out, because videos of these names are not read: %s; convert them to MP4, or give them a suffix "
            "that says what they are, such as .mp4", text, few(sorted(map(repr, unread))),
        )  # fmt: skip


def _is_file(files: Any, info: dict[str, Any]) -> bool:
    """Whether fsspec's description is that of a file, or of a link to one.

    A link to nothing counts as one: like a damaged video it fails, which people see.
    """
    return info["type"] == "file" or (bool(info.get("islink")) and not files.isdir(info["name"]))


def _of_list(files: Any, path: str, text: str) -> list[ArchiveVideo]:
    """The videos of a list. Those below the list's folder are named by their paths in it, others by whole paths."""
    with files.open(path, "rb") as file:
        lines = read_list(file, text)
    folder = PurePosixPath(path).parent
    places: dict[str, tuple[Any, str, str]] = {}
    for where, given in lines:
        if "://" in given or given.startswith(("/", "~")):
            own_files, own_path = open_place(given)
        else:
            own_files, own_path = files, os.path.normpath(str(folder / given))
        key = own_files.unstrip_protocol(own_path)
        if key in places:
            raise InputError(f"{text}: {places[key][2]} and {where} name the same video, {given}: remove one of them")
        places[key] = own_files, own_path, where

    found = []
    listings = _list_folders((own_files, own_path) for own_files, own_path, _ in places.values())
    for own_files, own_path, where in places.values():
        info = listings[id(own_files), str(PurePosixPath(own_path).parent)].get(own_path)
        if info is None and not is_local(own_files) and own_files.isfile(own_path):
            info = own_files.info(own_path)  # not every store lists its folders
        if info is None or not _is_file(own_files, info):
            raise InputError(f"{text}: {where}: there is no video {own_path}; correct the list, or remove it there")
        pure = PurePosixPath(own_path)
        is_below = own_files is files and pure.is_relative_to(folder)
        name = pure.relative_to(folder) if is_below else pure.relative_to(pure.anchor)
        found.append(_video(own_files, str(name), info))
    return found


def _list_folders(places: Iterable[tuple[Any, str]]) -> dict[tuple[int, str], dict[str, dict[str, Any]]]:
    """List each folder once, because asking an object store for each of many files takes hours."""
    folders: dict[tuple[int, str], Any] = {
        (id(files), str(PurePosixPath(path).parent)): files for files, path in places
    }
    listed: dict[tuple[int, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for (number, folder), files in folders.items():
        if files.isdir(folder):
            listed[number, folder] = {info["name"]: info for info in files.ls(folder, detail=True)}
    return listed


def _video(files: Any, name: str, info: dict[str, Any]) -> ArchiveVideo:
    path = info["name"] if is_local(files) else files.unstrip_protocol(info["name"])
    return ArchiveVideo(name, str(path), int(info["size"] or 0))
