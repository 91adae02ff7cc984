"""A video that a person steers: masks given for some frames, and probabilities for the frames around them."""

from __future__ import annotations

import hashlib
import json
import operator
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lsinet_monai.data.frames import frames_to_tensor, resize_frame
from lsinet_monai.errors import InputError
from lsinet_monai.masks import logit_to_probability, mask_change
from lsinet_monai.networks import Features, LSINet
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.networks.memory import weight_values
from lsinet_monai.utils.files import read_torch_file, write_torch_file

from .corrections import Match, blend, carry_mask, match_features
from .memory_bank import MemoryBank
from .sequential import SequentialVideoInferer, encode_frames, segment_frame

__all__ = ["FrameSource", "PropagatedFrame", "VideoSession"]

_FORMAT = 1
# Small pictures of a few frames tell a session's video from another, whatever decodes it.
_THUMBNAIL = (16, 16)
_SAME_PICTURE = 4.0  # mean difference, of 255
_OPTIONS = ("memory_interval", "memory_frames", "adjacent", "forgetting", "encode_batch", "amp_dtype")


class FrameSource(Protocol):
    """Frames at random access: a list, an array (T, H, W, 3), or what ``lsinet_monai.data.open_video`` gives."""

    def __len__(self) -> int:
        """How many frames there are."""

    def __getitem__(self, index: int, /) -> np.ndarray:
        """The frame with an index, uint8, (H, W, 3), RGB; an InputError if it is damaged."""


class PropagatedFrame(NamedTuple):
    """A frame around a corrected one."""

    frame: int
    probability: np.ndarray
    """float32, (H, W), in [0, 1]."""
    change: float
    """How far the correction moved its mask: 1 - IoU of the masks, where the probability is above 0.5, with and without
    the correction; 0 where both are empty."""


class _Encoded(NamedTuple):
    features: Features
    size: tuple[int, int]


@dataclass
class _Correction:
    """A person's mask, and what it takes to carry it."""

    mask: np.ndarray
    """bool, (H, W)."""
    picture: Tensor
    """The frame, very small."""
    features: Features | None = None
    before: list[Match] = field(default_factory=list)
    """The matches of the frames before it, from it backwards."""
    after: list[Match] = field(default_factory=list)


@dataclass
class _Run:
    """Where a propagation stands."""

    memory: MemoryBank
    frame: int
    """The frame to come next."""
    step: int
    """1, or -1 in reverse."""
    count: int = 0
    """How many frames there have been, damaged ones not among them."""


