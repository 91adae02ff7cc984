"""Bad input gets one clear line and a non-zero exit, and leaves nothing half-written."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from lsinet_monai.errors import find_input_error
from tests.preloaded import BUNDLE, Preloaded

ROOT = Path(__file__).parents[2]
CLIP = "TrainDataset/Frame/case1_1"
MASKS = "TrainDataset/GT/case1_1"
HELD_OUT = "TestEasyDataset/Unseen/Frame/case4_1"


def _first(folder: Path) -> Path:
    return min(folder.iterdir())


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _no_training_clips(data: Path) -> None:
    shutil.rmtree(data / "TrainDataset")


def _no_test_splits(data: Path) -> None:
    shutil.rmtree(data / "TestEasyDataset")


def _no_cases(data: Path) -> None:
    for case in (data / "TrainDataset" / "Frame").iterdir():
        shutil.rmtree(case)


def _no_masks_of_a_case(data: Path) -> None:
    shutil.rmtree(data / MASKS)


def _no_mask_of_a_frame(data: Path) -> None:
    _first(data / MASKS).unlink()


def _mask_of_another_size(data: Path) -> None:
    Image.new("L", (90, 71)).save(_first(data / MASKS))


def _truncated_frame(data: Path) -> None:
    _truncate(_first(data / CLIP))


def _truncated_test_frame(data: Path) -> None:
    _truncate(_first(data / HELD_OUT))


def _16_bit_frame(data: Path) -> None:
    frame = _first(data / CLIP)
    frame.unlink()
    Image.fromarray(np.zeros((72, 90), np.uint16)).save(frame.with_suffix(".png"))


def _empty_frame(data: Path) -> None:
    _first(data / CLIP).write_bytes(b"")


def _as_png(frame: Path) -> Path:
    with Image.open(frame) as image:
        image.save(frame.with_suffix(".png"))
    frame.unlink()
    return frame.with_suffix(".png")


def _frame_with_a_wrong_checksum(data: Path) -> None:
    frame = _as_png(_first(data / CLIP))
    content = bytearray(frame.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    frame.write_bytes(content)


def _damaged_inside(frame: Path) -> None:
    """Replace a frame by a PNG file with right checksums, whose damage shows only when it is decoded."""
    frame = _as_png(frame)
    content = frame.read_bytes()
    start = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[start - 4 : start])
    body = bytearray(content[start : start + 4 + length])
    body[len(body) // 2 : len(body) // 2 + 200] = bytes(200)
    frame.write_bytes(content[:start] + body + struct.pack(">I", zlib.crc32(body)) + content[start + 4 + length + 4 :])


def _model_of_another_network(path: Path) -> None:
    torch.save(timm.create_model("resnet10t").state_dict(), path)


# Ways to make the model file that a run gets.
CHECKPOINTS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: None,
    "text": lambda path: path.write_text("epoch,loss\n1,0.5\n"),
    "other": _model_of_another_network,
}

# What is done to the data, the verb, its options, and what the error says.
BAD_DATA = [
    (_no_training_clips, "training", {}, ["data/TrainDataset/Frame", "on request", "lsinet_monai phantom data"]),
    (None, "training", {"dataset_dir": "nowhere"}, ["nowhere/TrainDataset", "on request", "phantom nowhere"]),
    (_no_cases, "training", {}, ["data/TrainDataset/Frame", "no case folders"]),
    (_no_masks_of_a_case, "training", {}, ["3 problems", "GT/case1_1", "no such file"]),
    (_no_mask_of_a_frame, "training", {}, ["1 problem ", "GT/case1_1", "no such file"]),
    (_mask_of_another_size, "training", {}, ["GT/case1_1", "71x90", "72x90"]),
    (_truncated_frame, "training", {}, ["Frame/case1_1", "truncated", "replace it"]),
    (_frame_with_a_wrong_checksum, "training", {}, ["Frame/case1_1", "cannot be read as an image", "replace it"]),
    (_empty_frame, "training", {}, ["Frame/case1_1", "is empty"]),
    (_16_bit_frame, "training", {}, ["Frame/case1_1", "more than 8 bits"]),
    (_no_test_splits, "evaluating", {}, ["data: holds no test split", "on request", "phantom data"]),
    (None, "evaluating", {"dataset_dir": "nowhere"}, ["nowhere: holds no test split", "on request"]),
    (_truncated_test_frame, "evaluating", {}, ["Frame/case4_1", "truncated"]),
    (_16_bit_frame, "inference", {}, ["Frame/case1_1", "more than 8 bits"]),
    (_truncated_frame, "inference", {}, ["Frame/case1_1", "truncated"]),
    (None, "inference", {"input": "nowhere"}, ["nowhere: no such folder"]),
    (None, "inference", {"input": "empty"}, ["empty: holds no frames"]),
    (None, "inference", {"input": "."}, ["output_dir 'out'", "lies in the input '.'"]),
    (None, "evaluating", {"output_dir": 20240115}, ["output_dir=20240115", "write ./ before"]),
    (None, "inference", {"output_dir": 20240115}, ["output_dir=20240115", "write ./ before"]),
    (None, "inference", {"checkpoint": 7}, ["checkpoint=7", "write ./ before"]),
    (None, "training", {"output_dir": 20240115}, ["output_dir=20240115", "write ./ before"]),
    (None, "training", {"negative_dir": 7}, ["negative_dir=7", "write ./ before"]),
    (None, "training", {"model_file": 7}, ["model_file=7", "write ./ before"]),
]

# Options that no run accepts, and what the error says in addition to the option's name and value.
BAD_OPTIONS = [
    ("training", {"backbone": "pvt_v9_b1"}, "is not a model of timm"),
    ("training", {"backbone": "vit_tiny_patch16_224"}, "choose one with strides 8, 16 and 32"),
    ("training", {"encoder_weights": "nowhere.pth"}, "is not a file"),
    ("training", {"pretrained": "perhaps"}, "neither true nor false"),
    ("training", {"weighted_bce": 2}, "neither true nor false"),
    ("training", {"overwrite": "yes"}, "neither true nor false"),
    ("training", {"device": "gpu"}, "cannot be used"),
    ("training", {"device": "cuda:99"}, "cannot be used"),
    ("training", {"seed": -1}, "a whole number"),
    ("training", {"batch_size": 0}, "1 or more"),
    ("training", {"batch_size": "four"}, "1 or more"),
    ("training", {"num_workers": -1}, "0 or more"),
    ("training", {"max_epochs": 0}, "1 or more"),
    ("training", {"max_epochs": True}, "1 or more"),
    ("training", {"val_interval": 0}, "1 or more"),
    ("training", {"learning_rate": 0}, "above 0"),
    ("training", {"learning_rate_step": 0}, "1 or more"),
    ("training", {"clip_gradients": 0}, "above 0"),
    ("training", {"resume": "yes"}, "neither true nor false"),
    ("training", {"save_steps": 0}, "1 or more"),
    ("training", {"balance_clips": 1}, "neither true nor false"),
    ("training", {"cache_gb": -1}, "0 or more"),
    ("training", {"read_size": [256, 32]}, "64 or more"),
    ("training", {"negative_share": 1}, "below 1"),
    ("training", {"negative_share": 0.5}, "negative_dir"),
    ("training", {"amp_dtype": "half"}, "bfloat16"),
    ("training", {"amp_dtype": "float16"}, "trains on CUDA only"),
    ("training", {"channels_last": 1}, "neither true nor false"),
    ("training", {"compile": "maybe"}, "neither true nor false"),
    ("training", {"checkpoint": "nowhere.pt"}, "is not a file"),
    ("training", {"drop_path_rate": 1}, "below 1"),
    ("training", {"max_skip": 0}, "1 or more"),
    ("training", {"max_skip": [5, 0]}, "1 or more"),
    ("training", {"max_skip": []}, "1 or more"),
    ("training", {"image_size": 32}, "64 or more"),
    ("training", {"image_size": [64, 64, 64]}, "64 or more"),
    ("training", {"image_size": [64]}, "64 or more"),
    ("training", {"validation_fraction": 1.5}, "below 1"),
    ("evaluating", {"threshold": 2}, "from 0 to 1"),
    ("evaluating", {"memory_interval": 0}, "1 or more"),
    ("evaluating", {"released_maps": "perhaps"}, "neither true nor false"),
    ("evaluating", {"frames_per_second": 0}, "above 0"),
    ("inference", {"adjacent": "sideways"}, "previous"),
    ("inference", {"decode_device": "gpu"}, "give cpu, cuda"),
    ("inference", {"forgetting": "x"}, "usage"),
    ("inference", {"amp_dtype": "int8"}, "bfloat16"),
    ("inference", {"encode_batch": 0}, "encode_batch=0"),
    ("evaluating", {"amp_dtype": "half"}, "float16"),
    ("inference", {"memory_frames": 0}, "1 or more"),
    ("inference", {"piece_frames": 0}, "1 or more"),
    ("inference", {"threshold": "half"}, "from 0 to 1"),
    ("inference", {"image_size": 32}, "64 or more"),
]


def _refused(run: Callable[..., Any], verb: str, options: dict[str, Any]) -> str:
    """Run a verb that must fail, check that it leaves no file, and return the error's text."""
    before = {path for path in Path().rglob("*") if "data" not in path.parts}
    with pytest.raises(Exception) as caught:
        run(verb, **({"output_dir": "out"} | options))
    error = find_input_error(caught.value)
    assert error is not None, caught.value
    assert "\n" not in str(error)
    assert {path for path in Path().rglob("*") if "data" not in path.parts} == before
    return str(error)


