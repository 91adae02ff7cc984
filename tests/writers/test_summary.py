from __future__ import annotations

import json
from pathlib import Path

import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.writers import FrameRecord, read_summary
from lsinet_monai.writers.summary import summarise, write_summary


def _record(index: int, has_polyp: bool) -> FrameRecord:
    return FrameRecord(index, f"image{index}.jpg", index / 10, 20, 50, 0.1, 0.9, 0.2, has_polyp)


# Indices of frames with a polyp ("#"), without ("."), and missing (" "); the intervals that the summary reports.
INTERVALS = [
    ("", []),
    ("...", []),
    ("##.", [(0, 1)]),
    ("#...#", [(0, 4)]),
    ("#   #", [(0, 4)]),  # missing frames are bridged as frames without a polyp
    ("#    #", [(0, 0), (5, 5)]),
    ("  ##", [(2, 3)]),
]


@pytest.mark.parametrize(("frames", "expected"), INTERVALS)
def test_intervals(frames: str, expected: list[tuple[int, int]]) -> None:
    records = [_record(index, frame == "#") for index, frame in enumerate(frames) if frame != " "]
    summary = summarise("a", records, 0.5, 0.001)
    assert [(interval["first"], interval["last"]) for interval in summary["intervals"]] == expected
    assert summary["counts"] == {
        "frames": len(records), "frames_with_polyp": frames.count("#"), "frames_left_empty": 0,
        "intervals": len(expected),
    }  # fmt: skip
    for interval in summary["intervals"]:
        assert interval["first_frame"] == f"image{interval['first']}"
        assert interval["last_seconds"] == interval["last"] / 10


def test_further_entries_and_back_from_disk(tmp_path: Path) -> None:
    summary = summarise("a/b", [_record(0, True)], 0.4, 0.002, 0.04, {"reading": {"frames_skipped": 5}})
    assert summary["reading"] == {"frames_skipped": 5}
    assert (summary["clip"], summary["size"], summary["threshold"], summary["min_area"], summary["frame_seconds"]) == (
        "a/b", [20, 50], 0.4, 0.002, 0.04,
    )  # fmt: skip
    assert read_summary(tmp_path, "a/b") is None
    write_summary(tmp_path, "a/b", summary)
    assert read_summary(tmp_path, "a/b") == summary == json.loads((tmp_path / "a/b/summary.json").read_text())


@pytest.mark.parametrize("content", ["", "{", "[]", "masks"])
def test_other_content_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/summary.json").write_text(content)
    with pytest.raises(InputError, match=r"summary.json: not a clip.s summary; remove it"):
        read_summary(tmp_path, "a")
