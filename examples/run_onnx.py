"""Segment a video with an exported streaming step, using only onnxruntime, NumPy and PyAV.

    python examples/run_onnx.py streaming_step.onnx colonoscopy.mp4 masks

writes ``masks/000000.png`` and so on, with pixels 0 or 255, at the frames' own size. It stops at a damaged packet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import onnxruntime

MEAN, STD = (np.array(x, np.float32).reshape(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def resizing(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that resizes an axis as Pillow does: linear, antialiased if the axis gets shorter."""
    centres = (np.arange(new)[:, None] + 0.5) * old / new
    weights = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centres) / max(old / new, 1))
    return np.rint(weights / weights.sum(1, keepdims=True) * 2**22) / 2**22


def main(step_file: str, video_file: str, output_dir: str) -> None:
    for file in (step_file, video_file):
        if not Path(file).is_file():
            sys.exit(f"error: {file}: no such file")
    step = onnxruntime.InferenceSession(step_file, providers=["CPUExecutionProvider"])
    frame_input, *state_inputs = step.get_inputs()
    height, width = frame_input.shape[2:]
    state = [np.zeros(x.shape, TYPES[x.type]) for x in state_inputs]  # A video starts with zeros.
    options = {"start_number": "0"}
    try:
        with av.open(video_file) as video, av.open(f"{output_dir}/%06d.png", "w", "image2", options) as masks:
            source, target = video.streams.video[0], masks.add_stream("png")
            target.height, target.width, target.pix_fmt = source.height, source.width, "gray"
            to_height, to_width = resizing(source.height, height), resizing(source.width, width).T
            from_height, from_width = resizing(height, source.height), resizing(width, source.width).T
            for picture in video.decode(source):
                Path(output_dir).mkdir(parents=True, exist_ok=True)  # Not before: the file may not be a video.
                pixels = picture.to_ndarray(format="rgb24").transpose(2, 0, 1)
                pixels = np.floor(to_height @ np.floor(pixels @ to_width + 0.5) + 0.5)
                inputs = [((pixels / 255 - MEAN) / STD).astype(np.float32)[None], *state]
                logit, *state = step.run(None, {x.name: y for x, y in zip(step.get_inputs(), inputs, strict=True)})
                mask = 255 * (from_height @ logit[0, 0] @ from_width > 0).astype(np.uint8)
                masks.mux(target.encode(av.VideoFrame.from_ndarray(mask, format="gray")))
            masks.mux(target.encode())
    except (av.FFmpegError, IndexError) as error:
        sys.exit(f"error: {video_file}: not a video, or a damaged one ({type(error).__name__})")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python examples/run_onnx.py STEP.onnx VIDEO OUTPUT_DIR")
    main(*sys.argv[1:])
