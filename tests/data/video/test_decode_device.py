from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from av.codec.hwaccel import HWAccel
from av.error import PermissionError as NoDriverError

from lsinet_monai.data import check_decode_device, open_video
from lsinet_monai.data.video import decode_device
from lsinet_monai.errors import InputError


def test_the_cpu_needs_no_gpu_decoder() -> None:
    assert decode_device.find_gpu_decoder() is None
    assert decode_device.find_gpu_decoder(torch.device("cpu")) is None
    check_decode_device("cpu")


def test_a_gpu_without_its_driver_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: object) -> None:
        raise NoDriverError(1, "Operation not permitted")

    class NoDriver:
        def __init__(self, *_: object, **__: object) -> None:
            self.create = create

    monkeypatch.setattr(decode_device, "HWAccel", NoDriver)
    with pytest.raises(InputError, match=r"decode_device='cuda:1' cannot decode video \(.*leave it out"):
        check_decode_device("cuda:1")
    monkeypatch.setattr(decode_device, "hwdevices_available", list)
    with pytest.raises(InputError, match=r"'cuda' cannot decode video \(this PyAV was built without it\)"):
        check_decode_device("cuda")


@pytest.mark.parametrize(("device", "says"), [("gpu", "is no device"), ("meta", "does not decode video")])
def test_other_devices_are_refused(device: str, says: str) -> None:
    with pytest.raises(InputError, match=f"decode_device='{device}' {says}.*give cpu, cuda or cuda:N"):
        check_decode_device(device)


def test_the_decoder_of_the_given_gpu_with_pytorchs_context(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    # The class itself is compiled and cannot be patched.
    monkeypatch.setattr(
        decode_device,
        "HWAccel",
        type("Recorded", (), {"__init__": lambda self, *args, **options: asked.append((args, options)),
                              "create": lambda self, codec: asked.append(codec.name)}),
    )  # fmt: skip
    assert decode_device.find_gpu_decoder("cuda:2") is not None
    assert asked == [(("cuda", "2"), {"allow_software_fallback": True, "options": {"primary_ctx": "1"}}), "h264"]
    HWAccel("cuda", "2", allow_software_fallback=True, options={"primary_ctx": "1"})  # the real one takes these


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("codec", "pixel_format"), [("libx264", "yuv420p"), ("libx264", "yuvj420p"), ("libx265", "yuv420p10le")]
)
def test_a_gpu_decodes_the_frames_of_the_cpu(tmp_path: Path, recipe: ModuleType, codec: str, pixel_format: str) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 10, 14, 3), dtype=np.uint8)
    frames = [np.kron(frame, np.ones((18, 18, 1), np.uint8)) for frame in coarse]  # 180x252: NVDEC needs 144 or more
    path = tmp_path / "clip.mp4"
    recipe.write_video(path, frames, codec, pixel_format, options={"g": "8"}, b_frames=2)
    with open_video(path) as cpu, open_video(path, decode_device="cuda") as gpu:
        pairs = list(zip(cpu, gpu, strict=True))
        assert [index for (index, _, _), _ in pairs] == list(range(24)) == [index for _, (index, _, _) in pairs]
        assert all((on_cpu == on_gpu).all() for (_, _, on_cpu), (_, _, on_gpu) in pairs)
        assert (gpu[5] == pairs[5][0][2]).all()
