"""Previews of how a mask spreads that nobody has saved yet: computed at each click, and stored nowhere."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
from monai.utils import ensure_tuple_rep

from lib.errors import Conflict
from lib.frame_images import FrameImages
from lib.model import ServedModel
from lib.nearby_frames import NearbyFrames
from lib.spreading import Inferers, SpreadLesions, corrections_in_use, sources_of
from lib.store import REACH, StoredVideo
from lsinet_monai.inferers import SequentialVideoInferer, VideoSession
from lsinet_monai.inferers.propagation import PropagatedFrame
from lsinet_monai.networks import LoadedModel

__all__ = ["PreviewedFrame", "SpreadPreviews"]

_FIRST = 2  # frames on either side, on which the masks of the next ones depend
_AROUND = REACH + 2  # a frame's mask depends on the next one, and a cut on the one before


class PreviewedFrame(NamedTuple):
    """What a frame around the drawn one would get."""

    frame: int
    labels: np.ndarray
    """uint8, (H, W): lesion ids."""


class SpreadPreviews:
    """Propagates masks that are not saved, by the rules of the jobs that propagate saved ones, and stores nothing.

    The masks are those that a job would store if the mask were saved now; only a lesion that the drawn mask does not
    show may get another id. Frames with a person's mask, drawn, filled or checked, are skipped, with all beyond them.

    Each page has its own preview, so people who work on one video do not end each other's. For the last few pages and
    videos it keeps a session: its features, 1.2 MB a frame at 352x352, and the frames that wait to be encoded, 0.4 MB
    each. So a second click on a frame encodes nothing again. In all this is about 110 MB a session, and up to 130 MB
    more for decoded frames until a preview is complete.

    It takes no turn on the device, see :class:`lib.device_turns.DeviceTurns`: a person waits for the first frames.

    Args:
        images: reads frames.
        model: the model in service.
        threshold: a pixel belongs to a mask if its probability is above this.
        most: how many sessions are kept.
    """

    def __init__(self, images: FrameImages, model: ServedModel, threshold: float = 0.5, most: int = 4) -> None:
        self._images = images
        self._model = model
        self._threshold = threshold
        self._most = most
        self._inferers = Inferers()  # they encode one frame at a time, so that the first mask comes soon
        self._lock = threading.Lock()  # held for a frame at a time
        self._begins = threading.Lock()
        self._open: OrderedDict[_Session, _OpenVideo] = OrderedDict()
        self._calls: dict[_Caller, _Call] = {}  # the last one of each caller; those that are over may be missing

    def spread(
        self, video: StoredVideo, frame: int, labels: np.ndarray, within: range | None = None, page: str = ""
    ) -> Iterator[PreviewedFrame]:
        """Show how a mask would spread. This ends the preview before it of the same video and page.

        Args:
            video: the video.
            frame: the frame of the mask.
            labels: the mask, uint8, (H, W): lesion ids of all its lesions.
            within: only these frames; None for all that are reached.
            page: an id of the page that asks.

        Returns:
            the frames around it that would change, the nearest first, on both sides by turns. The iterator raises
            Conflict once another preview has replaced this one.

        Raises:
            NotFound: there is no such frame.
            Conflict: the video is final.
            InputError: the frame cannot be read, or there is no model.
        """
        video.info.check_frame(frame)
        video.info.check_not_final()
        mark, model = self._model.load()
        reached = video.reached_from(frame)
        if within is not None:
            reached = range(max(reached.start, within.start), min(reached.stop, within.stop))
        caller = _Caller(video.id, page)
        call = self._begin(caller)
        try:
            with _replacement_reported(video.id), self._lock:
                opened = self._opened(video, caller, mark, model, call)
                opened.correct(video, frame, labels, reached)
        except BaseException:
            call.is_over = True
            raise
        lesions = SpreadLesions(frame, labels, self._threshold, video.lesions.next_id(reached))
        found = opened.session.propagate_from(frame, reached, nearest_first=True)
        following = self._follow(call, video, opened.source, found, lesions, video.propagated_from(frame))
        weakref.finalize(following, call.end)  # also if nobody ever asks it for a frame
        return following

    def prepare(self, video: StoredVideo, frame: int, page: str = "") -> None:
        """Encode a frame and those next to it, so that the first masks come soon; not while the page gets a preview.

        Raises:
            NotFound: there is no such frame.
            InputError: there is no model.
        """
        video.info.check_frame(frame)
        mark, model = self._model.load()
        caller = _Caller(video.id, page)
        call = self._begin_if_idle(caller)
        if call is None:
            return
        first, end = max(0, frame - _FIRST), min(video.info.frame_count, frame + _FIRST + 1)
        with suppress(_Replaced), call, self._lock:
            opened = self._opened(video, caller, mark, model, call)
            opened.source.move(frame)
            opened.session.encode(sorted(range(first, end), key=lambda other: abs(other - frame)))

    def _follow(
        self,
        call: _Call,
        video: StoredVideo,
        source: NearbyFrames,
        found: Iterator[PropagatedFrame],
        lesions: SpreadLesions,
        came: Collection[int],
    ) -> Iterator[PreviewedFrame]:
        with _replacement_reported(video.id), call:
            while True:
                with self._lock:  # not while the caller has the frame: it may never come back
                    call.check()
                    around = next(found, None)
                    if around is None:
                        source.end_pass()
                        return
                labels = lesions(around.frame, around.probability)
                # As the job decides that spreads the mask when it is saved.
                sources = sources_of(around, lesions.frame, video, is_stale=around.frame in came)
                if sources == []:
                    labels = video.lesions.merges()[video.mask(around.frame, original=True).labels]
                if sources is not None:
                    yield PreviewedFrame(around.frame, labels)

    def _begin(self, caller: _Caller) -> _Call:
        """Begin a call, and end the caller's one before at the next frame that it reads."""
        with self._begins:
            return self._replace(caller)

    def _begin_if_idle(self, caller: _Caller) -> _Call | None:
        """Begin a call, unless the caller's one before has not come to its end."""
        with self._begins:
            return None if caller in self._running() else self._replace(caller)

    def _replace(self, caller: _Caller) -> _Call:
        self._calls = self._running()
        if caller in self._calls:
            self._calls[caller].is_replaced = True
        self._calls[caller] = _Call()
        return self._calls[caller]

    def _running(self) -> dict[_Caller, _Call]:
        return {caller: call for caller, call in self._calls.items() if not call.is_over}

    def _opened(self, video: StoredVideo, caller: _Caller, mark: str, model: LoadedModel, call: _Call) -> _OpenVideo:
        """The session of a caller, for a call that has not been replaced."""
        call.check()
        key = _Session(caller, video.path.stat().st_mtime_ns, mark)
        for other in list(self._open):
            is_other_file = other.caller.video == video.id and other.changed != key.changed
            if is_other_file or other.model != mark:
                self._open.pop(other).source.end_pass()  # of a video that was replaced, or of a model out of service
        if key not in self._open:
            self._open[key] = _OpenVideo(self._images, video, model, self._inferers.of(model.network))
        self._open.move_to_end(key)
        while len(self._open) > self._most:
            self._open.popitem(last=False)[1].source.end_pass()
        self._open[key].source.on_read = call.check
        return self._open[key]


