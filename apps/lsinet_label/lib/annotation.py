"""What jobs do: the model goes through a video, and corrections go on from the frames that a person drew."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from lib.model import ServedModel
from lib.queue import Job, Work
from lib.store import LAST_LESION, StoredVideo, VideoStore, decode_mask, encode_mask
from lsinet_monai.data import Video, frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.inferers import ClipState, MemoryBank, SequentialVideoInferer, VideoSession
from lsinet_monai.masks import LesionLinker, frame_score, logit_to_probability, mask_change, uncertainty
from lsinet_monai.networks import Features
from lsinet_monai.networks.model_file import Checkpoint
from lsinet_monai.utils.files import read_torch_file, write_torch_file

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

_SAVE_FRAMES = 100
_LINKED_FRAMES = 4  # as many as a LesionLinker looks back
_MIN_AREA = 0.001  # of the frame, as where a frame has a polyp
_MOST_CORRECTIONS = 16  # in memory: each costs every frame as much as one of the memory's own


@dataclass
class Worker:
    """Makes the work of jobs.

    Args:
        videos: what is stored.
        model: what is in service when a job begins.
        on_labels: writes the labels of a video whose masks are others now, in pieces; it is told whether the model's
            own are among them.
        threshold: a pixel belongs to the mask where its probability is above this.
    """

    videos: VideoStore
    model: ServedModel
    on_labels: Callable[[StoredVideo, bool], Iterator[int]]
    threshold: float = 0.5

    def __call__(self, job: Job) -> Work:
        video = self.videos[job.image]
        if job.kind == "annotate":
            return self._annotate(video)
        if job.kind == "label":
            return self._write_labels(video)
        return self._propagate(video, sorted(video.corrections) if job.frame is None else [job.frame])

    # The model goes through the video --------------------------------------------------------------------------------

    def _annotate(self, video: StoredVideo) -> Work:
        if video.is_final:
            raise InputError(f"'{video.id}' is marked as final: open it again to annotate it")
        mark, model = self.model.load()
        inferer = SequentialVideoInferer()
        progress = _Progress(video.folder / "annotate.pt", mark, inferer)
        linker, count = LesionLinker(), video.frame_count
        state = progress.load(self.model.device)
        if state is None:
            state = inferer.start()
            video.begin_annotation()
        first = progress.next_frame
        before: np.ndarray | None = None
        for frame in range(max(0, first - _LINKED_FRAMES), first):
            labels = video.mask(frame, original=True).labels
            linker.follow(labels)
            before = labels > 0
        linker.next_id = max(linker.next_id, video.next_lesion())
        corrections = video.corrections
        with open_video(video.path) as source:
            for frame, probability in _predict(source, first, model.network, model.image_size, inferer, state):
                mask = _without_specks(probability > self.threshold)
                # A person may have added a lesion meanwhile.
                linker.next_id = max(linker.next_id, video.last_named_lesion() + 1)
                if frame in corrections:
                    person = video.mask(frame).labels
                    linker.follow(person)
                    labels = _name(mask, person)
                else:
                    labels = _as_bytes(linker(mask))
                numbers = _numbers(probability)
                if before is not None:
                    numbers["changes"] = mask_change(before, labels > 0)
                video.write_prediction("predicted", frame, labels, **numbers)
                before = labels > 0
                if (frame + 1) % _SAVE_FRAMES == 0:
                    video.flush()
                    progress.save(state, frame + 1)
                yield (frame + 1) / count, f"frame {frame + 1} of {count}"
        progress.save(state, count)
        video.end_annotation(mark)
        if corrections := video.corrections:
            yield from self._propagate(video, sorted(corrections))
        for frame in self.on_labels(video, True):
            yield 1.0, f"the label, frame {frame} of {count}"
        # Last: what a restart interrupts before this goes on from here.
        progress.path.unlink(missing_ok=True)
        return []

    def _write_labels(self, video: StoredVideo) -> Work:
        """Write the labels only."""
        for frame in self.on_labels(video, False):
            yield (frame + 1) / video.frame_count, f"the label, frame {frame} of {video.frame_count}"
        return []

    # Corrections spread ----------------------------------------------------------------------------------------------

    def _propagate(self, video: StoredVideo, frames: list[int]) -> Work:
        """Predict anew the frames that corrected ones act on, and note how much their masks changed.

        A frame whose correction was taken back acts on none any more: those around it are the model's again, and those
        that another correction reaches follow that one.
        """
        if video.is_final:
            raise InputError(f"'{video.id}' is marked as final: open it again to change it")
        if not frames:
            raise InputError(f"'{video.id}' has no correction to go on from: save a mask first")
        _, model = self.model.load()
        with open_video(video.path) as source:
            changed = _Changed(video)
            left: set[int] = set()
            for frame in [frame for frame in frames if frame not in video.corrections]:
                session = self._session(video, source, model, frame)
                reached = session.reached_from(frame)
                changed.remember(reached)
                left |= set(reached)
                around = [other for other in session.masks if set(session.reached_from(other)) & set(reached)]
                frames = sorted({*frames, *around})
            frames = [frame for frame in frames if frame in video.corrections]
            for place, frame in enumerate(frames):
                session = self._session(video, source, model, frame)
                reached = session.reached_from(frame)
                changed.remember(reached)
                named = video.mask(frame).labels
                linker, step = LesionLinker(), 0
                for done, (other, probability, _) in enumerate(session.propagate_from(frame), start=1):
                    if step != np.sign(other - frame):  # first backwards, then forwards, each from the person's mask
                        step = np.sign(other - frame)
                        linker = LesionLinker()
                        linker.follow(named)
                        linker.next_id = max(linker.next_id, video.next_lesion())
                    linker.next_id = max(linker.next_id, video.last_named_lesion() + 1)
                    labels = _as_bytes(linker(_without_specks(probability > self.threshold)))
                    video.write_prediction("propagated", other, labels, **_numbers(probability))
                    left.discard(other)
                    share = done / max(1, len(reached) - 1)
                    yield (place + share) / len(frames), f"frame {other}, from the correction of frame {frame}"
        video.drop_propagated(left)
        result = changed.note()
        video.flush()
        for frame in self.on_labels(video, False):
            yield 1.0, f"the label, frame {frame}"
        return result

    def _session(self, video: StoredVideo, source: Video, model: Checkpoint, frame: int) -> VideoSession:
        """A session with the corrections around a frame."""
        session = VideoSession(model.network, source, model.image_size)
        corrections = video.corrections
        for other in sorted(corrections, key=lambda other: abs(other - frame))[:_MOST_CORRECTIONS]:
            session.add_mask(other, video.mask(other).labels > 0)
        return session


class _Changed:
    """How much the masks of a video change while a job works on it."""

    def __init__(self, video: StoredVideo) -> None:
        self._video = video
        self._before: dict[int, bytes] = {}  # as PNG files, for they may be many

    def remember(self, frames: range) -> None:
        """Keep the masks of frames that may change, as they are before the first change."""
        for frame in frames:
            if frame not in self._before:
                self._before[frame] = encode_mask(self._video.mask(frame).labels)

    def note(self) -> list[dict[str, Any]]:
        """Store how much each frame differs from the one before it, and say which masks are others now: 1 - IoU.

        What people drew is no change of the job's.
        """
        video, corrections = self._video, self._video.corrections
        frames = {other for frame in self._before for other in (frame, frame + 1)}
        for frame in sorted(frames - {0, video.frame_count}):
            video.set_change(frame, mask_change(video.mask(frame - 1).labels > 0, video.mask(frame).labels > 0))
        changes = {
            frame: mask_change(decode_mask(content, video.size) > 0, video.mask(frame).labels > 0)
            for frame, content in sorted(self._before.items())
            if frame not in corrections
        }
        return [{"frame": frame, "change": round(change, 4)} for frame, change in changes.items() if change]


def _predict(
    source: Video,
    first: int,
    network: Any,
    image_size: int | list[int],
    inferer: SequentialVideoInferer,
    state: ClipState,
) -> Iterator[tuple[int, np.ndarray]]:
    """The frames of a video from one on that can be read, each with its probabilities, float32, (H, W)."""
    device = next(network.parameters()).device
    waiting: deque[tuple[int, tuple[int, int]]] = deque()

    def tensors() -> Iterator[Tensor]:
        for index, _, frame in source.frames(first):
            waiting.append((index, frame.shape[:2]))
            yield frames_to_tensor([frame], image_size).movedim(1, 0).to(device)

    for logits in inferer.stream(tensors(), network, state):
        index, size = waiting.popleft()
        yield index, logit_to_probability(logits, size)[0, 0].cpu().numpy()


def _numbers(probability: np.ndarray) -> dict[str, Any]:
    return {"scores": frame_score(probability), "uncertainty": uncertainty(probability)}


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Drop the parts that by themselves would be no polyp: nobody wants a list of them, or to erase them one by one."""
    parts, _ = ndimage.label(mask, np.ones((3, 3), bool))
    areas = np.bincount(parts.ravel())
    return mask & (areas > _MIN_AREA * mask.size)[parts]


