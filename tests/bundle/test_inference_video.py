"""Inference over videos of every kind: outputs, damage, resuming after a kill, several ranks, and privacy."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import find_field_of_view, find_inputs, open_video, phantom_clip
from lsinet_monai.errors import find_input_error
from lsinet_monai.formats import ClipInfo, read_labels
from tests.preloaded import BUNDLE, Preloaded

CONFIGS = Path(__file__).parents[2] / "bundle" / "configs"
EXPLICIT = "1.2.840.10008.1.2.1"
SIZE = (64, 80)

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    return [frame for frame, _ in phantom_clip(12, SIZE, seed=3)]


@pytest.fixture
def videos(recipe: ModuleType, clip: list[np.ndarray], empty_folder: Path) -> Path:
    """The folder ``videos``: one clip as a lossless video, as a DICOM file without a suffix, and as frames."""
    frames = Path("videos/b/frames")
    frames.mkdir(parents=True)
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(frames / f"{index}.png")
    recipe.write_video(Path("videos/a10.mkv"), clip)
    shape = {"NumberOfFrames": len(clip), "Rows": SIZE[0], "Columns": SIZE[1], "FrameTime": "40"}
    recipe.write_dicom(Path("videos/a9"), np.stack(clip).tobytes(), EXPLICIT, **shape)
    Path("videos/notes.txt").write_text("not a video")
    return Path("videos")


def _maps(folder: str, names: list[str]) -> np.ndarray:
    return np.stack([np.array(Image.open(f"out/maps/{folder}/{name}.png")) for name in names])


def _contents(folder: Path | str) -> dict[str, bytes]:
    """The content of each file; of overlays, whose bytes depend on when a run was stopped, the number of frames."""
    contents = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix == ".mp4":
            with open_video(path) as video:
                contents[str(path.relative_to(folder))] = bytes([len(list(video))])
        elif path.is_file():
            contents[str(path.relative_to(folder))] = path.read_bytes()
    return contents


def _arguments(*options: str, configs: tuple[str, ...] = ("inference",)) -> list[str]:
    files = str([str(CONFIGS / f"{name}.json") for name in configs])
    return ["run", "inference", "--config_file", files, "--device", "cpu", *options]


def _share(preloaded: Preloaded, *options: str) -> list[subprocess.CompletedProcess[str]]:
    """Run an inference in two ranks."""
    return preloaded.run_ranks(2, BUNDLE, *_arguments(*options, configs=("inference", "multi_gpu_inference")))


@pytest.mark.slow
def test_every_kind_of_input_at_once(run: Run, videos: Path, clip: list[np.ndarray], model_file: Path) -> None:
    assert [x["clip_id"] for x in find_inputs(videos)] == ["a9", "a10", "b/frames"]
    run("inference", input=str(videos), checkpoint=str(model_file), output_dir="out")
    numbers = [f"{index:06d}" for index in range(len(clip))]
    from_frames = _maps("b/frames", [str(index) for index in range(len(clip))])
    inside = find_field_of_view(clip).mask
    for name in ("a9", "a10"):
        # A folder's frames are used whole; for a video, the field of view is searched.
        assert np.array_equal(_maps(name, numbers), np.where(inside, from_frames, 0)), name
        with open_video(f"out/overlays/{name}.mp4") as overlay:
            assert len(overlay) == len(clip)
    summary = json.loads(Path("out/a9/summary.json").read_text())
    assert summary["reading"] == {
        "frames_expected": 12, "ends_early": False, "frames_read": 12, "frames_skipped": [],
    }  # fmt: skip
    assert [frame["seconds"] for frame in summary["frames"]] == pytest.approx([0.04 * index for index in range(12)])


# the key of the exports, and the keys of earlier versions
EXPORTS = [
    {"exports": ["csv", "coco", "cvat", "nrrd"]},
    {"write_csv": True, "write_coco": "true", "write_cvat": True, "write_stack": "nrrd"},
]


@pytest.mark.slow
@pytest.mark.parametrize("exports", EXPORTS, ids=["exports", "earlier keys"])
def test_one_file_and_all_exports(
    run: Run, videos: Path, clip: list[np.ndarray], model_file: Path, exports: dict[str, Any]
) -> None:
    run(
        "inference",
        input=str(videos / "a10.mkv"),
        checkpoint=str(model_file),
        output_dir="out",
        threshold=0.3,
        frames="2:6",
        with_images="true",
        write_overlay="false",
        **exports,
    )
    files = {path.name for path in Path("out/a10").iterdir()}
    assert files == {"summary.json", "frames.csv", "coco.json", "cvat.xml", "masks.nrrd", "images.nrrd"}
    assert not Path("out/overlays").exists()
    info = ClipInfo("a10", SIZE, len(clip))
    masks = read_labels("out/masks/a10", info)
    for name in ("coco.json", "masks.nrrd"):
        labels = read_labels(f"out/a10/{name}", info)
        frames = range(2, 6) if name == "masks.nrrd" else range(12)
        for index in frames:
            found = labels.mask(index) if index in labels else np.zeros(SIZE, bool)
            assert np.array_equal(found, masks.mask(index)), (name, index)


@pytest.mark.slow
def test_a_stack_without_room_is_reported_before_the_run(
    run: Run, videos: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsinet_monai.formats.stack.LARGEST_STACK", SIZE[0] * SIZE[1] * 11)
    Path("videos/0_damaged.mp4").touch()
    options = {"input": str(videos), "checkpoint": str(model_file), "output_dir": "out", "exports": "nifti"}
    with pytest.raises(RuntimeError, match="Failed to instantiate") as caught:
        run("inference", **options)
    assert "a stack of 12 frames of 'a9' does not fit" in str(find_input_error(caught.value))
    assert not Path("out").exists()


@pytest.mark.slow
def test_crop_field(run: Run, recipe: ModuleType, model_file: Path) -> None:
    bordered = []
    for frame, _ in phantom_clip(6, SIZE, seed=3):
        picture = np.zeros((96, 128, 3), np.uint8)
        picture[16:80, 30:110] = np.maximum(frame, 60)
        bordered.append(picture)
    recipe.write_video(Path("bordered.mkv"), bordered)
    recipe.write_video(Path("cropped.mkv"), [frame[16:80, 30:110] for frame in bordered])
    for name in ("bordered", "cropped"):
        run("inference", input=f"{name}.mkv", checkpoint=str(model_file), output_dir=name, crop_field=True)
    for index in range(6):
        whole = np.array(Image.open(f"bordered/maps/bordered/{index:06d}.png"))
        alone = np.array(Image.open(f"cropped/maps/cropped/{index:06d}.png"))
        assert np.array_equal(whole[16:80, 30:110], alone)
        whole[16:80, 30:110] = 0
        assert not whole.any()


@pytest.mark.slow
def test_damaged_videos_are_reported_and_the_others_are_done(
    run: Run, recipe: ModuleType, clip: list[np.ndarray], model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path("videos").mkdir()
    Path("videos/1_empty.mp4").touch()
    Path("videos/2_text.avi").write_text("no video")
    recipe.write_video(Path("videos/3_cut.avi"), clip, "mjpeg", "yuvj444p", options={"qscale": "2"})
    cut = Path("videos/3_cut.avi").read_bytes()
    Path("videos/3_cut.avi").write_bytes(cut[: len(cut) * 6 // 10])
    recipe.write_video(Path("videos/4_good.mkv"), clip)
    with caplog.at_level(logging.WARNING, "lsinet_monai"), pytest.raises(Exception) as caught:
        run("inference", input="videos", checkpoint=str(model_file), output_dir="out")
    message = str(find_input_error(caught.value))
    assert all(text in message for text in ("2 videos", "1_empty.mp4", "2_text.avi")) and "\n" not in message
    assert not Path("out/1_empty").exists() and not Path("out/2_text").exists()
    reading = json.loads(Path("out/3_cut/summary.json").read_text())["reading"]
    assert reading["ends_early"] and 0 < reading["frames_read"] < reading["frames_expected"] == 12
    assert len(list(Path("out/masks/4_good").iterdir())) == 12
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("lsinet_monai")]
    assert len(lines) == 3 and all(any(name in line for line in lines) for name in ("1_empty", "2_text", "3_cut"))


@pytest.mark.slow
def test_nothing_of_a_patient_comes_out(
    run: Run, recipe: ModuleType, clip: list[np.ndarray], model_file: Path, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    marked = {
        name: "SECRET"
        for name in (
            "PatientName",
            "PatientID",
            "PatientComments",
            "StudyDescription",
            "InstitutionName",
            "OperatorsName",
        )
    }
    shape = {"NumberOfFrames": len(clip), "Rows": SIZE[0], "Columns": SIZE[1]}
    Path("videos").mkdir()
    for form in recipe.DICOM_FORMS:
        recipe.write_dicom_video(Path(f"videos/{form}.dcm"), form, clip, **marked)
    recipe.write_dicom(Path("videos/broken.dcm"), np.stack(clip).tobytes(), EXPLICIT, NumberOfFrames=12, **marked)
    recipe.write_dicom(Path("videos/strange.dcm"), b"\0" * 8, "1.2.3.4", **shape, **marked)
    assert all(b"SECRET" in path.read_bytes() for path in Path("videos").iterdir())
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:
        run(
            "inference", input="videos", checkpoint=str(model_file), output_dir="out",
            exports=["csv", "coco", "cvat", "nifti"], with_images=True, save_frames=4,
        )  # fmt: skip
    output = "".join(capfd.readouterr()) + caplog.text + str(caught.value) + str(find_input_error(caught.value))
    assert "broken.dcm" in output and "strange.dcm" in output
    names = [str(path) for path in Path("out").rglob("*")]
    contents = [path.read_bytes() for path in Path("out").rglob("*") if path.is_file()]
    contents += [gzip.decompress(content) for content in contents if content.startswith(b"\x1f\x8b")]
    assert all(Path(f"out/{form}/images.nii.gz").is_file() for form in recipe.DICOM_FORMS)
    for text in ("SECRET", "19500102"):  # the latter is the date of birth
        assert text not in output and not any(text in name for name in names)
        assert not any(text.encode() in content for content in contents), text


@pytest.mark.slow
@pytest.mark.parametrize("adjacent", ["next", "previous"])
def test_a_resumed_run_gives_what_an_uninterrupted_one_gives(
    run: Run, videos: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch, adjacent: str
) -> None:
    options = {
        "input": str(videos), "checkpoint": str(model_file), "adjacent": adjacent, "piece_frames": 2, "save_frames": 4,
        "memory_interval": 2, "memory_frames": 3, "exports": ["csv"],
    }  # fmt: skip
    run("inference", output_dir="whole", **options)

    from lsinet_monai.writers import ClipWriter

    write = ClipWriter.write
    written = []

    def stop_in_the_second_video(writer: ClipWriter, *arguments: Any) -> None:
        if len(written) == 12 + 7:
            raise MemoryError
        written.append(arguments)
        write(writer, *arguments)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="Failed to evaluate"):
        patch.setattr(ClipWriter, "write", stop_in_the_second_video)
        run("inference", output_dir="out", **options)
    assert torch.load("out/a10/.unfinished/state.pt", weights_only=True)["frames"] == 4

    unread = []
    with monkeypatch.context() as patch:
        patch.setattr(
            ClipWriter, "write", lambda writer, *x: (unread.append((writer.clip_id, x[0])), write(writer, *x))
        )
        run("inference", output_dir="out", resume="true", **options)
    assert unread[0] == ("a10", "000004") and len(unread) == 8 + 12
    assert _contents("out") == _contents("whole")
    run("inference", output_dir="out", resume="true", **options)
    assert _contents("out") == _contents("whole")


@pytest.mark.slow
def test_a_run_with_other_settings_is_not_resumed(
    run: Run, videos: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"input": str(videos / "a10.mkv"), "checkpoint": str(model_file), "output_dir": "out"}
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="Failed to evaluate"):
        patch.setattr("lsinet_monai.handlers.clip_results_saver.ClipResultsSaver._finish", lambda *_: 1 / 0)
        run("inference", piece_frames=4, save_frames=4, **options)
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        run("inference", piece_frames=4, threshold=0.7, resume=True, **options)
    assert "begun with threshold=0.5, and this run has 0.7" in str(find_input_error(caught.value))


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_the_run_can_be_resumed(
    run: Run, videos: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"input": str(videos / "a10.mkv"), "checkpoint": str(model_file), "piece_frames": 4, "save_frames": 4}
    run("inference", output_dir="whole", **options)

    from lsinet_monai.writers import ClipWriter

    write = ClipWriter.write

    def fill(writer: ClipWriter, name: str, *arguments: Any) -> None:
        if name == "000006":
            patch.setattr("lsinet_monai.writers.overlays.Mp4Overlay.finish", lambda *_: 1 / 0)  # no room either
            raise OSError(errno.ENOSPC, "No space left on device", "6.png")
        write(writer, name, *arguments)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        patch.setattr(ClipWriter, "write", fill)
        run("inference", output_dir="out", **options)
    said = str(find_input_error(caught.value))
    assert said == "cannot write 6.png (No space left on device): make room, then resume with --resume true"
    run("inference", output_dir="out", resume=True, **options)
    assert _contents("out") == _contents("whole")


@pytest.mark.slow
def test_a_clip_whose_state_cannot_be_read_starts_again(
    run: Run, videos: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"input": str(videos / "a10.mkv"), "checkpoint": str(model_file), "piece_frames": 4, "save_frames": 4}
    run("inference", output_dir="whole", **options)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="Failed to evaluate"):
        patch.setattr("lsinet_monai.handlers.clip_results_saver.ClipResultsSaver._finish", lambda *_: 1 / 0)
        run("inference", output_dir="out", **options)
    Path("out/a10/.unfinished/state.pt").write_bytes(b"")  # as a power cut may leave it
    run("inference", output_dir="out", resume=True, **options)
    assert "state.pt' cannot be read (damaged, or another kind of file): the clip starts again" in caplog.text
    assert _contents("out") == _contents("whole")


# Runs the bundle's command, and kills it when it is about to write the 60th frame.
KILLED = """
import os, runpy, signal, sys
from lsinet_monai.writers import ClipWriter

