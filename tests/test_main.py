"""The command line: which command calls what, and how bad commands end. The commands' own tests lie in their rooms."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lsinet_monai.__main__ import main
from lsinet_monai.errors import InputError
from lsinet_monai.utils.shipped_model import NAME
from lsinet_monai.version import __version__

EVALUATE = ["evaluate", "--predictions", "maps", "--truth", "data", "--output", "out"]

# a command line, the function that it calls, and a part of that call's arguments
CALLS: list[tuple[list[str], str, tuple[Any, ...], dict[str, Any]]] = [
    (["phantom", "out"], "lsinet_monai.data.phantom.write_phantom", ("out", 30, 40, (256, 256), 0, False), {}),
    (
        ["phantom", "out", "--clips=2", "--frames=3", "--size=48x64", "--seed=7", "--overwrite"],
        "lsinet_monai.data.phantom.write_phantom",
        ("out", 2, 3, (48, 64), 7, True),
        {},
    ),
    (
        ["stills", "out", "--stills=in", "--frames=3", "--size=48x64", "--seed=7"],
        "lsinet_monai.data.stills.write_still_clips",
        ("out", "in", 3, (48, 64), 7),
        {"overwrite": False},
    ),
    (
        EVALUATE,
        "lsinet_monai.evaluation.evaluate",
        ({"predictions": Path("maps")}, "data", "out"),
        {"threshold": 0.5, "frames_per_second": 30.0, "gifs": [], "processes": None, "overwrite": False},
    ),
    (
        [
            *EVALUATE,
            "--predictions",
            "ours=a",
            "theirs=b",
            "--gif",
            "case1",
            "--gif",
            "case2",
            "case3",
            "--processes=2",
        ],
        "lsinet_monai.evaluation.evaluate",
        ({"maps": Path("maps"), "ours": Path("a"), "theirs": Path("b")}, "data", "out"),
        {"gifs": ["case1", "case2", "case3"], "processes": 2},
    ),
    (
        ["evaluate", "--predictions=~/maps", "--truth=~/data", "--output=~/out", "--negative-dir=~"],
        "lsinet_monai.evaluation.evaluate",
        ({"predictions": Path.home() / "maps"}, str(Path.home() / "data"), str(Path.home() / "out")),
        {"negative_dir": str(Path.home())},
    ),
    (
        ["archive", "in", "*.mp4", "--output=~/out", "--exports=png,coco", "--workers=2", "--gpus-per-worker=0.25"],
        "lsinet_monai.archive.run_archive",
        (["in", "*.mp4"], str(Path.home() / "out")),
        {"exports": ["png", "coco"], "workers": 2, "gpus_per_worker": 0.25, "address": None, "retry_failed": False},
    ),
    (["copy", "bundle", "mine"], "lsinet_monai.__main__.copy_shipped", ("bundle", "mine"), {}),
]


@pytest.fixture(autouse=True)
def _keep_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsinet_monai.__main__.report_input_errors_in_one_line", lambda: None)


@pytest.mark.parametrize(("line", "function", "arguments", "options"), CALLS, ids=[" ".join(c[0]) for c in CALLS])
def test_a_command_calls_its_function(
    line: list[str], function: str, arguments: tuple[Any, ...], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    monkeypatch.setattr(function, lambda *given, **others: calls.append((given, others)))
    main(line)
    ((given, others),) = calls
    assert given == arguments and others.items() >= options.items()


def test_without_a_command_it_says_version_model_and_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"lsinet_monai {__version__}"
    assert lines[1].startswith(f"model: {NAME} (") and "research and education" in lines[1]
    assert [line.partition(":")[0] for line in lines[2:4]] == ["kernels on cpu", "kernels on cuda"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"lsinet_monai {__version__}\n"


# a command line, and what the one line says
BAD_LINES = [
    (["phantom"], "OUT"),
    (["paint"], "invalid choice: 'paint'"),
    (["phantom", "out", "--clips", "many"], "invalid int value: 'many'"),
    (EVALUATE[:-2], "--output"),
    (["copy", "model", "mine"], "invalid choice: 'model'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("line", "said"), BAD_LINES, ids=[" ".join(line[0]) for line in BAD_LINES])
def test_a_bad_command_line_ends_in_one_line(line: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error and "--help)" in error


@pytest.mark.parametrize("size", ["256", "0x", "axb", "-8x8", "8x8x8"])
def test_a_size_is_height_x_width(size: str) -> None:
    with pytest.raises(InputError, match="give height x width in pixels, like 256x320"):
        main(["phantom", "out", f"--size={size}"])


def test_the_command_line_answers_before_pytorch_is_imported() -> None:
    program = "import sys, lsinet_monai.__main__; print({'torch', 'monai'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# a command, and what its help names
HELP = {
    "": ["phantom", "evaluate", "copy"],
    "phantom": ["--clips", "--frames", "--size", "--seed", "(default: 30)"],
    "evaluate": ["[NAME=]DIR", "--truth", "--output", "--threshold", "--negative-dir", "--published", "--gif"],
    "archive": ["INPUT", "--output", "--address", "--gpus-per-worker", "--retry-failed"],
    "copy": ["bundle", "label", "DESTINATION"],
}


@pytest.mark.parametrize(("command", "named"), HELP.items(), ids=[command or "nothing" for command in HELP])
def test_help(command: str, named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*filter(None, [command]), "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(part in said for part in named)