def _where(verb: str, data: Path | str, model_file: Path | str) -> dict[str, str]:
    data_key = "input" if verb == "inference" else "dataset_dir"
    model_key = "model_file" if verb == "training" else "checkpoint"
    return {data_key: str(data), model_key: str(model_file)}


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "verb", "options", "said"), BAD_DATA)
def test_bad_data(run, damaged: Path, model_file: Path, damage, verb: str, options, said: list[str]) -> None:
    if damage is not None:
        damage(damaged)
    Path("empty").mkdir()
    model = "model.pt" if verb == "training" else model_file
    message = _refused(run, verb, _where(verb, "data", model) | options)
    assert all(text in message for text in said), message


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "options", "said"), BAD_OPTIONS, ids=lambda value: str(value).strip("{}"))
def test_bad_option(run, phantom: Path, model_file: Path, verb: str, options: dict[str, Any], said: str) -> None:
    ((name, value),) = options.items()
    message = _refused(run, verb, _where(verb, phantom, "model.pt" if verb == "training" else model_file) | options)
    assert all(text in message for text in (name, str(value), said)), message


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["evaluating", "inference"])
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_wrong_checkpoint(run, phantom: Path, verb: str, kind: str) -> None:
    CHECKPOINTS[kind](Path(f"{kind}.pt"))
    assert f"checkpoint='{kind}.pt'" in _refused(run, verb, _where(verb, phantom, f"{kind}.pt"))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["training", "evaluating", "inference"])
