"""The picture of a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.archive.thumbnail import write_thumbnail
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.formats import ClipInfo, write_mask_table

pytest.importorskip("av", reason='PyAV is missing: pip install ".[archive]"')
pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = pytest.mark.required_in_ci


@pytest.fixture
def table(tmp_path: Path) -> Path:
    labels = np.zeros((64, 80), np.int32)
    labels[20:40, 20:50] = 1
    with write_mask_table(tmp_path / "masks.parquet", ClipInfo("x", (64, 80), frame_count=3)) as add:
        add(1, labels, {})
    return tmp_path / "masks.parquet"


def _picture(folder: Path, video: Path, table: Path, index: int) -> np.ndarray | None:
    path = folder / "thumbnail.jpg"
    path.unlink(missing_ok=True)
    write_thumbnail(path, video, index, table)
    return np.asarray(Image.open(path), np.int16) if path.exists() else None


def test_a_frame_with_its_mask(tmp_path: Path, make_video: Callable[..., ArchiveVideo], table: Path) -> None:
    video = tmp_path / "x.mp4"
    make_video(video, 3)
    with_mask = _picture(tmp_path, video, table, 1)
    without = _picture(tmp_path, video, table, 0)
    assert with_mask is not None and without is not None
    assert with_mask.shape == without.shape == (256, 320, 3)
    # The edge of the mask is cyan, which is bluer than red; nothing of the phantom is.
    assert (with_mask[80:160, 78:82, 2] - with_mask[80:160, 78:82, 0]).max() > 60
    assert (without[80:160, 78:82, 2] - without[80:160, 78:82, 0]).max() < 0


def test_a_frame_that_cannot_be_read_has_no_picture(tmp_path: Path, table: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert _picture(tmp_path, tmp_path / "broken.mp4", table, 0) is None
