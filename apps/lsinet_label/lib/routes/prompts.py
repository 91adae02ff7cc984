"""Points and boxes: a lesion's mask, which is stored only when a person saves it."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from fastapi import Response
from pydantic import BaseModel, Field

from lib.routes.services import ANNOTATOR, AppServices, lsinet_router
from lib.store import decode_mask, encode_mask
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()

_FRAME = "/videos/{image_id}/frames/{frame}"


class Prompts(BaseModel):
    """All that a person has pointed at so far for one lesion of a frame."""

    points: list[tuple[float, float]] = Field(default_factory=list, max_length=100)
    """x, y in the frame's pixels from its upper left corner, in the order of the clicks."""
    labels: list[int] = Field(default_factory=list)
    """For each point: 1 in the lesion, 0 not in it."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom."""
    mask: str | None = None
    """The mask to start from: a PNG file of the frame's size in base64, in which all pixels but 0 are the lesion."""


@router.post(f"{_FRAME}/prepare", status_code=204, summary="Get ready for clicks", dependencies=[ANNOTATOR])
def prepare_frame(image_id: str, frame: int, app: AppServices) -> Response:
    """Encode a frame, so that the first click on it is as fast as the others.

    Raises:
        NotFound: there is no such video or frame.
        InputError: the frame cannot be read, or there is no model with a prompt head.
    """
    app.prompted.prepare(app.videos[image_id], frame)
    return Response(status_code=204)


@router.post(f"{_FRAME}/prompt", summary="Segment a lesion from points and a box", dependencies=[ANNOTATOR])
def prompt_frame(image_id: str, frame: int, prompts: Prompts, app: AppServices) -> Response:
    """Send the lesion's mask as an 8-bit grey PNG file, (H, W): 1 in the lesion, 0 elsewhere. Nothing is stored.

    Raises:
        NotFound: there is no such video or frame.
        InputError: the frame cannot be read, there is no model with a prompt head, or the prompts cannot be used.
    """
    video = app.videos[image_id]
    start = None if prompts.mask is None else _decode(prompts.mask, video.info.size)
    mask = app.prompted.segment(video, frame, prompts.points, prompts.labels, prompts.box, start)
    return Response(encode_mask(mask.view(np.uint8)), media_type="image/png", headers={"Cache-Control": "no-store"})


def _decode(mask: str, size: tuple[int, int]) -> np.ndarray:
    try:
        content = base64.b64decode(mask, validate=True)
    except binascii.Error as error:
        raise InputError(f"mask is not base64 ({error}): send a PNG file in base64") from None
    return decode_mask(content, size) > 0
