from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_labels, write_coco, write_cvat, write_png, write_stack


def test_every_format_is_known_by_its_name(tmp_path: Path) -> None:
    clip = ClipInfo("video", (6, 8), frame_count=3)
    frame = np.zeros((6, 8), np.int32)
    frame[2:5, 3:6] = 1
    with (
        write_coco(tmp_path / "a.json", clip) as coco,
        write_cvat(tmp_path / "a.xml", clip) as cvat,
        write_stack(tmp_path / "a.nii.gz", clip, range(3)) as nifti,
        write_stack(tmp_path / "a.NRRD", clip, range(3)) as nrrd,
    ):
        for index in range(3):
            for add in (coco, cvat, nifti, nrrd):
                add(index, frame, {})
            write_png(tmp_path / "a" / f"{index}.png", frame.astype(np.uint8) * 255)
    for name in ("a.json", "a.xml", "a.nii.gz", "a.NRRD", "a"):
        labels = read_labels(tmp_path / name, clip)
        assert list(labels) == [0, 1, 2]
        np.testing.assert_array_equal(labels.mask(2), frame > 0)


@pytest.mark.parametrize("name", ["a.zip", "a.png", "none"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"give a folder of PNG files, \*.xml"):
        read_labels(tmp_path / name, ClipInfo("video", (6, 8), frame_count=3))
