from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.errors import InputError
from lsinet_monai.formats import ClipInfo, read_png_folder, write_png


def test_there_and_back(tmp_path: Path, clip: ClipInfo, labels: dict[int, np.ndarray]) -> None:
    for index, frame in labels.items():
        write_png(tmp_path / f"{clip.file(index)}.png", (frame > 0).astype(np.uint8) * 255)
    (tmp_path / "notes.txt").touch()
    masks = read_png_folder(tmp_path, clip)
    assert list(masks) == list(labels)
    for index, frame in labels.items():
        np.testing.assert_array_equal(masks[index], frame > 0)


def test_written_as_sun_seg_has_it(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_png(tmp_path / "a" / "b.png", values)
    with Image.open(tmp_path / "a" / "b.png") as image:
        assert (image.format, image.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(image), values)
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.png"]


FOLDERS = [
    ("nothing", [], "holds no PNG files"),
    ("a stranger", ["9.png"], "9.png: 'case1/part2' has no frame of this name"),
    ("two of one frame", ["2.png", "frame2.png"], "frame2.png: 2.png is a mask of the same frame"),
]


@pytest.mark.parametrize(("_", "names", "message"), FOLDERS, ids=[case[0] for case in FOLDERS])
def test_refused(tmp_path: Path, clip: ClipInfo, _: str, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        read_png_folder(tmp_path, clip)


def test_refused_on_access(tmp_path: Path, clip: ClipInfo) -> None:
    write_png(tmp_path / "1.png", np.zeros((80, 60), np.uint8))
    (tmp_path / "2.png").write_bytes(b"no image")
    masks = read_png_folder(tmp_path, clip)
    with pytest.raises(InputError, match=r"1.png: is 60x80 \(width x height\), the frames of 'case1/part2' are 80x60"):
        masks[1]
    with pytest.raises(InputError, match=r"2.png: cannot be read"):
        masks[2]
    with pytest.raises(InputError, match="no such folder"):
        read_png_folder(tmp_path / "none", clip)