def _as_bytes(labels: np.ndarray) -> np.ndarray:
    """Lesions' ids in 8 bits: after the last one they begin again."""
    return np.where(labels > 0, (labels - 1) % LAST_LESION + 1, 0).astype(np.uint8)


def _name(mask: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Name the parts of a mask, bool, (H, W), after the lesions, uint8, (H, W), of the same frame."""
    linker = LesionLinker()
    linker.follow(named)
    return _as_bytes(linker(mask))


class _Progress:
    """Where an annotation stands: a file from which it goes on, with the same masks, after a restart."""

    def __init__(self, path: Path, model: str, inferer: SequentialVideoInferer) -> None:
        self.path = path
        self.next_frame = 0
        self._model = model
        self._inferer = inferer

    def save(self, state: ClipState, next_frame: int) -> None:
        content = {
            "model": self._model,
            "next_frame": next_frame,
            "frame_index": state.frame_index,
            "memory": state.memory.state_dict(),
            "previous": [list(scales) for scales in state.previous] if state.previous else None,
        }
        write_torch_file(content, self.path)

    def load(self, device: str) -> ClipState | None:
        """The state to go on from, or None if there is none of this model that can be read."""
        if not self.path.exists():
            return None
        try:
            content = read_torch_file(self.path, device)
        except InputError as error:
            logger.warning("'%s' cannot be read (%s): the video is begun anew", self.path, error)
            return None
        if content["model"] != self._model:
            return None
        memory = MemoryBank(self._inferer.memory_frames, self._inferer.forgetting)
        memory.load_state_dict(content["memory"])
        previous = Features(*map(tuple, content["previous"])) if content["previous"] else None
        self.next_frame = content["next_frame"]
        return ClipState(memory, content["frame_index"], previous)
