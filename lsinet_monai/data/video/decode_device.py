"""Where video streams are decoded: on the CPU, or by the decoder of an NVIDIA GPU."""

from __future__ import annotations

import ctypes
import sys

import torch
from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from lsinet_monai.errors import InputError

__all__ = ["find_gpu_decoder"]

_LIBRARY = "nvcuvid.dll" if sys.platform == "win32" else "libnvcuvid.so.1"
"""The driver's decoder. Without it FFmpeg decodes on the CPU in silence."""


def find_gpu_decoder(decode_device: torch.device | str = "cpu") -> HWAccel | None:
    """Find the decoder of a GPU, which PyAV's FFmpeg drives.

    Args:
        decode_device: "cpu", or an NVIDIA GPU, such as "cuda:1"; "cuda" is PyTorch's current one.

    Returns:
        PyAV's settings of that decoder; None for the CPU.

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
    index = device.index
    if index is None:
        index = torch.cuda.current_device() if torch.cuda.is_available() else 0
    # FFmpeg's own context, not PyTorch's: FFmpeg refuses one that PyTorch has begun to use.
    decoder = HWAccel("cuda", str(index), allow_software_fallback=True)
    problem = _find_problem(decoder)
    if problem is not None:
        raise InputError(
            f"decode_device={str(device)!r} cannot decode video ({problem}); it needs an NVIDIA GPU with its driver, "
            "and in a container the driver's capability 'video': leave it out to decode on the CPU"
        )
    return decoder


def _find_problem(decoder: HWAccel) -> str | None:
    """Why a GPU's decoder cannot be used; None if it can."""
    if "cuda" not in hwdevices_available():
        return "this PyAV was built without it"
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return f"there is no {_LIBRARY}"
    try:
        decoder.create(Codec("h264", "r"))
    except (FFmpegError, OSError, NotImplementedError) as error:
        return f"FFmpeg: {getattr(error, 'strerror', None) or error}"
    return None
