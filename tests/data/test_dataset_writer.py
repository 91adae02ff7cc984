import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from lsinet_monai.data.dataset_writer import check_made_set, prepare_dataset, write_case
from lsinet_monai.errors import InputError

FRAME = np.full((32, 40, 3), 90, np.uint8)


def test_a_set_of_the_same_kind_alone_is_replaced(tmp_path):
    root = tmp_path / "set"
    prepare_dataset(root, "NOTE.txt", "first", ["split"], overwrite=False)
    (root / "split").mkdir()
    (root / "mine").mkdir()
    with pytest.raises(
        InputError, match="is not empty: name another folder, or replace what is in it with --overwrite"
    ):
        prepare_dataset(root, "NOTE.txt", "second", ["split"], overwrite=False)
    with pytest.raises(InputError, match=r"has no OTHER.txt, so another program"):
        prepare_dataset(root, "OTHER.txt", "second", ["split"], overwrite=True)
    assert (root / "split").exists() and (root / "NOTE.txt").read_text() == "first"
    prepare_dataset(root, "NOTE.txt", "second", ["split"], overwrite=True)
    assert sorted(path.name for path in root.iterdir()) == ["NOTE.txt", "mine"]
    assert (root / "NOTE.txt").read_text() == "second"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "set").write_text("")
    with pytest.raises(InputError, match="is a file"):
        prepare_dataset(tmp_path / "set", "NOTE.txt", "", [], overwrite=True)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/set: cannot be made \(Not a directory\): name another folder"):
        prepare_dataset(tmp_path / "file" / "set", "NOTE.txt", "", [], overwrite=False)


@pytest.mark.parametrize("size", [(31, 40), (40, 9000)])
def test_frames_of_no_use_are_refused(size):
    with pytest.raises(InputError, match=rf"size is {size[0]}x{size[1]} .* at least 32 and at most 8192"):
        check_made_set(size, clips=(1, 1))


@pytest.mark.parametrize("mask", [np.eye(32, 40, dtype=bool), np.eye(32, 40, dtype=np.uint8) * 255])
def test_frames_and_masks(tmp_path, mask):
    with tqdm(disable=True) as progress:
        write_case(tmp_path, "case", [(FRAME, mask)] * 2, "x", progress)
    assert sorted(path.name for path in (tmp_path / "Frame/case").iterdir()) == ["x0001.jpg", "x0002.jpg"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "GT/case/x0002.png")), (mask > 0) * np.uint8(255))


def test_a_case_that_breaks_off_leaves_nothing(tmp_path):
    def frames():
        yield FRAME, FRAME[..., 0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), tqdm(disable=True) as progress:
        write_case(tmp_path, "case", frames(), "x", progress)
    assert list(tmp_path.iterdir()) == []
