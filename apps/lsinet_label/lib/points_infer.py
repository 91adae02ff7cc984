"""Points and boxes for MONAI Label's clients: a lesion's mask in one frame of a video."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferType

from lib.call_files import new_file
from lib.infers import ServedInferTask
from lib.model import ServedModel
from lib.prompted_frames import PromptedFrames
from lib.store import VideoStore, encode_mask
from lsinet_monai.errors import InputError

__all__ = ["PointsInferTask"]


class PointsInferTask(ServedInferTask):
    """Answers with the mask of the lesion at which a person points. Nothing is stored.

    Args:
        videos: the stored videos.
        model: the model in service.
        prompted: segments lesions from points and boxes.
    """

    def __init__(self, videos: VideoStore, model: ServedModel, prompted: PromptedFrames) -> None:
        description = "LSI-Net: a polyp in one frame, from points in it and outside it, and from a box"
        super().__init__(videos, model, InferType.DEEPGROW, description)
        self.prompted = prompted

    def is_valid(self) -> bool:
        """Whether the model in service takes points."""
        return bool(self.model.state()["points"])

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Answer a request.

        Args:
            request: ``image``, the video's id; ``foreground`` and ``background``, points in the lesion and outside,
                each [x, y] in the frame's pixels, or [x, y, frame] as Deepgrow's clients send them; ``box``, [left,
                top, right, bottom]; and ``frame``, the frame's index (by default the points' own, or 0).

        Returns:
            a PNG file, 8-bit grey, (H, W), 1 in the lesion and 0 elsewhere, which the server removes after sending;
            and the frame's index with the lesion's box.

        Raises:
            NotFound: there is no such video or frame.
            InputError: the frame cannot be read, there is no model with a prompt head, or the prompts cannot be used.
        """
        video = self.videos[request["image"]]
        video.info.open_once()
        inside, outside = (_points(request, name) for name in ("foreground", "background"))
        frame = _frame(request, [*inside, *outside])
        points = [point[:2] for point in (*inside, *outside)]
        labels = [1] * len(inside) + [0] * len(outside)  # these clients do not say in which order they were set
        mask = self.prompted.segment(video, frame, points, labels, request.get("box") or None)
        file = new_file(".png")
        file.write_bytes(encode_mask(mask.view(np.uint8)))
        return str(file), {"label_names": {"polyp": 1}, "frame": frame, "box": _box(mask)}


def _points(request: dict[str, Any], name: str) -> list[list[float]]:
    points = request.get(name) or []
    is_list = isinstance(points, list) and all(isinstance(point, list) and len(point) in (2, 3) for point in points)
    if not is_list or not all(type(x) in (int, float) and math.isfinite(x) for point in points for x in point):
        raise InputError(f"{name}={points!r} must be a list of [x, y] or [x, y, frame]")
    return points


def _frame(request: dict[str, Any], points: list[list[float]]) -> int:
    """The frame that is named, or that the points are in."""
    named = request.get("frame")
    frames = [point[2] for point in points if len(point) == 3] + ([] if named is None else [named])
    if not all(type(frame) in (int, float) and frame == int(frame) for frame in frames) or len(set(frames)) > 1:
        raise InputError(f"the points and frame={named!r} must name one frame by its number, from 0")
    return int(frames[0]) if frames else 0


def _box(mask: np.ndarray) -> list[int] | None:
    """Left, top, right and bottom of a mask, or None if it is empty."""
    y, x = np.nonzero(mask)
    return [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1] if x.size else None
