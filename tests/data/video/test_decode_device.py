from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from av.error import PermissionError as NoDriverError

from lsinet_monai.data import check_decode_device, open_video
from lsinet_monai.data.video import decode_device
from lsinet_monai.errors import InputError


def test_the_cpu_needs_no_gpu_decoder() -> None:
    assert decode_device.find_gpu_decoder() is None
    assert decode_device.find_gpu_decoder(torch.device("cpu")) is None
    check_decode_device("cpu")


class PlayedDecoder:
    """Plays PyAV's class, which is compiled and cannot be patched."""

    def __init__(self, *args: object, **options: object) -> None:
        self.args, self.options = args, options

    def create(self, codec: Any) -> None:
        assert codec.name == "h264"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have a GPU's decoder."""
    monkeypatch.setattr(decode_device, "HWAccel", PlayedDecoder)
    monkeypatch.setattr(decode_device, "hwdevices_available", lambda: ["cuda"])
    monkeypatch.setattr(decode_device.ctypes, "CDLL", lambda name: name)


@pytest.mark.usefixtures("driver")
def test_the_decoder_of_the_given_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(device: str | torch.device) -> Any:
        found: Any = decode_device.find_gpu_decoder(device)
        assert found.options == {"allow_software_fallback": True}
        return found.args

    assert given("cuda:2") == ("cuda", "2") == given(torch.device("cuda", 2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert given("cuda") == ("cuda", "3")


@pytest.mark.usefixtures("driver")
def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoDriverError(1, "Operation not permitted")

    def refused(device: str) -> str:
        with pytest.raises(InputError, match=rf"decode_device='{device}' cannot decode video \(.*leave it out") as info:
            check_decode_device(device)
        return str(info.value)

    monkeypatch.setattr(PlayedDecoder, "create", fail)
    assert "(FFmpeg: Operation not permitted)" in refused("cuda:1")
    monkeypatch.setattr(decode_device.ctypes, "CDLL", fail)
    assert "(there is no " in refused("cuda:1")
    monkeypatch.setattr(decode_device, "hwdevices_available", list)
    assert "(this PyAV was built without it)" in refused("cuda")


@pytest.mark.parametrize(("device", "says"), [("gpu", "is no device"), ("meta", "does not decode video")])
def test_other_devices_are_refused(device: str, says: str) -> None:
    with pytest.raises(InputError, match=f"decode_device='{device}' {says}.*give cpu, cuda or cuda:N"):
        check_decode_device(device)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("codec", "pixels"), [("libx264", "yuv420p"), ("libx264", "yuvj420p"), ("libx265", "yuv420p10le")]
)
def test_a_gpu_decodes_the_frames_of_the_cpu(
    tmp_path: Path, recipe: ModuleType, codec: str, pixels: str, caplog: pytest.LogCaptureFixture
) -> None:
    torch.zeros(1, device="cuda")  # PyTorch has its context first, as in inference
    try:
        check_decode_device("cuda")
    except InputError as error:
        pytest.skip(str(error))
    coarse = np.random.default_rng(0).integers(0, 256, (24, 10, 14, 3), dtype=np.uint8)
    frames = [np.kron(frame, np.ones((18, 18, 1), np.uint8)) for frame in coarse]  # no side is too small for it
    path = tmp_path / "clip.mp4"
    recipe.write_video(path, frames, codec, pixels, b_frames=2)
    with open_video(path) as cpu, open_video(path, decode_device="cuda") as gpu:
        pairs = list(zip(cpu, gpu, strict=True))
        assert [index for (index, _, _), _ in pairs] == list(range(24)) == [index for _, (index, _, _) in pairs]
        assert all((on_cpu == on_gpu).all() for (_, _, on_cpu), (_, _, on_gpu) in pairs)
        assert (gpu[5] == pairs[5][0][2]).all()
    assert not caplog.messages