def test_folder_with_other_files(run, phantom: Path, model_file: Path, verb: str) -> None:
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    options = _where(verb, phantom, "model.pt" if verb == "training" else model_file)
    message = _refused(run, verb, options)
    assert "output_dir 'out'" in message and "notes.txt" in message and "--overwrite" in message


@pytest.mark.slow
def test_overwrite_takes_a_folder_with_other_files(run, phantom: Path, model_file: Path) -> None:
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    run("evaluating", output_dir="out", overwrite=True, **_where("evaluating", phantom, model_file))
    assert Path("out/scores.json").is_file() and Path("out/notes.txt").read_text() == "mine"


def test_model_file_that_is_a_folder(run, phantom: Path) -> None:
    Path("models").mkdir()
    with pytest.raises(Exception) as caught:
        run("training", output_dir="out", **_where("training", phantom, "models"))
    assert "model_file 'models' is a folder" in str(find_input_error(caught.value))
    assert [path.name for path in Path().iterdir()] == ["models"]


def test_pretrained_weights_that_are_not_to_be_had(run, phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_model = timm.create_model

    def create_offline(name: str, pretrained: bool = False, **options: Any) -> torch.nn.Module:
        if pretrained:
            raise OSError("Network is unreachable\nand more")
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", create_offline)
    message = _refused(run, "training", _where("training", phantom, "model.pt") | {"pretrained": True})
    assert all(text in message for text in ("unreachable", "encoder_weights=FILE", "pretrained=false"))


@pytest.mark.slow
def test_training_stops_in_one_line_at_a_frame_that_cannot_be_decoded(run, damaged: Path) -> None:
    for case in (damaged / "TrainDataset" / "Frame").iterdir():
        _damaged_inside(_first(case))
    with pytest.raises(Exception) as caught:
        run("training", output_dir="out", **_where("training", damaged, "model.pt"))
    error = find_input_error(caught.value)
    assert "cannot be read as an image" in str(error) and "\n" not in str(error)
    assert not Path("model.pt").exists()


@pytest.mark.slow
def test_inference_leaves_whole_files_at_a_frame_that_cannot_be_decoded(run, damaged: Path, model_file: Path) -> None:
    _damaged_inside(_first(damaged / "TrainDataset/Frame/case2_1"))
    clips = str(damaged / "TrainDataset")
    with pytest.raises(Exception) as caught:
        run("inference", output_dir="out", piece_frames=1, **_where("inference", clips, model_file))
    assert "case2_1" in str(find_input_error(caught.value))
    assert [path.name for path in Path("out/overlays").iterdir()] == ["case1_1.mp4"]
    assert [path.parent.name for path in Path("out").rglob("summary.json")] == ["case1_1"]
    assert {path.parent.name for path in Path("out/masks").rglob("*.png")} == {"case1_1"}
    assert not list(Path("out").rglob(".*"))


# Real commands: a verb, its arguments, what is done to the data, and what the last line of standard error says.
COMMANDS = [
    pytest.param("training", "--dataset_dir nowhere --pretrained false", None, "phantom nowhere", id="no data"),
    pytest.param("evaluating", "--dataset_dir data --checkpoint text.pt", None, "checkpoint='text.pt'", id="text"),
    pytest.param("inference", "--input data --checkpoint model.pt --adjacent sideways", None, "sideways", id="option"),
    pytest.param(
        "inference",
        "--input data/TrainDataset --checkpoint model.pt --piece_frames 1",
        lambda data: _damaged_inside(_first(data / CLIP)),
        "cannot be read as an image",
        id="damaged frame, found in inference",
    ),
    pytest.param(
        "training",
        "--dataset_dir data --backbone mobilenetv3_small_100 --pretrained false --image_size 64 --batch_size 2 "
        "--num_workers 1",
        lambda data: [_damaged_inside(_first(case)) for case in (data / "TrainDataset/Frame").iterdir()],
        "cannot be read as an image",
        id="damaged frame, found in training",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "arguments", "damage", "said"), COMMANDS)
def test_command_ends_with_one_line(
    preloaded: Preloaded,
    damaged: Path,
    model_file: Path,
    verb: str,
    arguments: str,
    damage: Callable[[Path], Any] | None,
    said: str,
) -> None:
    if damage is not None:
        damage(damaged)
    Path("text.pt").write_text("no weights")
    shutil.copy(model_file, "model.pt")
    names = ["train", "evaluate"] if verb == "evaluating" else ["train" if verb == "training" else verb]
    configs = [str(ROOT / "bundle" / "configs" / f"{name}.json") for name in names]
    options = ["--output_dir", "out", "--device", "cpu", *arguments.split()]
    options += ["--model_file", "new.pt"] if verb == "training" else []
    result = preloaded.run(BUNDLE, "run", verb, "--config_file", str(configs), *options)
    assert result.returncode == 1
    last = result.stderr.rstrip("\n").rpartition("\n")[2]
    assert last.startswith("error: ") and said in last
    assert "Traceback" not in result.stdout + result.stderr and "terminating" not in result.stdout + result.stderr
    assert not Path("new.pt").exists() and not list(Path().rglob("*.tmp"))
