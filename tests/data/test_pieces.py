from __future__ import annotations

import gc
import logging
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lsinet_monai.data import Clip, ClipPieces, ResumePoint, find_inputs, frames_to_tensor, open_video
from lsinet_monai.errors import InputError

FRAMES = 11
SIZE = (64, 80)


@pytest.fixture
def frames(recipe: ModuleType) -> list[np.ndarray]:
    """Frames with their numbers in a corner."""
    return recipe.clip(FRAMES, SIZE)


@pytest.fixture
def video(tmp_path: Path, recipe: ModuleType, frames: list[np.ndarray]) -> Clip:
    """The frames, losslessly."""
    recipe.write_video(tmp_path / "v.mkv", frames)
    return find_inputs(tmp_path / "v.mkv")[0]


@pytest.fixture
def folder(tmp_path: Path, frames: list[np.ndarray]) -> Clip:
    """The frames as files."""
    (tmp_path / "f").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"f/{index}.png")
    return find_inputs(tmp_path / "f")[0]


def _numbers(piece: dict[str, Any], recipe: ModuleType) -> list[int]:
    return [recipe.number_of(np.asarray(frame)) for frame in piece["frame"]]


@pytest.mark.parametrize("num_workers", [0, 3])
@pytest.mark.parametrize("lookahead", [True, False])
@pytest.mark.parametrize("piece_frames", [1, 4, FRAMES, 50])
def test_pieces_cover_every_frame_once(
    video: Clip, folder: Clip, frames: list[np.ndarray], recipe: ModuleType, piece_frames: int, lookahead: bool,
    num_workers: int,
) -> None:  # fmt: skip
    pieces = list(ClipPieces([video, folder], SIZE, piece_frames, lookahead, num_workers=num_workers))
    small = frames_to_tensor(frames, SIZE)
    for clip_id in ("v", "f"):
        of_clip = [piece for piece in pieces if piece["clip_id"] == [clip_id]]
        assert [piece["is_last"][0] for piece in of_clip] == [False] * (len(of_clip) - 1) + [True]
        assert [number for piece in of_clip for number in _numbers(piece, recipe)] == list(range(FRAMES))
        for piece in of_clip:
            (start,), count = piece["frame_index"], len(piece["frame"])
            assert piece["index"] == list(range(start, start + count)) and piece["frame_count"] == FRAMES
            stop = start + count + (lookahead and not piece["is_last"][0])
            assert torch.equal(piece["image"], small[None, :, start:stop])
    assert pieces[0]["seconds"][0] == 0 and pieces[0]["fps"] == pytest.approx(30)
    assert pieces[-1]["seconds"][0] is None and pieces[-1]["fps"] is None


