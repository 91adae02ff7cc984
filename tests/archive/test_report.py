"""The archive's report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.report import write_report

pytest.importorskip("jinja2", reason='Jinja is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci


def _row(name: str, doubt: float, intervals: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "video": name, "frames": 90_000, "frames_with_polyp": 9_000, "seconds": 3600.0, "compute_seconds": 9_000.0,
        "max_score": 0.9, "doubt": doubt, "worst_frame": 50, "worst_seconds": 2.0, "model": "abc", "error": None,
        "intervals": [
            {"first": 100 * at, "last": 100 * at + 50, "first_seconds": 4.0 * at, "last_seconds": 4.0 * at + 2}
            for at in range(intervals)
        ],
        **values,
    }  # fmt: skip


def _page(folder: ArchiveFolder, rows: list[dict[str, Any]]) -> str:
    folder.path.mkdir(exist_ok=True)
    write_report(folder, rows)
    return folder.report.read_text()


def test_numbers_the_worst_doubts_first_and_what_failed(tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path / "out")
    folder.place("b.mp4").mkdir(parents=True)
    Image.new("RGB", (32, 24)).save(folder.place("b.mp4") / "thumbnail.jpg")
    page = _page(
        folder,
        [
            _row("a.mp4", 0.2, intervals=1),
            _row("b.mp4", 0.7, intervals=6),
            _row("c<i>.mp4", 0.1, seconds=None, intervals=0),
            {"video": "d.mp4", "error": "cut off (3 tries)"},
        ],
    )
    tiles = re.findall(r'class="tile[ a-z]*"><b>([^<]+)</b>([^<]+)<', page)
    assert tiles == [
        ("3", "videos done"),
        ("2.0", "hours of video"),
        ("270,000", "frames"),
        ("2", "videos with a polyp"),
        ("7", "intervals with a polyp"),
        ("10.0", "frames/s of a worker"),
        ("1", "set aside"),
    ]
    assert re.findall(r'class="name">([^<]+)<', page) == ["b.mp4", "a.mp4", "c&lt;i&gt;.mp4"]
    assert page.count("data:image/jpeg;base64,") == 1 and page.count("no picture") == 2
    assert page.count("seen at 0:02 of 1:00:00") == 2
    assert "0:00-0:02, 0:04-0:06, 0:08-0:10, 0:12-0:14 and 2 more" in page
    assert "cut off (3 tries)" in page
    assert not re.search(r'(?:src|href)="http', page)


def test_an_archive_without_results_has_a_report_too(tmp_path: Path) -> None:
    page = _page(ArchiveFolder(tmp_path / "out"), [])
    assert "<b>0</b>videos done" in page and "Look here first" not in page


def test_a_large_archive_shows_its_most_doubtful_videos(tmp_path: Path) -> None:
    page = _page(ArchiveFolder(tmp_path / "out"), [_row(f"{number}.mp4", number / 1000) for number in range(600)])
    assert page.count("<figure") == 24 and page.count("<tr><td>") == 500
    assert "100 more are in <code>results.parquet</code>" in page
    assert "<td>599.mp4</td>" in page and "<td>99.mp4</td>" not in page


def test_a_long_list_of_what_was_set_aside_is_cut_and_says_so(tmp_path: Path) -> None:
    rows = [{"video": f"{number:04}.mp4", "error": "cut off (3 tries)"} for number in range(1203)]
    page = _page(ArchiveFolder(tmp_path / "out"), rows)
    assert "<b>1,203</b>set aside" in page and page.count("<tr><td>") == 500
    assert "703 more are in <code>results.parquet</code>" in page
