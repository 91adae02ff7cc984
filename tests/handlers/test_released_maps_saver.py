from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from lsinet_monai.data import Clip
from lsinet_monai.handlers import ReleasedMapsSaver


def test_released_maps_are_stretched_per_frame(tmp_path: Path) -> None:
    clip = Clip("a/case1", image=["x/frame7.jpg", "x/frame8.jpg", "x/frame9.jpg"])
    half = torch.zeros(8, 8)
    half[:, :4] = 1
    engine = Engine(lambda engine, batch: {"pred": torch.stack([half - 9, half * 0])[None, None]})
    ReleasedMapsSaver([clip], tmp_path).attach(engine)
    engine.run([{"clip_id": ["a/case1"], "frame_index": [1], "label": torch.zeros(1, 1, 2, 16, 16)}])
    assert {path.name for path in (tmp_path / "a" / "case1").iterdir()} == {"frame8.png", "frame9.png"}
    with Image.open(tmp_path / "a/case1/frame8.png") as image:
        values = np.array(image)
    assert values.shape == (16, 16)  # the masks' size
    assert values.min() == 0 and values.max() == 254  # logits from -9 to -8: 1e-8 counts in so narrow a range
    with Image.open(tmp_path / "a/case1/frame9.png") as image:
        assert not np.array(image).any()
