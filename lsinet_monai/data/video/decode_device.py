"""Where video streams are decoded: on the CPU, or by the decoder of an NVIDIA GPU."""

from __future__ import annotations

import torch
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from lsinet_monai.errors import InputError

__all__ = ["find_gpu_decoder"]


def find_gpu_decoder(decode_device: torch.device | str = "cpu") -> HWAccel | None:
    """Find the decoder of a GPU, which PyAV's FFmpeg drives.

    Args:
        decode_device: "cpu", or an NVIDIA GPU, such as "cuda" or "cuda:1".

    Returns:
        PyAV's settings of that decoder; None for the CPU. A stream that it cannot decode is decoded on the CPU.

    Raises:
        InputError: it is another device, or this machine or PyAV has no such decoder.
    """
    try:
        device = torch.device(decode_device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"decode_device={decode_device!r} is no device: give cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return None
    if device.type != "cuda":
        raise InputError(f"decode_device={str(device)!r} does not decode video: give cpu, cuda or cuda:N")
    problem = "this PyAV was built without it"
    if "cuda" in hwdevices_available():
        # The primary context is PyTorch's; another one would cost half a gigabyte of the GPU.
        decoder = HWAccel("cuda", str(device.index or 0), allow_software_fallback=True, options={"primary_ctx": "1"})
        try:
            decoder.create(Codec("h264", "r"))
            return decoder
        except (FFmpegError, OSError, NotImplementedError) as error:
            problem = f"FFmpeg: {getattr(error, 'strerror', None) or error}"
    raise InputError(
        f"decode_device={str(device)!r} cannot decode video ({problem}); it needs an NVIDIA GPU with its driver, and "
        "in a container the driver's capability 'video': leave it out to decode on the CPU"
    )
