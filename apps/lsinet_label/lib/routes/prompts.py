"""Points and boxes: a lesion's mask, and how it would spread. Both are stored only when a person saves the mask."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated

import numpy as np
from fastapi import BackgroundTasks, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from lib.routes.services import ANNOTATOR, AppServices, lsinet_router
from lib.spread_previews import PreviewedFrame, SpreadPreviews
from lib.store import StoredVideo, decode_mask, encode_mask
from lsinet_monai.errors import InputError

__all__ = ["router"]

router = lsinet_router()

_FRAME = "/videos/{image_id}/frames/{frame}"

Page = Annotated[str, Query(max_length=100, description="an id of the page that asks; each has its own preview")]


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


class UnsavedMask(BaseModel):
    """A mask of a frame as it would be saved."""

    mask: str
    """A PNG file of the frame's size in base64, 8-bit grey: lesion ids."""
    first: int | None = None
    """Show the frames from this one to ``last`` alone."""
    last: int | None = None


@router.post(f"{_FRAME}/prepare", status_code=204, summary="Get ready for clicks", dependencies=[ANNOTATOR])
def prepare_frame(
    image_id: str, frame: int, app: AppServices, afterwards: BackgroundTasks, page: Page = ""
) -> Response:
    """Encode a frame, so that the first click on it is as fast as the others; afterwards, also those next to it.

    Raises:
        NotFound: there is no such video or frame.
        InputError: the frame cannot be read, or there is no model with a prompt head.
    """
    video = app.videos[image_id]
    app.prompted.prepare(video, frame)
    afterwards.add_task(_prepare_spread, app.previews, video, frame, page)
    return Response(status_code=204)


def _prepare_spread(previews: SpreadPreviews, video: StoredVideo, frame: int, page: str) -> None:
    with suppress(InputError):  # a click will say what is wrong
        previews.prepare(video, frame, page)


@router.post(f"{_FRAME}/prompt", summary="Segment a lesion from points and a box", dependencies=[ANNOTATOR])
def prompt_frame(image_id: str, frame: int, prompts: Prompts, app: AppServices) -> Response:
    """Send the lesion's mask as an 8-bit grey PNG file, (H, W): 1 in the lesion, 0 elsewhere. Nothing is stored.

    Raises:
        NotFound: there is no such video or frame.
        InputError: the frame cannot be read, there is no model with a prompt head, or the prompts cannot be used.
    """
    video = app.videos[image_id]
    start = None if prompts.mask is None else _decode(prompts.mask, video.info.size) > 0
    mask = app.prompted.segment(video, frame, prompts.points, prompts.labels, prompts.box, start)
    return Response(encode_mask(mask.view(np.uint8)), media_type="image/png", headers={"Cache-Control": "no-store"})


@router.post(f"{_FRAME}/spread", summary="Show how a mask would spread", dependencies=[ANNOTATOR])
def preview_spread(
    image_id: str, frame: int, wanted: UnsavedMask, app: AppServices, page: Page = ""
) -> StreamingResponse:
    """Send the masks that a propagation of this mask would store, as they come, the nearest frames first.

    Each line is JSON: ``frame`` and its ``mask``, a PNG file in base64 of lesion ids. After all of them comes a line
    with ``complete``. If a later call of the same page for the video replaces this one, or a frame fails, the last line
    has ``detail`` instead. Nothing is stored.

    Raises:
        NotFound: there is no such video or frame.
        Conflict: the video is final.
        InputError: the frame cannot be read, there is no model, or the mask is not such a file.
    """
    video = app.videos[image_id]
    labels = _decode(wanted.mask, video.info.size)
    within = None if wanted.first is None or wanted.last is None else range(wanted.first, wanted.last + 1)
    if within is not None and frame not in within:
        raise InputError(f"frame {frame} is not in the frames {within.start} to {within.stop - 1}: include it")
    found = app.previews.spread(video, frame, labels, within, page)
    return StreamingResponse(_lines(found), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})


def _lines(found: Iterator[PreviewedFrame]) -> Iterator[str]:
    try:
        for frame, labels in found:
            yield json.dumps({"frame": frame, "mask": base64.b64encode(encode_mask(labels)).decode()}) + "\n"
        yield json.dumps({"complete": True}) + "\n"
    except InputError as error:  # the answer has begun: its status is sent
        yield json.dumps({"detail": str(error)}) + "\n"


def _decode(mask: str, size: tuple[int, int]) -> np.ndarray:
    """Lesion ids, uint8, (H, W)."""
    try:
        content = base64.b64decode(mask, validate=True)
    except binascii.Error as error:
        raise InputError(f"mask is not base64 ({error}): send a PNG file in base64") from None
    return decode_mask(content, size)
