"""The benchmarks' options for GPUs, as far as a machine without one can run them."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from lsinet_monai.networks import LSINet, save_model

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script of ``benchmarks/`` as Python finds it there."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def _rows(printed: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]


def _training(seconds: float) -> Any:
    return argparse.Namespace(
        device="cpu", seconds=seconds, steps=1, backbone="mobilenetv3_small_050", image_size=64, batch_size=1
    )


@pytest.mark.slow
def test_frames(
    benchmark: Any, small_network: LSINet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    gpu_frames: ModuleType = benchmark("gpu_frames")
    monkeypatch.setattr(gpu_frames, "TIMED_FRAMES", 2)
    monkeypatch.setattr(gpu_frames, "MEMORY", 2)
    ways = {name: gpu_frames.WAYS[name] for name in ("bfloat16, look-ahead 1", "float32, look-ahead 8")}
    monkeypatch.setattr(gpu_frames, "WAYS", ways)
    model = tmp_path / "small.pt"
    save_model(small_network, model, 64)
    gpu_frames.measure_gpu(CPU, "mobilenetv3_small_050", 64, [model], 1000, 6)
    rows = _rows(capsys.readouterr().out)
    names = ["mobilenetv3_small_050", "small.pt"]
    timed = [row for row in rows if row[1].startswith(("captured, ", "eager, ", "released "))]
    assert [row[:2] for row in timed] == [
        *([name, f"captured, {way}"] for name in names for way in ways),
        ["mobilenetv3_small_050", "released procedure, float32"],
        *([name, f"eager, {way}"] for name in names for way in ways),
    ]
    assert all(0 < float(row[2]) <= float(row[3]) and 0 <= float(row[6]) <= float(row[7]) for row in timed)
    agreement = {(row[0], row[1]): row[2:] for row in rows if row[1] in ways}
    for name in names:  # Nothing is captured on a CPU. In half precision the engines differ there.
        assert agreement[name, "float32, look-ahead 8"][::2] == ["0.0e+00", "0.0e+00"]
    dice = [row for row in rows if row[0] in ("small.pt, bfloat16", "small.pt, float16")]
    assert len(dice) == 2 and all(float(row[1]) > 0.9 and row[3] == "6" for row in dice)


def test_no_row_begins_when_the_time_is_over(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("gpu_frames").measure_gpu(CPU, "mobilenetv3_small_050", 64, [], 0, 6)
    rows = [row for row in _rows(capsys.readouterr().out) if row[0] == "mobilenetv3_small_050"]
    assert len(rows) == 14 and all("no time left" in row for row in rows)


def test_percentiles(benchmark: Any) -> None:
    timing = benchmark("gpu_frames").Timing(0, 0, [float(i) for i in range(200)])
    assert (timing.percentile(50), timing.percentile(99)) == (100, 198)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("script", ["video_inference", "file_to_masks", "deform_conv", "training"])
def test_no_gpu_is_one_line(benchmark: Any, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--device", "cuda"])
    with pytest.raises(SystemExit, match=r"^error: PyTorch cannot use --device cuda: [^\n]+$"):
        benchmark(script).main()


def test_a_training_that_has_no_time(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = benchmark("training")
    monkeypatch.setitem(training.WAYS_BY_DEVICE, "cpu", ("released", "ours"))
    training.compare_ways_on_gpu(_training(seconds=0))
    assert capsys.readouterr().out.endswith("no time left for released, ours: give more --seconds\n")


@pytest.mark.slow
def test_training(benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    training = benchmark("training")
    monkeypatch.setitem(training.WAYS_BY_DEVICE, "cpu", ("released", "ours"))
    training.compare_ways_on_gpu(_training(seconds=1000))
    *_, released, ours = (line.split() for line in capsys.readouterr().out.splitlines())
    assert released[0] == "released" and released[3] == "1.00"
    assert ours[0] == "ours" and all(float(value) > 0 for value in ours[1:])


def test_rows_of_the_operator(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deform_conv = benchmark("deform_conv")
    monkeypatch.setattr(deform_conv, "SIZES", [(8, 4, 1)])
    monkeypatch.setattr(sys, "argv", ["deform_conv", "--seconds", "0.01"])
    deform_conv.main()
    (row,) = (row for row in _rows(capsys.readouterr().out) if row[0] == "8 -> 8")
    assert len(row) == 10 and row[:4] == ["8 -> 8", "4x4", "1", "float32"]


@pytest.mark.slow
def test_a_file_to_masks(
    benchmark: Any, small_network: LSINet, empty_folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file_to_masks = benchmark("file_to_masks")
    monkeypatch.setattr(benchmark("video_io"), "HEIGHT", 256)
    monkeypatch.setattr(benchmark("video_io"), "WIDTH", 320)
    monkeypatch.setattr(file_to_masks, "STAGE_FRAMES", 8)
    model = empty_folder / "small.pt"
    save_model(small_network, model, 64)
    file_to_masks.measure(CPU, "mobilenetv3_small_050", 64, [model], 6, 3, None, 4, "cpu")
    rows = _rows(capsys.readouterr().out)
    runs = [row for row in rows if row[0] in ("mobilenetv3_small_050", "small.pt")]
    assert len(runs) == 2 and all(float(row[1]) > 0 and float(row[2]) < float(row[3]) for row in runs)
    *stages, whole = rows[-6:]
    assert [float(row[1]) > 0 for row in stages] == [True] * 5
    assert float(whole[1]) == pytest.approx(1000 / float(runs[0][1]), rel=0.02)


def test_make_gpu_check_installs_nothing() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "gpu-check", "ACTIVE=python"]
    first, *lines, last = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert first.startswith("failed=0") and last.strip() == "exit $failed"
    step = r"\s*timeout (\d+) \S*python\S* (?:-m pytest|benchmarks/).* \|\| failed=1; \\"
    limits = [re.fullmatch(step, line) for line in lines]
    assert all(limits) and sum(int(limit[1]) for limit in limits if limit) <= 360
    assert not any(word in line for line in lines for word in (".venv", "pip"))