class VideoSession:
    """Segment a video whose masks a person corrects::

        session = VideoSession(network, video, image_size=352)
        for frame, probability in session.propagate(0, len(video)):
            ...
        session.add_mask(120, mask)
        for frame, probability, change in session.propagate_from(120):
            ...

    A corrected frame's mask is returned as it was given. The frame is permanent in memory, and its mask is carried to
    the frames around it, up to ``reach`` frames on either side and no farther than the next corrected frame: there it
    is blended with the network's own probability, see :mod:`lsinet_monai.inferers.corrections`. A frame that is not
    within reach of a correction gets the network's own probability, exactly that of ``inferer`` if no frame is
    corrected.

    The session holds all state; the network holds none. Apart from the corrections (a few MB each), what it holds does
    not grow with the video: the memory bank, and the encoded features of so many frames as a correction reaches.
    Each of these is encoded once. A session belongs to one thread at a time, and runs one propagation at a time.

    Args:
        network: in evaluation mode, on the device to compute on.
        source: the video's frames, see :class:`FrameSource`. Frames that it says are damaged, by an InputError, are
            left out.
        image_size: side, or height and width, to which frames are resized for the network.
        inferer: how memory is written and which frame is adjacent; its defaults if not given. The adjacent frame is
            the next or the previous one in time, in reverse too.
        reach: how many frames on either side a correction acts on; 0 for none, as for frames that do not follow one
            another at a video's rate, which it would make worse (``docs/experiments.md``, "Real frames").

    Raises:
        InputError: ``reach`` is negative.
    """

    def __init__(
        self,
        network: LSINet,
        source: FrameSource,
        image_size: int | Sequence[int] = 352,
        inferer: SequentialVideoInferer | None = None,
        reach: int = 30,
    ) -> None:
        if reach < 0:
            raise InputError(f"reach must be 0 or more, got {reach}")
        self.network = network
        self.source = source
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.image_size = (height, width)
        self.inferer = SequentialVideoInferer() if inferer is None else inferer
        self.reach = reach
        self._corrections: dict[int, _Correction] = {}
        self._run: _Run | None = None
        # Frames that were encoded last, None for a damaged one: as many as a mask ahead is carried back over.
        self._encoded: OrderedDict[int, _Encoded | None] = OrderedDict()
        self._most_encoded = reach + self.inferer.encode_batch + 3

    # Corrections -----------------------------------------------------------------------------------------------------

    @property
    def masks(self) -> dict[int, np.ndarray]:
        """The corrected frames, in order, and their masks, bool, (H, W)."""
        return {frame: self._corrections[frame].mask for frame in sorted(self._corrections)}

    def add_mask(self, frame: int, mask: np.ndarray | Tensor) -> None:
        """Correct a frame. A mask that it had is replaced.

        The next propagation starts its memory anew, with all corrected frames in it.

        Args:
            frame: its index, from 0.
            mask: (H, W) or (1, H, W), bool or whole numbers, of the frame's own size; what is not 0 is polyp. An empty
                mask says that the frame shows no polyp.

        Raises:
            InputError: there is no such frame, it is damaged, or the mask is not of its size.
        """
        frame = operator.index(frame)  # a number of NumPy's would be saved as what weights_only=True does not load
        self._check_frames(frame)
        if isinstance(mask, Tensor):
            mask = (mask.float() if mask.is_floating_point() else mask).cpu().numpy()  # NumPy has no bfloat16
        values = np.asarray(mask)
        if values.dtype.kind not in "biu":
            raise InputError(f"the mask of frame {frame} is of {values.dtype}: give bool or whole numbers, 0 for none")
        pixels = self.source[frame]
        size = pixels.shape[:2]
        if values.shape not in (size, (1, *size)):
            raise InputError(f"the mask of frame {frame} is {values.shape}, and the frame {size}: they must be alike")
        values = (values != 0).reshape(size)
        self._corrections.setdefault(frame, _Correction(values, _thumbnail(pixels))).mask = values
        self._run = None

    def remove_mask(self, frame: int) -> None:
        """Take a correction back; the frames that it acted on are then those of :meth:`reached_from`.

        Raises:
            InputError: the frame has no mask.
        """
        self._check_corrected(frame)
        del self._corrections[frame]
        self._run = None

    def reached_from(self, frame: int) -> range:
        """The frames that a correction of this frame acts on, with the frame itself, whether it is corrected or not."""
        self._check_frames(frame)
        earlier, later = self._neighbours(frame)
        first = max(0, frame - self.reach, -1 if earlier is None else earlier + 1)
        end = min(len(self.source), frame + self.reach + 1, len(self.source) if later is None else later)
        return range(first, end)

    def _neighbours(self, frame: int, without: int | None = None) -> tuple[int | None, int | None]:
        """The nearest corrected frames before and after a frame, one of them left out if told to."""
        corrected = self._corrections.keys() - {without}
        earlier = max((other for other in corrected if other < frame), default=None)
        return earlier, min((other for other in corrected if other > frame), default=None)

    # Propagation -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def propagate(
        self, start: int = 0, end: int | None = None, reverse: bool = False
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Segment the frames from ``start`` up to, without, ``end``; all of them by default.

        A propagation that starts where the last one ended or was left, in the same direction, goes on with its memory,
        unless a correction was made in between. Any other starts with the corrected frames in memory and nothing else.
        Masks act in both directions whichever way it goes, one that is added in its midst on the frames to come.

        Args:
            start: the first frame.
            end: the frame after the last one; the video's end if not given. Not above ``start`` there are no frames.
            reverse: go from ``end - 1`` down to ``start``.

        Yields:
            the frame's index, and its probability, float32, (H, W), at the frame's own size: for a corrected frame its
            mask, 0 or 1.

        Raises:
            InputError: there are no such frames.
        """
        end = len(self.source) if end is None else end
        if start >= end:
            return
        self._check_frames(start, end - 1)
        frames = range(end - 1, start - 1, -1) if reverse else range(start, end)
        run = self._run
        if run is None or (run.frame, run.step) != (frames[0], frames.step):
            run = self._start(frames)
        self._run = run
        for frame in frames:
            own = self._segment(frame, run)
            if own is not None:
                yield frame, _to_numpy(blend(own, self._carried(frame)))

    @torch.no_grad()
    def propagate_from(self, frame: int) -> Iterator[PropagatedFrame]:
        """Segment anew the frames that a corrected frame acts on, those of :meth:`reached_from`, and say what changed.

        First those before it, from it backwards, then those behind it, forwards; it is not among them itself.

        Raises:
            InputError: the frame has no mask.
        """
        self._check_corrected(frame)
        reached = self.reached_from(frame)
        for frames in (range(frame - 1, reached.start - 1, -1), range(frame + 1, reached.stop)):
            if not frames:
                continue
            run = self._start(frames)
            for other in frames:
                own = self._segment(other, run)
                if own is None:
                    continue
                after = _to_numpy(blend(own, self._carried(other)))
                before = _to_numpy(blend(own, self._carried(other, without=frame)))
                yield PropagatedFrame(other, after, mask_change(before > 0.5, after > 0.5))

    def _start(self, frames: range) -> _Run:
        """A propagation over frames, with the corrected frames of the video in memory."""
        memory = self.inferer.start().memory
        for frame in sorted(self._corrections):
            features = self._encode_corrected(frame)
            mask = self._to_image(self._mask(frame))
            memory.write(features.keys, [weight_values(v, mask) for v in features.values], permanent=True)
        return _Run(memory, frames[0], frames.step)

    def _segment(self, frame: int, run: _Run) -> Tensor | None:
        """The probability of the next frame of a run, (1, 1, H, W), without masks that are carried to it.

        A corrected frame's is its mask. None if the frame is damaged.
        """
        run.frame = frame + run.step
        encoded = None if frame in self._corrections else self._encode(frame, run.step)
        if encoded is None and frame not in self._corrections:
            return None
        write = run.count % self.inferer.memory_interval == 0
        run.count += 1
        if encoded is None:
            return self._mask(frame).float()
        adjacent = self._adjacent(frame, run.step)
        logits = segment_frame(encoded.features, adjacent, run.memory, self.network, write)
        logit = self.network.upsample_logits(logits, self.image_size)[-1]
        return logit_to_probability(logit, encoded.size)

    def _adjacent(self, frame: int, step: int) -> Features:
        """The frame beside a frame; where there is none on the side asked for, as the inferer has it."""
        sides = (frame + 1, frame - 1, frame) if self.inferer.adjacent == "next" else (frame - 1, frame)
        encoded = (self._encode(side, step) for side in sides if 0 <= side < len(self.source))
        return next(found.features for found in encoded if found is not None)

    def _carried(self, frame: int, without: int | None = None) -> list[tuple[Tensor, Tensor]]:
        """The masks that are carried to a frame, with the trust in them; as if one corrected frame were not."""
        encoded = None if frame in self._corrections else self._encode(frame)
        if encoded is None:
            return []
        carried = []
        for corrected in self._neighbours(frame, without):
            if corrected is not None and abs(frame - corrected) <= self.reach:
                match = self._match(corrected, frame)
                distance = abs(frame - corrected)
                mask = self._mask(corrected).float()
                carried.append(carry_mask(mask, match, distance, self.reach, self.image_size, encoded.size))
        return carried

    def _match(self, corrected: int, frame: int) -> Match:
        """Match a frame with a corrected one, and before it all those between that have not been yet."""
        correction = self._corrections[corrected]
        features = self._encode_corrected(corrected).maps[0]
        step = 1 if frame > corrected else -1
        matches = correction.after if step > 0 else correction.before
        for other in range(corrected + step * (len(matches) + 1), frame + step, step):
            match = matches[-1] if matches else Match.identity(features)
            encoded = self._encode(other, step)
            matches.append(match if encoded is None else match_features(features, encoded.features.maps[0], match))
        return matches[abs(frame - corrected) - 1]

    # Frames and masks ------------------------------------------------------------------------------------------------

    def _encode(self, frame: int, step: int = 1) -> _Encoded | None:
        """A frame's features, and size; None if it is damaged. With ``encode_batch``, those to come next as well."""
        if frame not in self._encoded:
            ahead = range(frame, frame + step * self.inferer.encode_batch, step)
            read: dict[int, np.ndarray] = {}
            for other in ahead:
                if 0 <= other < len(self.source) and other not in self._encoded:
                    try:
                        read[other] = self.source[other]
                    except InputError:
                        self._encoded[other] = None
            self._encoded |= self._encode_all(read)
            while len(self._encoded) > self._most_encoded:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(frame)
        return self._encoded[frame]

    def _encode_all(self, frames: dict[int, np.ndarray]) -> dict[int, _Encoded]:
        if not frames:
            return {}
        device = next(self.network.parameters()).device
        clip = frames_to_tensor(list(frames.values()), self.image_size).to(device)
        encoded = encode_frames(clip.unsqueeze(0).unbind(2), self.network, self.inferer.amp_dtype)
        return {
            index: _Encoded(features, (frame.shape[0], frame.shape[1]))
            for (index, frame), features in zip(frames.items(), encoded, strict=True)
        }

    def _encode_corrected(self, frame: int) -> Features:
        """A corrected frame's features, which are kept as long as its mask."""
        correction = self._corrections[frame]
        if correction.features is None:
            encoded = self._encoded.get(frame) or self._encode_all({frame: self.source[frame]})[frame]
            correction.features = encoded.features
        return correction.features

    def _mask(self, frame: int) -> Tensor:
        """A corrected frame's mask, bool, (1, 1, H, W), on the device."""
        device = next(self.network.parameters()).device
        return torch.from_numpy(self._corrections[frame].mask)[None, None].to(device)

    def _to_image(self, mask: Tensor) -> Tensor:
        """A mask as the network sees its frame: resized, and padded to whole strides; float."""
        mask = F.interpolate(mask.float(), self.image_size, mode="bilinear", align_corners=False, antialias=True)
        height, width = self.image_size
        return F.pad(mask, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))

    def _check_frames(self, *frames: int) -> None:
        for frame in frames:
            if not 0 <= frame < len(self.source):
                raise InputError(f"there is no frame {frame}: the video has the frames 0 to {len(self.source) - 1}")

    def _check_corrected(self, frame: int) -> None:
        if frame not in self._corrections:
            known = ", ".join(map(str, sorted(self._corrections))) or "no frame"
            raise InputError(f"frame {frame} has no mask, {known} has one: give it one with add_mask")

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the session to a file, whole or not at all: masks, options, and where the propagation stands.

        Neither the network's weights nor any frame is in it, but for a picture of 16 x 16 pixels of each corrected one
        and of the first.
        """
        pictures = {frame: correction.picture for frame, correction in self._corrections.items()}
        with suppress(InputError):  # should the first frame be damaged
            pictures[0] = _thumbnail(self.source[0])
        run = self._run
        content = {
            "lsinet_monai_session": _FORMAT,
            "network": _fingerprint(self.network),
            "frames": len(self.source),
            "pictures": pictures,
            "image_size": list(self.image_size),
            "reach": self.reach,
            "inferer": {name: getattr(self.inferer, name) for name in _OPTIONS},
            "masks": {frame: torch.from_numpy(mask) for frame, mask in self.masks.items()},
            "run": run and {**vars(run), "memory": run.memory.state_dict()},
        }
        write_torch_file(content, path)

    @classmethod
    def load(cls, path: str | Path, network: LSINet, source: FrameSource) -> VideoSession:
        """Read a session that :meth:`save` wrote; it goes on where it stood.

        Args:
            path: the file.
            network: the one of the session; it may be on another device.
            source: the video of the session.

        Raises:
            InputError: the file is missing, damaged or no session, or is of another network or video.
        """
        content = _read(path)
        if content["network"] != _fingerprint(network):
            raise InputError(f"{path}: the session is of another network: load it with the weights that it began with")
        _check_source(path, content, source)
        inferer = SequentialVideoInferer(**content["inferer"])
        session = cls(network, source, content["image_size"], inferer, content["reach"])
        for frame, mask in content["masks"].items():
            session.add_mask(frame, mask)
        if content["run"]:
            memory = inferer.start().memory
            memory.load_state_dict(content["run"]["memory"])
            session._run = _Run(**{**content["run"], "memory": memory.to(next(network.parameters()).device)})
        return session


def _read(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; give one that VideoSession.save wrote")
    try:
        content = read_torch_file(path)
    except InputError as error:
        raise InputError(
            f"{path}: cannot be read as a session ({error}); give one that VideoSession.save wrote"
        ) from error
    if not isinstance(content, dict) or content.get("lsinet_monai_session") != _FORMAT:
        raise InputError(f"{path}: is no session of this version; give one that VideoSession.save wrote")
    return content


def _check_source(path: str | Path, content: dict[str, Any], source: FrameSource) -> None:
    """Find out whether the source is the video of a session."""
    if content["frames"] != len(source):
        raise InputError(
            f"{path}: the session is of a video of {content['frames']} frames, this one has {len(source)}: open its own"
        )
    for frame, picture in content["pictures"].items():
        difference = picture.float() - _thumbnail(source[frame]).float()
        if difference.abs().mean() > _SAME_PICTURE:
            raise InputError(f"{path}: frame {frame} is another than the session's: open the video that it is of")


def _thumbnail(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(resize_frame(frame, _THUMBNAIL))


def _fingerprint(network: LSINet) -> str:
    """Tell a network from another by all its weights, whatever device and layout they are in."""
    digest = hashlib.sha256(json.dumps(network.config, sort_keys=True, default=str).encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def _to_numpy(probability: Tensor) -> np.ndarray:
    return probability[0, 0].float().cpu().numpy()
