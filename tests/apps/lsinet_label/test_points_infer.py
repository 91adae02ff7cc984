from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel")

from lib.errors import NotFound
from lib.frame_images import FrameImages
from lib.model import ServedModel
from lib.points_infer import PointsInferTask
from lib.prompted_frames import PromptedFrames

from lsinet_monai.errors import InputError
from lsinet_monai.networks import save_model

VIDEO = "p1_a.frames"


@pytest.fixture
def task(open_store, make_small_network, tmp_path):
    save_model(make_small_network("mobilenetv3_small_050", prompt_head=True), tmp_path / "model.pt", 64)
    model = ServedModel(tmp_path / "model.pt", tmp_path / "trained", "cpu")
    return PointsInferTask(open_store(), model, PromptedFrames(FrameImages(), model))


def read(answer) -> np.ndarray:
    file, params = answer
    mask = np.array(Image.open(file))
    Path(file).unlink()
    y, x = np.nonzero(mask)
    assert params["box"] == ([x.min(), y.min(), x.max() + 1, y.max() + 1] if x.size else None)
    return mask


def test_points_in_a_frame(task):
    assert task.is_valid() and task.get_path().endswith("model.pt") and task.get_path(validate=False) is None
    request = {"image": VIDEO, "frame": 3, "foreground": [[40, 20]], "background": [[5, 5]]}
    mask = read(task(request))
    assert mask.shape == (64, 80) and set(np.unique(mask)) <= {0, 1}
    expected = task.prompted.segment(task.videos[VIDEO], 3, [[40, 20], [5, 5]], [1, 0])
    assert (mask == expected).all()


def test_deepgrows_clients_name_the_frame_with_each_point(task):
    answer = task({"image": VIDEO, "foreground": [[40, 20, 3]], "background": [[5, 5, 3]]})
    assert answer[1]["frame"] == 3 and answer[1]["label_names"] == {"polyp": 1}
    assert (
        read(answer) == read(task({"image": VIDEO, "frame": 3, "foreground": [[40, 20]], "background": [[5, 5]]}))
    ).all()


def test_a_box(task):
    answer = task({"image": VIDEO, "box": [10, 10, 60, 50]})
    assert answer[1]["frame"] == 0
    read(answer)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "nothing to segment"),
        ({"foreground": [40, 20]}, "must be a list of"),
        ({"foreground": [[40, "20"]]}, "must be a list of"),
        ({"foreground": [[40, 20, 3]], "background": [[5, 5, 4]]}, "must name one frame"),
        ({"foreground": [[40, 20, 3]], "frame": 4}, "must name one frame"),
        ({"foreground": [[40, 20]], "frame": "4"}, "must name one frame"),
        ({"foreground": [[40, 20]], "frame": [3]}, "must name one frame"),
        ({"foreground": [[40, 20, 3.7]]}, "must name one frame"),
        ({"box": "abc"}, "box="),
        ({"foreground": [[400, 20]]}, "must lie in the frame"),
    ],
)
def test_what_is_refused(task, request_, said):
    with pytest.raises(InputError, match=said):
        task({"image": VIDEO, **request_})


def test_no_such_frame(task):
    with pytest.raises(NotFound):
        task({"image": VIDEO, "foreground": [[40, 20, 12]]})
