from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lsinet_monai.data import open_video
from lsinet_monai.errors import InputError


def test_the_kind_of_a_file_is_found_from_its_content(tmp_path, recipe, clip):
    recipe.write_dicom_video(tmp_path / "endoscopy.mp4", "uncompressed", clip)
    recipe.write_video(tmp_path / "video.dcm.mp4", clip)
    (tmp_path / "video.dcm.mp4").rename(tmp_path / "video.dcm")
    (tmp_path / "frames.mp4").mkdir()
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / "frames.mp4" / f"{index}.png")
    for name in ("endoscopy.mp4", "video.dcm", "frames.mp4"):
        with open_video(str(tmp_path / name)) as video:
            frames = [frame for *_, frame in video]
            assert (np.stack(frames) == np.stack(clip)).all()
            assert frames[0].dtype == np.uint8 and frames[0].flags.writeable and video[3].flags.writeable


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_frames_per_second_must_be_positive(tmp_path, fps):
    with pytest.raises(InputError, match="must be a number above 0"):
        open_video(tmp_path, fps=fps)


@pytest.mark.parametrize(("module", "name"), [("av", "a.mp4"), ("pydicom", "a.dcm")])
def test_a_missing_extra_is_named(tmp_path, recipe, clip, monkeypatch, module, name):
    if name == "a.dcm":
        recipe.write_dicom_video(tmp_path / name, "uncompressed", clip)
    else:
        recipe.write_video(tmp_path / name, clip)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf'{module} is not installed: pip install "lsinet_monai\[video\]"'):
        open_video(tmp_path / name)


@pytest.mark.slow
def test_folders_are_read_without_the_extra(tmp_path, clip):
    Image.fromarray(clip[0]).save(tmp_path / "0.png")
    program = (
        "import sys; sys.modules['av'] = sys.modules['pydicom'] = None\n"
        "from lsinet_monai.data import open_video\n"
        "print(len(list(open_video(sys.argv[1]))))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