class _Caller(NamedTuple):
    video: str
    page: str


class _Session(NamedTuple):
    caller: _Caller
    changed: int
    """When the video's file was changed."""
    model: str
    """The mark of the model."""


class _Replaced(Exception):  # no InputError, which a session takes for a damaged frame
    """The caller has called again."""


@contextmanager
def _replacement_reported(video: str) -> Iterator[None]:
    try:
        yield
    except _Replaced:
        raise Conflict(f"a later preview of '{video}' has replaced this one") from None


class _Call:
    """One call for a preview."""

    def __init__(self) -> None:
        self.is_replaced = False
        self.is_over = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self.is_over = True

    def check(self) -> None:
        """Raise if the caller has called again."""
        if self.is_replaced:
            raise _Replaced


class _OpenVideo:
    """The session of a video, with the corrections that it knows."""

    def __init__(
        self, images: FrameImages, video: StoredVideo, model: LoadedModel, inferer: SequentialVideoInferer
    ) -> None:
        size = ensure_tuple_rep(model.image_size, 2)
        self.source = NearbyFrames(images, video.path, video.info.frame_count, (size[0], size[1]), _AROUND)
        self.session = VideoSession(
            model.network,
            self.source,
            model.image_size,
            inferer,
            reach=REACH,
            kept_frames=2 * _AROUND + 1,
            frame_size=video.info.size,
        )
        self._stored: dict[int, int] = {}  # the versions of the stored corrections in the session

    def correct(self, video: StoredVideo, frame: int, labels: np.ndarray, reached: range) -> None:
        """Let the session have a mask of a frame, the stored masks on which the frames around it depend, and no others.

        Raises:
            InputError: a frame cannot be read.
        """
        self.source.move(frame)
        corrections = video.spreading_corrections
        used = set(corrections_in_use(corrections.keys() | {frame}, frame, reached)) - {frame}
        for other in self.session.masks:
            if other not in used and other != frame:
                self.session.remove_mask(other)
        before, self._stored = self._stored, {}
        for other in sorted(used):
            if before.get(other) != corrections[other].version:
                self.session.add_mask(other, video.mask(other).labels > 0)
            self._stored[other] = corrections[other].version
        self.session.add_mask(frame, labels > 0)