@pytest.fixture
def labelled(folder: Clip, tmp_path: Path) -> Clip:
    """The folder with masks: of frame n, the first n rows."""
    masks = []
    for index in range(FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[:index] = 255
        masks.append(str(tmp_path / f"{index}_mask.png"))
        Image.fromarray(mask).save(masks[-1])
    return replace(folder, label=masks)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_labels_go_with_their_frames(labelled: Clip, num_workers: int) -> None:
    pieces = list(ClipPieces([labelled], 32, piece_frames=4, num_workers=num_workers))
    labels = torch.cat([piece["label"] for piece in pieces], dim=2)
    assert labels.dtype == torch.uint8 and labels.shape == (1, 1, FRAMES, *SIZE)
    assert labels.sum((0, 1, 3, 4)).tolist() == [SIZE[1] * index for index in range(FRAMES)]


def test_a_negative_clip_has_black_labels(folder: Clip) -> None:
    (piece,) = ClipPieces([replace(folder, negative=True)], 32, 50)
    assert piece["label"].shape == (1, 1, FRAMES, *SIZE) and not piece["label"].any()


def test_a_clip_without_labels_has_none(folder: Clip, video: Clip) -> None:
    assert all("label" not in piece for piece in ClipPieces([folder, video], 32, 50))


@pytest.mark.parametrize(("piece_frames", "done", "pieces"), [(4, 0, 3), (11, 0, 1), (4, 3, 2), (50, 0, 1)])
def test_the_number_of_pieces_is_known_for_folders(folder: Clip, piece_frames: int, done: int, pieces: int) -> None:
    clip = replace(folder, resume=ResumePoint(done, done))
    dataset = ClipPieces([clip], 32, piece_frames)
    assert len(DataLoader(dataset, batch_size=None)) == len(list(dataset)) == pieces


@pytest.mark.parametrize("names", [[], ["video"], ["folder", "video"]])
def test_the_number_of_pieces_is_not_known_otherwise(request: pytest.FixtureRequest, names: list[str]) -> None:
    with pytest.raises(TypeError):
        len(ClipPieces([request.getfixturevalue(name) for name in names], 32))


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_a_clip_is_resumed(request: pytest.FixtureRequest, recipe: ModuleType, kind: str) -> None:
    # Of the six frames before, one was damaged.
    clip = replace(request.getfixturevalue(kind), resume=ResumePoint(frames_done=5, next_index=6))
    pieces = list(ClipPieces([clip], SIZE, 4))
    assert [piece["frame_index"] for piece in pieces] == [[5], [9]]
    assert [number for piece in pieces for number in _numbers(piece, recipe)] == [6, 7, 8, 9, 10]


def test_through_a_data_loader(video: Clip) -> None:
    piece = next(iter(DataLoader(ClipPieces([video], 32, 4), batch_size=None)))
    assert piece["image"].shape == (1, 3, 5, 32, 32) and piece["image"].dtype == torch.float32
    assert (piece["clip_id"], piece["is_last"], piece["index"]) == (["v"], [False], [0, 1, 2, 3])


def test_frames_for_a_gpu_are_resized_there(video: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def frames_to_tensor(frames: list[np.ndarray], image_size: tuple[int, int], device: torch.device) -> torch.Tensor:
        given.append(([frame.shape for frame in frames], image_size, device))
        return torch.zeros(3, len(frames), *image_size)

    monkeypatch.setattr("lsinet_monai.data.pieces.frames_to_tensor", frames_to_tensor)
    pieces = list(ClipPieces([video], 32, 50, device="cuda:1"))
    shapes = [frame.shape for frame in pieces[0]["frame"]]
    assert given == [(shapes, (32, 32), torch.device("cuda:1"))] and shapes[0] != (32, 32, 3)


def test_damaged_frames_are_left_out(tmp_path: Path, recipe: ModuleType, frames: list[np.ndarray]) -> None:
    path = tmp_path / "damaged.avi"
    recipe.write_video(path, frames, "mjpeg", "yuvj444p", options={"qscale": "2"})
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    path.write_bytes(content)
    with open_video(path) as video:
        intact = [index for index, _, _ in video]
    assert 0 < len(intact) < FRAMES
    pieces = list(ClipPieces(find_inputs(path), SIZE, 3))
    assert [index for piece in pieces for index in piece["index"]] == intact
    assert [piece["frame_index"] for piece in pieces] == [[start] for start in range(0, len(intact), 3)]


def test_a_video_that_cannot_be_read_is_skipped(tmp_path: Path, video: Clip, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty.mp4").touch()
    pieces = ClipPieces([*find_inputs(tmp_path / "empty.mp4"), video], SIZE, 50)
    with caplog.at_level(logging.WARNING):
        assert [piece["clip_id"] for piece in pieces] == [["v"]]
    assert list(pieces.failed) == ["empty"] and "empty.mp4: is empty" in pieces.failed["empty"]
    (record,) = caplog.records
    assert record.getMessage() == f"skipped: {pieces.failed['empty']}"
    pieces.clips = [video]
    assert len(list(pieces)) == 1 and not pieces.failed


def test_a_frame_of_a_folder_that_cannot_be_read_is_an_error(folder: Clip) -> None:
    Path(folder.image[7]).write_bytes(b"")
    found = []
    with pytest.raises(InputError, match=r"7\.png: is empty"):
        found.extend(piece["frame_index"][0] for piece in ClipPieces([folder], SIZE, 2))
    assert found == [0, 2, 4]


def test_the_field_is_cut_out(tmp_path: Path, recipe: ModuleType, frames: list[np.ndarray]) -> None:
    bordered = np.zeros((FRAMES, 96, 128, 3), np.uint8)
    bordered[:, 16:80, 30:110] = np.maximum(frames, 60)
    recipe.write_video(tmp_path / "b.mkv", list(bordered))
    clips = find_inputs(tmp_path / "b.mkv")
    (whole,) = ClipPieces(clips, SIZE, 50)
    (cut,) = ClipPieces(clips, SIZE, 50, crop_field=True)
    assert whole["field"].box == cut["field"].box == (16, 30, 80, 110)
    assert not whole["is_cropped"] and cut["is_cropped"]
    assert np.array_equal(cut["frame"][0], bordered[0])  # frames are not cropped
    assert torch.equal(cut["image"][0], frames_to_tensor(list(bordered[:, 16:80, 30:110]), SIZE))


def test_no_more_than_a_few_pieces_are_read_ahead(folder: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    from lsinet_monai.data import pieces as module

    read, read_frame = [], module.read_frame
    monkeypatch.setattr(module, "read_frame", lambda path: (read.append(path), read_frame(path))[1])
    before = threading.active_count()
    pieces = iter(ClipPieces([folder], SIZE, 1, lookahead=False))
    next(pieces)
    # One piece is taken, one waits, one is being made, each with the frame after it.
    assert len(read) <= 5
    del pieces
    gc.collect()
    assert threading.active_count() == before


@pytest.mark.parametrize("piece_frames", [0, -1])
def test_pieces_have_a_frame(piece_frames: int) -> None:
    with pytest.raises(InputError, match=f"^piece_frames={piece_frames} must be a whole number of 1 or more$"):
        ClipPieces([], SIZE, piece_frames)
