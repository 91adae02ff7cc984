"""The rows of an archive's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsinet_monai.archive.table import describe, doubts_of, failed_row, is_partial, read_table, versions, write_table
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, write_mask_table
from lsinet_monai.version import __version__

pytest.importorskip("pycocotools", reason='pycocotools is missing: pip install ".[archive]"')
parquet = pytest.importorskip("pyarrow.parquet", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci

VIDEO = ArchiveVideo("b/x.mp4", "s3://in/b/x.mp4", 77)
INTERVAL = {"first": 1, "last": 2, "first_seconds": 0.04, "last_seconds": 0.08}


def _summary(uncertainties: list[float]) -> dict[str, Any]:
    frames = [
        {"index": index, "seconds": 0.04 * index, "score": 0.2 * (index + 1), "uncertainty": bits}
        for index, bits in enumerate(uncertainties)
    ]
    return {
        "frame_seconds": 0.04,
        "settings": {"model_sha256": "abc"},
        "counts": {"frames_with_polyp": 2},
        "intervals": [INTERVAL | {"first_frame": "000001", "last_frame": "000002"}],
        "frames": frames,
    }


def test_a_row_describes_a_video() -> None:
    row = describe(VIDEO, "f00", _summary([0.0, 0.5, 0.0]), [0.0, 0.25, None], 9.0)
    assert row.pop("mean_score") == pytest.approx(0.4)
    assert row.pop("max_score") == pytest.approx(0.6)
    assert row.pop("seconds") == pytest.approx(0.12)
    assert row.pop("versions")["lsinet_monai"] == __version__
    assert row == {
        "video": "b/x.mp4",
        "path": "s3://in/b/x.mp4",
        "bytes": 77,
        "sha256": "f00",
        "frames": 3,
        "frames_with_polyp": 2,
        "intervals": [INTERVAL],
        "doubt": 0.25,
        "worst_frame": 1,
        "worst_seconds": 0.04,
        "model": "abc",
        "compute_seconds": 9.0,
        "frames_missing": 0,
        "ends_early": False,
        "error": None,
    }
    assert not is_partial(row)


@pytest.mark.parametrize(
    ("reading", "missing"),
    [
        ({"frames_expected": 3, "ends_early": False, "frames_skipped": []}, None),
        ({"frames_expected": 100, "ends_early": True, "frames_skipped": []}, 97),
        ({"frames_expected": 5, "ends_early": False, "frames_skipped": [1, 3]}, 2),
        ({"frames_expected": None, "ends_early": False, "frames_skipped": [1, 3]}, 2),
        ({"frames_expected": None, "ends_early": True, "frames_skipped": []}, 0),
    ],
)
def test_a_video_that_is_cut_off_or_damaged_is_partial(reading: dict[str, Any], missing: int | None) -> None:
    row = describe(VIDEO, "f00", _summary([0.0, 0.5, 0.0]) | {"reading": reading}, [0.0, 0.25, None], 9.0)
    assert is_partial(row) == (missing is not None) and row["frames_missing"] == (missing or 0)


def test_doubt_is_uncertainty_and_masks_that_change_back_and_forth(tmp_path: Path) -> None:
    """The masks of frames 0 to 4: half, half, none, half, half. Frame 2 differs from both neighbours."""
    clip, labels = ClipInfo("x", (4, 4), frame_count=5), np.zeros((4, 4), np.int32)
    labels[:, :2] = 1
    with write_mask_table(tmp_path / "masks.parquet", clip) as add:
        for index in (0, 1, 3, 4):
            add(index, labels, {})
    doubts = doubts_of(_summary([0.0, 0.2, 0.4, 0.0, 0.0]), tmp_path / "masks.parquet")
    assert doubts == pytest.approx([0.0, 0.1, 0.7, 0.0, 0.0])
    assert doubts_of(_summary([0.2, 0.4]), tmp_path / "none.parquet") == pytest.approx([0.1, 0.2])


def test_the_table_is_read_back_sorted(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    assert read_table(path) == {}
    done = describe(VIDEO, "f00", _summary([0.0, 0.5, 0.0]), [0.0, 0.25, None], 9.0)
    failed = failed_row(ArchiveVideo("a.mp4", "/in/a.mp4", 5), "abc", "cut off (3 tries)")
    write_table(path, [done, failed])
    found = read_table(path)
    assert list(found) == ["a.mp4", "b/x.mp4"]
    assert found["b/x.mp4"] == done
    assert {name: found["a.mp4"][name] for name in failed} == failed
    assert found["a.mp4"]["frames"] is None and found["a.mp4"]["versions"] == versions()


def test_a_damaged_table(tmp_path: Path) -> None:
    (tmp_path / "results.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"results\.parquet: damaged; remove it"):
        read_table(tmp_path / "results.parquet")
