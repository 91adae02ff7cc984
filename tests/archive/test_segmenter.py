"""What a worker does with a video."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.segmenter import Segmenter, Settings
from lsinet_monai.archive.table import is_partial
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.archive.watchdog import Watchdog
from lsinet_monai.data import phantom_clip

pytest.importorskip("av", reason='PyAV is missing: pip install ".[archive]"')
pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = [pytest.mark.slow, pytest.mark.required_in_ci]


class _Counting(Watchdog):
    pulses = iterations = 0

    def pulse(self) -> None:
        self.pulses += 1

    def _on_iteration(self, engine: Any) -> None:
        self.iterations += 1
        super()._on_iteration(engine)


Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def folder(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveFolder]:
    (empty_folder / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(empty_folder / "tmp"))
    out = ArchiveFolder(empty_folder / "out")
    with out.claim({}):
        yield out


@pytest.fixture
def video(folder: ArchiveFolder, make_video: Callable[..., ArchiveVideo]) -> ArchiveVideo:
    return make_video(Path("in/x.mp4").absolute(), 6)


def test_results_are_those_of_the_bundles_inference(
    run: Callable[..., Any], model_file: Path, folder: ArchiveFolder, video: ArchiveVideo, contents: Contents
) -> None:
    exports = ("png", "maps", "overlay", "csv", "coco", "cvat", "nifti", "nrrd")
    settings = Settings(str(model_file), threshold=0.45, exports=exports)
    outcome = Segmenter(settings, folder)(video)
    options = {"checkpoint": str(model_file), "threshold": 0.45}
    run("inference", input=video.path, output_dir="alone", exports="parquet,csv,coco,cvat,nifti,nrrd", **options)
    assert outcome.kind == "done", outcome.reason
    expected = contents(Path("alone"))
    assert len(expected) == 6 + 6 + 1 + 7  # masks, maps, an overlay; the exports and the summary
    assert contents(folder.place("x.mp4")) == expected


def test_by_default_a_table_of_masks_and_a_row(settings: Settings, folder: ArchiveFolder, video: ArchiveVideo) -> None:
    row = Segmenter(settings, folder)(video).row
    assert row is not None
    place = folder.place("x.mp4")
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert names == {"x/summary.json", "x/masks.parquet", "result.json", "thumbnail.jpg"}
    assert row["sha256"] == hashlib.sha256(Path(video.path).read_bytes()).hexdigest()
    assert (row["video"], row["frames"], row["seconds"]) == ("x.mp4", 6, pytest.approx(0.2))
    assert 0 <= row["doubt"] <= 1
    assert list(Path("tmp").iterdir()) == []


def test_each_piece_of_work_is_a_sign_of_life(
    settings: Settings, folder: ArchiveFolder, make_video: Callable[..., ArchiveVideo]
) -> None:
    """A piece has 8 frames. The same watchdog sees those of the next video, too."""
    video = make_video(Path("in/x.mp4").absolute(), 30)
    watchdog = _Counting(600)
    segment = Segmenter(settings, folder, watchdog=watchdog)
    assert segment(video).kind == "done" and watchdog.iterations == 4
    assert watchdog.pulses >= 4 + 1 + 2 * 3  # and of its content, and each file, copied and flushed
    assert segment(make_video(Path("in/y.mp4").absolute(), 9)).kind == "done" and watchdog.iterations == 4 + 2


def test_a_video_with_a_damaged_frame_is_done_and_says_so(settings: Settings, folder: ArchiveFolder) -> None:
    """One of the pictures of a stack cannot be decoded."""
    pages = [Image.fromarray(frame) for frame, _ in phantom_clip(5, (64, 80), seed=0)]
    path = Path("in/x.gif").absolute()
    path.parent.mkdir()
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40)
    content = bytearray(path.read_bytes())
    middle = content.index(b"\x2c\0\0\0\0", len(content) // 2)  # where a picture begins
    flags = content[middle + 9]
    palette = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    content[middle + 10 + palette] = 60  # the length of its codes, which are up to 12 bits
    path.write_bytes(content)
    outcome = Segmenter(settings, folder)(ArchiveVideo("x.gif", str(path), len(content)))
    assert outcome.kind == "done" and outcome.row is not None, outcome.reason
    assert outcome.row["frames"] + outcome.row["frames_missing"] == 5 and outcome.row["frames_missing"] > 0
    assert is_partial(outcome.row)


@pytest.mark.parametrize("stem", ["masks", "maps", "overlays"])
@pytest.mark.parametrize("exports", [(), ("png", "maps", "overlay")])
def test_a_video_with_the_name_of_a_folder_of_pictures(
    model_file: Path, folder: ArchiveFolder, make_video: Callable[..., ArchiveVideo], stem: str, exports: tuple[str]
) -> None:
    video = make_video(Path(f"in/{stem}.mp4").absolute(), 3)
    outcome = Segmenter(Settings(str(model_file), exports=exports), folder)(video)
    assert outcome.kind == "done", outcome.reason
    place = folder.place(video.name)
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    expected = {f"{stem}/summary.json", f"{stem}/masks.parquet", "result.json", "thumbnail.jpg"}
    if exports:
        frames = [f"{kind}/{stem}/{number:06}.png" for kind in ("masks", "maps") for number in range(3)]
        expected |= {f"overlays/{stem}.mp4", *frames}
    assert names == expected


def test_a_video_elsewhere_is_copied_here(settings: Settings, folder: ArchiveFolder, video: ArchiveVideo) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/archive/x.mp4", Path(video.path).read_bytes())
    memory.pipe("/archive/y.mp4", b"no video")
    segment = Segmenter(settings, folder)
    outcome = segment(ArchiveVideo("a/x.mp4", "memory://archive/x.mp4", video.size))
    assert outcome.row is not None and outcome.row["frames"] == 6
    failed = segment(ArchiveVideo("a/y.mp4", "memory://archive/y.mp4", 8))
    assert failed.kind == "failed" and failed.reason.startswith("memory://archive/y.mp4: ")
    missing = segment(ArchiveVideo("a/z.mp4", "memory://archive/z.mp4", 8))
    assert missing.kind == "failed" and "memory://archive/z.mp4: cannot be read" in missing.reason


def test_after_each_kind_of_error_nothing_is_left_and_the_next_video_is_done(
    settings: Settings, folder: ArchiveFolder, video: ArchiveVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segmenter(settings, folder)
    broken = Path("in/broken.mp4").absolute()
    broken.write_bytes(b"no video")
    outcome = segment(ArchiveVideo("broken.mp4", str(broken), 8))
    assert outcome.kind == "failed" and outcome.reason.startswith(f"{broken}: cannot be read as a video")

    def fail_with(error: Exception) -> Callable[..., None]:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        return fail

    full = OSError(errno.ENOSPC, "No space left on device", "masks.parquet")
    for place, error, kind, said in (
        ("shutil.copyfile", full, "stop", "thumbnail.jpg (No space left on device): make room"),
        ("PIL.Image.Image.save", full, "stop", "(No space left on device): make room"),
        ("shutil.copyfile", OSError(errno.EROFS, "Read-only file system"), "stop", "thumbnail.jpg (Read-only"),
        ("lsinet_monai.archive.segmenter.describe", ZeroDivisionError("a\nb"), "broken", "ZeroDivisionError: a"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail_with(error))
            outcome = segment(video)
        assert outcome.kind == kind and said in outcome.reason, outcome
        assert not folder.place("x.mp4").exists() and list(Path("tmp").iterdir()) == []
    assert segment(video).kind == "done"


def test_what_killed_workers_left_is_removed(settings: Settings, folder: ArchiveFolder) -> None:
    for name in ("lsinet_archive_dead", "lsinet_archive_alive", "lsinet_archive_new", "other"):
        Path("tmp", name).mkdir()
    Path("tmp/lsinet_archive_dead/.lock").touch()
    with FileLock("tmp/lsinet_archive_alive/.lock"):
        Segmenter(settings, folder)
        assert sorted(path.name for path in Path("tmp").iterdir()) == [
            "lsinet_archive_alive",
            "lsinet_archive_new",
            "other",
        ]
    shutil.rmtree("tmp")


def test_what_must_not_change_in_a_folder(model_file: Path, tmp_path: Path) -> None:
    shutil.copy(model_file, tmp_path / "copy.pt")
    first = Settings(str(model_file), exports=("png", "csv")).recorded()
    assert Settings(str(tmp_path / "copy.pt"), exports=("csv", "png")).recorded() == first
    assert Settings(str(model_file), threshold=0.4, exports=("png", "csv")).recorded() != first