write, count = ClipWriter.write, 0

def write_or_die(*arguments):
    global count
    count += 1
    if count == 60:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)

ClipWriter.write = write_or_die
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_killed_run_is_resumed(preloaded: Preloaded, recipe: ModuleType, model_file: Path) -> None:
    Path("videos").mkdir()
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        recipe.write_video(Path(f"videos/{name}.mkv"), [frame for frame, _ in phantom_clip(40, SIZE, seed=seed)])
    arguments = _arguments("--input", "videos", "--checkpoint", str(model_file), "--exports", "csv,coco")
    arguments += ["--piece_frames", "2", "--save_frames", "6"]
    assert preloaded.run(BUNDLE, *arguments, "--output_dir", "whole").returncode == 0
    assert preloaded.run(KILLED, *arguments, "--output_dir", "out").returncode == -signal.SIGKILL
    assert Path("out/a/summary.json").exists() and not Path("out/b/summary.json").exists()
    result = preloaded.run(BUNDLE, *arguments, "--output_dir", "out", "--resume", "true")
    assert result.returncode == 0, result.stderr
    assert "b resumes after" in result.stdout and "1 of 3 clips are complete" in result.stdout
    assert "wrote 2 clips, 80 frames, " in (last := result.stdout.splitlines()[-1]) and "look at out/overlays" in last
    assert "frame/s" in result.stderr and "b: " in result.stderr and "a: " not in result.stderr
    assert _contents("out") == _contents("whole")


