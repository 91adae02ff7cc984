"""The command ``evaluate``, on a small phantom."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from lsinet_monai.__main__ import main
from lsinet_monai.errors import InputError
from lsinet_monai.evaluation import name_predictions
from lsinet_monai.metrics import BENCHMARK_SCORES
from tests.preloaded import Preloaded, run_module

SPLIT = "TestEasyDataset/Unseen"


@pytest.fixture(autouse=True)
def unchanged_excepthook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


def _evaluate(phantom: Path, output: Path, *options: str) -> None:
    methods = ["--predictions", f"blurred={phantom / 'blurred'}", f"empty={phantom / 'empty'}"]
    main(["evaluate", *methods, "--truth", str(phantom / "data"), "--output", str(output), "--processes=1", *options])


@pytest.mark.slow
def test_files(phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (case, *_) = sorted(path.name for path in (phantom / "blurred" / SPLIT).iterdir())
    papers = tmp_path / "papers.csv"
    papers.write_text(
        f"method,split,metric,value,paper,source\nRival,{SPLIT},maxDice,87.6,Someone 2025,arXiv:1\n"
        f"Rival,{SPLIT},meanDice,65.4,Critic 2026,arXiv:3\n"
        "Other,TestHardDataset/Seen,maxDice,11.1,Nobody 2025,arXiv:2\n"
    )
    _evaluate(phantom, tmp_path / "out", "--gif", case, "--published", str(papers))

    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert {method: list(splits) for method, splits in scores.items()} == {"blurred": [SPLIT], "empty": [SPLIT]}
    blurred, empty = (scores[method][SPLIT]["dataset"] for method in ("blurred", "empty"))
    assert set(BENCHMARK_SCORES) < set(blurred)
    assert blurred["maxDice"] > 0.7 > empty["maxDice"]
    assert empty["lesion_detection_rate"] == 0
    assert len(scores["blurred"][SPLIT]["cases"]) == len(list((phantom / "blurred" / SPLIT).iterdir()))

    out = capsys.readouterr().out
    assert SPLIT in out and "Dice mean" in out and "report.html" in out
    assert (tmp_path / "out/table.tex").read_text().count(r"\\") == 2
    assert len((tmp_path / "out/clips.csv").read_text().splitlines()) == 1 + 2 * len(scores["empty"][SPLIT]["cases"])

    with Image.open(tmp_path / "out/gifs" / SPLIT / f"{case}.gif") as gif:
        assert gif.n_frames == 5
        assert gif.width == 3 * 250  # truth and two methods, of 72x90 scaled to a height of 200
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert sum(durations) == 170  # five frames at 30 a second take 167 ms, and GIF counts in 10

    html = (tmp_path / "out/report.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)  # nothing outside the file
    assert "Other" not in html
    # Each number is next to its paper.
    (first, second) = re.findall(r'<tr class="paper">.*', html)
    assert "Rival" in first and "Someone 2025" in first and "0.876" in first and "0.654" not in first
    assert "Rival" in second and "Critic 2026" in second and "0.654" in second and "0.876" not in second
    for kind in ("svg+xml", "jpeg"):
        (content, *_) = re.findall(rf"data:image/{re.escape(kind)};base64,([^\"]+)", html)
        assert base64.b64decode(content)[:5] in (b"<?xml", b"\xff\xd8\xff\xe0\x00")


def test_names_are_escaped_in_the_page(phantom: Path, tmp_path: Path) -> None:
    options = ["--truth", str(phantom / "data"), "--output", str(tmp_path), "--processes=1"]
    main(["evaluate", "--predictions", f"<b>ours</b>={phantom / 'blurred'}", *options])
    assert "<b>" not in (tmp_path / "report.html").read_text()


def test_names_are_written_as_they_are_in_the_plots(phantom: Path, tmp_path: Path) -> None:
    names = ["_ours", "$x^$", "a$_1$ & <b>"]
    methods = [f"{name}={phantom / 'blurred'}" for name in names]
    options = ["--truth", str(phantom / "data"), "--output", str(tmp_path), "--processes=1"]
    main(["evaluate", "--predictions", *methods, *options])
    html = (tmp_path / "report.html").read_text()
    plots = [base64.b64decode(plot).decode() for plot in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)]
    assert len(plots) == 2
    for plot in plots:
        texts = {text.text for text in ElementTree.fromstring(plot).iter("{http://www.w3.org/2000/svg}text")}
        assert set(names) < texts


def test_without_frames_and_with_one_method(phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom / "data" / SPLIT / "GT", tmp_path / "masks")
    options = ["--truth", str(tmp_path / "masks"), "--output", str(tmp_path / "out"), "--processes=1"]
    main(["evaluate", "--predictions", str(phantom / "blurred" / SPLIT), *options])
    assert list(json.loads((tmp_path / "out/scores.json").read_text())["predictions"]) == ["all"]
    assert "data:image/jpeg" in (tmp_path / "out/report.html").read_text()


def test_all_problems_are_listed_and_nothing_is_scored(phantom: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom / "blurred", tmp_path / "maps")
    removed = sorted((tmp_path / "maps").rglob("*.png"))[1:4]
    for path in removed:
        path.unlink()
    options = ["--truth", str(phantom / "data"), "--output", str(tmp_path / "out"), "--processes=1"]
    with pytest.raises(InputError, match=r"3 problems with the maps.*problems\.txt"):
        main(["evaluate", "--predictions", str(tmp_path / "maps"), *options])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["problems.txt"]
    assert all(str(path) in (tmp_path / "out/problems.txt").read_text() for path in removed)

    for path in removed:
        shutil.copy(phantom / "blurred" / path.relative_to(tmp_path / "maps"), path)
    main(["evaluate", "--predictions", str(tmp_path / "maps"), *options])
    assert (tmp_path / "out/scores.json").exists() and not (tmp_path / "out/problems.txt").exists()

    removed[0].unlink()
    with pytest.raises(InputError, match="1 problem with the maps"):
        main(["evaluate", "--predictions", str(tmp_path / "maps"), *options, "--overwrite"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["problems.txt"]


@pytest.mark.slow
def test_an_error_is_one_line_and_a_non_zero_exit(preloaded: Preloaded, phantom: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", "--predictions", str(tmp_path), "--truth", str(phantom / "data")]
    result = preloaded.run(run_module("lsinet_monai"), *arguments, "--output", str(tmp_path / "out"))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("error: ")
    assert "Traceback" not in result.stdout + result.stderr


BAD_OPTIONS = [
    (["--threshold", "2"], "threshold 2.0 must be"),
    (["--frames-per-second", "0"], "must be above 0"),
    (["--frames-per-second", "inf"], "must be above 0 and finite"),
    (["--processes", "0"], "processes 0 must be"),
    (["--gif", "case999"], "clip 'case999': no clip has this name; choose from "),
    (["--published", "nowhere.csv"], "nowhere.csv: cannot be read"),
    (["--negative-dir", "nowhere"], "nowhere: no such folder"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[case[0][0] for case in BAD_OPTIONS])
def test_bad_options(phantom: Path, tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _evaluate(phantom, tmp_path / "out", *options)
    assert not list(tmp_path.rglob("*.*"))  # refused before anything is scored


def test_results_do_not_mix_with_other_files(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match=r"mine\.txt"):
        _evaluate(phantom, tmp_path)


NAMES = [
    (["maps"], {"predictions": "maps"}),
    (["ours=maps"], {"ours": "maps"}),
    (["a/ours", "b/theirs"], {"ours": "a/ours", "theirs": "b/theirs"}),
    (["x=a/maps", "b/maps"], {"x": "a/maps", "maps": "b/maps"}),
    (["ours=a=b"], {"ours": "a=b"}),
]


@pytest.mark.parametrize(("texts", "expected"), NAMES)
def test_names_of_methods(texts: list[str], expected: dict[str, str]) -> None:
    assert {name: str(folder) for name, folder in name_predictions(texts).items()} == expected


def test_a_folder_with_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=1").mkdir()
    assert name_predictions(["lr=1"]) == {"predictions": Path("lr=1")}


def test_two_methods_of_one_name() -> None:
    with pytest.raises(InputError, match="another method is called 'maps'"):
        name_predictions(["a/maps", "b/maps"])
