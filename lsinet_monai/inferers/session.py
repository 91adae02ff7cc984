"""A video session: a person corrects masks of some frames, and the frames around them follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.utils import ensure_tuple_rep
from torch import Tensor

from lsinet_monai.data.video.identity import thumbnail
from lsinet_monai.errors import InputError
from lsinet_monai.inferers.corrections import Corrections
from lsinet_monai.inferers.feature_store import FeatureStore, FrameSource
from lsinet_monai.inferers.input_checks import (
    as_frame_index,
    as_mask,
    check_frame_numbers,
    check_network,
    check_source,
    read_frame,
)
from lsinet_monai.inferers.prompted_frame import PromptStore
from lsinet_monai.inferers.propagation import PropagatedFrame, Propagation, Propagator
from lsinet_monai.inferers.sequential import SequentialVideoInferer
from lsinet_monai.inferers.session_file import SavedSession, read_session, write_session
from lsinet_monai.inferers.stored_cuts import StoredCuts
from lsinet_monai.networks import LSINet
from lsinet_monai.utils.config_values import check_numbers

__all__ = ["PropagatedFrame", "VideoSession"]


class VideoSession:
    """Segment a video whose masks a person corrects::

        session = VideoSession(network, video, image_size=352)
        for frame, probability in session.propagate(0, len(video)):
            ...
        session.add_mask(120, mask)
        for found in session.propagate_from(120):
            ...  # found.frame, found.probability, found.carried

    The session returns the mask of a corrected frame as it was given, and carries it to the frames around it: up to
    ``reach`` frames on either side, and not beyond the next corrected frame. There it blends the mask, drawn again if
    ``inferer`` refines masks, with the network's own probability, see :mod:`lsinet_monai.inferers.mask_carrying`. A
    frame out of reach of all corrections gets that alone; without any this is exactly the result of ``inferer``.

    Corrected frames are also in memory, where no other frame makes room for them, but not more than 8 at a time, so
    that no number of them makes a frame slower. They are those nearest to the stretch between two corrected frames that
    is being segmented; the two are among them. They change only where a propagation passes a corrected frame.

    The session holds all state, and the network none. Apart from the corrections (a few MB each), its size does not
    grow with the video: it holds a memory bank, and the features of the ``kept_frames`` frames used last. A propagation
    encodes each frame once that the session does not hold, and corrected ones perhaps again, in batches, whose features
    are kept as long as the mask. Use a session in one thread at a time, and for one propagation at a time.

    Args:
        network: in evaluation mode, on the device to compute on.
        source: the video's frames, see :class:`FrameSource`. Damaged frames are left out. A frame for which the network
            gives no finite numbers gets an empty mask and acts on no other frame; the log names it.
        image_size: side, or height and width, to which frames are resized for the network.
        inferer: its options hold here, too; the default inferer if not given. Next and previous mean in time, also in
            reverse; masks are smoothed in the direction of the propagation, and anew from each corrected frame on.
        reach: the number of frames on either side on which a correction acts; 0 for none. For frames that
            are farther apart than those of a video, let the inferer detect cuts, or use 0: masks that are carried to
            frames of another view make them worse (``docs/experiments/corrections.md``).
        kept_frames: the number of encoded frames to keep, at least ``reach`` + ``encode_batch`` + 3, the default. With
            twice the reach, a frame whose mask is replaced propagates again without encoding any frame.
        frame_size: height and width of the video's frames, for a source that gives them resized to ``image_size`` by
            :func:`lsinet_monai.data.resize_frame`, to save memory. Masks and probabilities have this size, and are the
            same. By default the frames come in their own size, which :meth:`add_points` needs.

    Raises:
        InputError: the network is in training mode, the source is a path, or an argument does not take its value.
    """

    def __init__(
        self,
        network: LSINet,
        source: FrameSource,
        image_size: int | Sequence[int] = 352,
        inferer: SequentialVideoInferer | None = None,
        reach: int = 30,
        kept_frames: int | None = None,
        frame_size: Sequence[int] | None = None,
    ) -> None:
        check_network(network)
        check_source(source)
        check_numbers(image_size=image_size, reach=reach)
        self.network = network
        self.source = source
        self.image_size: tuple[int, int] = ensure_tuple_rep(image_size, 2)
        self.inferer = SequentialVideoInferer() if inferer is None else inferer
        self.reach = reach
        batch = self.inferer.encode_batch
        # To carry a mask backwards, all frames within its reach are encoded; the propagation then needs them forwards.
        capacity = max(reach + batch + 3, kept_frames or 0)
        self._size = None if frame_size is None else ensure_tuple_rep(frame_size, 2)
        self._store = FeatureStore(
            network, source, self.image_size, capacity, batch, lambda x: self._propagator.engine.encode(x), self._size,
            (lambda x: self._propagator.engine.see(x)) if self.inferer.refine else None,
        )  # fmt: skip
        self._cuts = StoredCuts(self._store, self.inferer.detect_cuts)
        self._corrections = Corrections(self._store, reach, self._cuts)
        self._prompts = PromptStore(self._store)
        self._propagation: Propagation | None = None  # that may go on
        self._last: Propagation | None = None
        self._propagator = Propagator(self._store, self.inferer, self._cuts, self._corrections)

    # Corrections -----------------------------------------------------------------------------------------------------

    @property
    def masks(self) -> dict[int, np.ndarray]:
        """The corrected frames, in order, and their masks, bool, (H, W)."""
        return self._corrections.masks

    def add_mask(self, frame: int, mask: np.ndarray | Tensor) -> None:
        """Correct a frame, or replace its mask.

        The next propagation starts with a new memory, which holds the nearest corrected frames.

        Args:
            frame: its index, from 0.
            mask: (H, W) or (1, H, W), bool or integer, at the frame's own size; nonzero pixels are polyp. An empty mask
                says that the frame shows no polyp.

        Raises:
            InputError: the frame does not exist or is damaged, or the mask has another size or a float type.
        """
        frame = as_frame_index(frame)  # torch.load with weights_only=True refuses NumPy's integers in a session file.
        pixels = read_frame(self.source, frame)
        self._correct(frame, as_mask(mask, self._size or pixels.shape[:2], frame), pixels)
        self._prompts.forget(frame)

    def add_points(
        self,
        frame: int,
        points: Any,
        labels: Any,
        box: Any = None,
        lesion: int = 1,
        mask: np.ndarray | Tensor | None = None,
    ) -> np.ndarray:
        """Segment a lesion of a frame from points and a box, and correct the frame with all its lesions together.

        A further point costs one pass of the prompt head, see :class:`lsinet_monai.inferers.PromptedFrame`. The session
        keeps the prompts of the 16 frames used last, about 10 MB each for 1080p, and a session file has none: such a
        frame has its mask, which is lesion 1 until points change it.

        Args:
            frame: its index, from 0.
            points: all points of this lesion in this frame so far, (N, 2) as x, y in the frame's pixels, in the order
                of the clicks; may be empty if there is a box.
            labels: (N,): 1 for a point in the lesion, 0 for one outside.
            box: left, top, right and bottom of the lesion in the same pixels.
            lesion: its number, so that a frame can have several.
            mask: (H, W), bool or integer, the lesion's mask to start from, the same in each call of a lesion. If not
                given, lesion 1 starts from the mask that the frame has already, and others start from nothing.

        Returns:
            the lesion's mask, bool, (H, W).

        Raises:
            InputError: the network has no prompt head; the frame does not exist or is damaged; the prompts do not have
                these shapes, lie outside the frame, or there are none; or the session has a ``frame_size``.
        """
        if self._size is not None:
            raise InputError("add_points needs the frames in their own size: make the session without frame_size")
        frame = as_frame_index(frame)
        pixels = read_frame(self.source, frame)
        prompted = self._prompts.open(frame, pixels, self.masks.get(frame))
        found = prompted.segment(points, labels, box, mask, lesion)
        self._correct(frame, prompted.mask, pixels)
        return found

    def remove_points(self, frame: int, lesion: int = 1) -> None:
        """Take back all points of a lesion in a frame, and its box. The frame's other lesions stay.

        Lesion 1 is then the mask that the frame had before its points. Without such a mask, the frame is uncorrected
        again once its last lesion is gone.

        Raises:
            InputError: the session has no points of this lesion, see :meth:`add_points`.
        """
        pixels = read_frame(self.source, as_frame_index(frame))
        mask = self._prompts.remove(frame, lesion)
        if mask is None:
            self.remove_mask(frame)
        else:
            self._correct(frame, mask, pixels)

    def remove_mask(self, frame: int) -> None:
        """Take a correction back. It acted on the frames of :meth:`reached_from`.

        Raises:
            InputError: the frame has no mask.
        """
        self._check_corrected(frame)
        self._corrections.remove(frame)
        self._prompts.forget(frame)
        self._propagation = None

    def reached_from(self, frame: int) -> range:
        """The frames on which a correction of a frame acts, including this frame, which need not be corrected yet.

        Raises:
            InputError: the frame does not exist.
        """
        check_frame_numbers(self.source, frame)
        return self._corrections.reached_from(frame)

    def _correct(self, frame: int, mask: np.ndarray, pixels: np.ndarray) -> None:
        self._corrections.add(frame, mask, thumbnail(pixels), self._store.is_blank(pixels))
        self._propagation = None

    def _check_corrected(self, frame: int) -> None:
        if frame not in self._corrections:
            known = ", ".join(map(str, self.masks)) or "none"
            raise InputError(f"frame {frame} has no mask (frames with one: {known}): give it one with add_mask")

    # Propagation -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def propagate(
        self, start: int = 0, end: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Segment the frames from ``start`` to ``end - 1``; by default all frames.

        A propagation that starts where the last one stopped, in the same direction, resumes with its memory, unless a
        correction was made in between. Any other propagation starts with only corrected frames in memory. In both
        directions, frames before and after a corrected frame follow its mask. A mask that is added during a propagation
        acts on the frames that come after.

        Args:
            start: the first frame.
            end: the frame after the last one; by default the number of frames. With ``start >= end`` nothing is
                segmented.
            reverse: segment from ``end - 1`` down to ``start``.

        Yields:
            the frame's index, and its probability, float32, (H, W), at the frame's own size; for a corrected frame its
            mask as 0 and 1.

        Raises:
            InputError: some of these frames do not exist, or a frame is not a picture, uint8, (H, W, 3).
        """
        start, end = as_frame_index(start), as_frame_index(len(self.source) if end is None else end)
        if start >= end:
            return
        check_frame_numbers(self.source, start, end - 1)
        frames = range(end - 1, start - 1, -1) if reverse else range(start, end)
        propagation = self._propagation
        if propagation is None or (propagation.frame, propagation.step) != (frames[0], frames.step):
            propagation = self._propagator.begin(frames)
        self._propagation = self._last = propagation
        for frame in frames:
            own = self._propagator.segment(frame, propagation)
            if own is not None:
                yield frame, self._propagator.blend(frame, own)
        propagation.report_skipped_writes()

    @property
    def skipped_writes(self) -> int:
        """How many frames the last :meth:`propagate` did not write to memory, because they were not finite or blank."""
        return 0 if self._last is None else self._last.skipped_writes

    @torch.no_grad()
    def propagate_from(
        self, frame: int, within: range | None = None, nearest_first: bool = False
    ) -> Iterator[PropagatedFrame]:
        """Segment the frames on which a corrected frame acts, and report how much its carried mask changed theirs.

        These are the frames of :meth:`reached_from` except the frame itself. The frames before it come first,
        backwards, then the frames after it. Their order changes no probability.

        Args:
            frame: the corrected frame's index, from 0.
            within: frames without gaps, among them the corrected one: the propagation ends where they end.
            nearest_first: whether frames before and after it come in turns. Reading them may take longer then.

        Yields:
            each frame that is not damaged, see :class:`PropagatedFrame`.

        Raises:
            InputError: the frame has no mask.
        """
        self._check_corrected(frame)
        reached = self._corrections.within_reach(frame)
        if within is not None:
            reached = range(max(reached.start, within.start), min(reached.stop, within.stop))
        yield from self._propagator.propagate_from(frame, reached, nearest_first)

    def encode(self, frames: Iterable[int]) -> None:
        """Encode frames ahead of a propagation, which then begins sooner. Damaged ones are left out."""
        for frame in frames:
            check_frame_numbers(self.source, frame)
            self._store.get(frame)

    # The file --------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the session to a file: masks, options, and the memory of the propagation.

        The file holds no frames and no weights, only a thumbnail of each corrected frame and of the first one. It
        appears complete or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        saved = SavedSession(
            image_size=self.image_size,
            reach=self.reach,
            inferer={**self.inferer.settings, "encode_batch": self.inferer.encode_batch},
            masks=self._corrections.masks,
            thumbnails=self._corrections.thumbnails,
            propagation=None if self._propagation is None else self._propagation.state_dict(),
        )
        write_session(path, saved, self.network, self.source)

    @classmethod
    def load(cls, path: str | Path, network: LSINet, source: FrameSource) -> VideoSession:
        """Read a session that :meth:`save` wrote. Its propagation can resume.

        Args:
            path: the file.
            network: the session's network; it may be on another device.
            source: the session's video.

        Raises:
            InputError: the file is missing, damaged or not a session file, or its network or video is another one.
        """
        saved = read_session(path, network, source)
        session = cls(network, source, saved.image_size, SequentialVideoInferer(**saved.inferer), saved.reach)
        for frame, mask in saved.masks.items():
            session.add_mask(frame, mask)
        if saved.propagation is not None:
            memory = session.inferer.new_state().memory
            session._propagation = Propagation.from_state_dict(saved.propagation, memory, list(saved.masks))
            session._propagation.to(session._store.device)
            session._last = session._propagation
        return session