@pytest.mark.slow
def test_two_ranks_do_what_one_does(preloaded: Preloaded, recipe: ModuleType, model_file: Path) -> None:
    Path("videos").mkdir()
    for name, frames in (("long", 30), ("middle", 18), ("short", 12)):
        recipe.write_video(Path(f"videos/{name}.mkv"), [frame for frame, _ in phantom_clip(frames, SIZE, seed=frames)])
    options = ["--input", "videos", "--checkpoint", str(model_file), "--exports", "csv"]
    assert preloaded.run(BUNDLE, *_arguments(*options, "--output_dir", "one")).returncode == 0
    ranks = _share(preloaded, *options, "--output_dir", "two")
    for rank in ranks:
        assert rank.returncode == 0, rank.stderr
    assert re.findall(r"wrote .*,", "".join(rank.stdout for rank in ranks)) == ["wrote 3 clips, 60 frames,"]
    assert _contents("two") == _contents("one")

    Path("videos/empty.mp4").touch()
    ranks = _share(preloaded, *options, "--output_dir", "three")
    assert any(rank.returncode != 0 for rank in ranks)
    assert "".join(rank.stderr for rank in ranks).count("error: videos/empty.mp4: is empty") == 1
    assert _contents("three") == _contents("one")


@pytest.mark.slow
@pytest.mark.parametrize("failure", ["one rank", "all ranks"])
def test_an_error_ends_all_ranks(preloaded: Preloaded, model_file: Path, failure: str) -> None:
    for name, frames in (("a", 12), ("b", 8)):
        Path("clips", name).mkdir(parents=True)
        for index, (frame, _) in enumerate(phantom_clip(frames, SIZE, seed=1)):
            Image.fromarray(frame).save(f"clips/{name}/{index}.png")
    broken = bytearray(Path("clips/b/4.png").read_bytes())
    middle = len(broken) // 2
    broken[middle : middle + 200] = bytes(200)
    Path("clips/b/4.png").write_bytes(broken)
    options = ["--input", "clips" if failure == "one rank" else "nowhere", "--checkpoint", str(model_file)]
    options += ["--output_dir", "out"]
    if failure == "one rank":  # torchrun ends the other one
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "monai.bundle"]
        command += _arguments(*options, configs=("inference", "multi_gpu_inference"))
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        results = [subprocess.run(command, env=environment, capture_output=True, text=True)]
    else:
        results = _share(preloaded, *options)
    assert all(result.returncode != 0 for result in results)
    (said,) = re.findall(r"error: (.*)", "".join(result.stderr for result in results))
    assert ("clips/b/4.png" if failure == "one rank" else "nowhere") in said
