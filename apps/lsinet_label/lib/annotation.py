"""The work of jobs: annotate a video with the model, propagate corrections, write labels."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from lib.annotation_progress import AnnotationProgress
from lib.changes import Changes
from lib.job import Job, Work
from lib.model import ServedModel
from lib.spreading import Inferers, SpreadLesions, as_bytes, corrections_in_use, sources_of, without_specks
from lib.store import REACH, StoredVideo, VideoStore
from lsinet_monai.data import Video, frame_quality, frames_to_tensor, open_video
from lsinet_monai.errors import InputError
from lsinet_monai.formats.lesion_ids import LAST_LESION
from lsinet_monai.inferers import ClipState, SequentialVideoInferer, VideoSession
from lsinet_monai.masks import (
    LesionLinker,
    LesionTracker,
    expected_error,
    frame_score,
    join_tracks,
    logit_to_probability,
    mask_change,
    uncertainty,
)
from lsinet_monai.networks import LoadedModel

__all__ = ["Worker"]

_SAVE_FRAMES = 100
_LINKED_FRAMES = 4  # whose label images a LesionTracker needs to resume


@dataclass
class Worker:
    """Does the work of jobs.

    Args:
        videos: the stored videos.
        model: loads the model that is in service when a job begins.
        on_labels: writes the datastore's labels of a video, and yields each written frame. Its second argument says
            whether the model's own masks are new.
        threshold: a pixel belongs to the mask if its probability is above this.
        inferers: segment the frames of all jobs.
    """

    videos: VideoStore
    model: ServedModel
    on_labels: Callable[[StoredVideo, bool], Iterator[int]]
    threshold: float = 0.5
    inferers: Inferers = field(default_factory=Inferers)

    def __call__(self, job: Job) -> Work:
        """Make the work of a job: to annotate, to propagate corrections, or to write labels.

        Raises:
            NotFound: there is no such video. The work itself raises InputError if there is no model or no correction,
                or if the video is final or cannot be read.
        """
        video = self.videos[job.image]
        if job.kind == "annotate":
            return self._annotate(video, job)
        if job.kind == "label":
            return self._write_labels(video)
        frames = sorted(video.spreading_corrections) if job.frame is None else [job.frame]
        if job.frame is not None:
            job.version = video.mask(job.frame).version
        return self._propagate(video, job, frames, within=None if job.within is None else range(*job.within))

    # Annotation ------------------------------------------------------------------------------------------------------

    def _annotate(self, video: StoredVideo, job: Job) -> Work:
        video.info.check_not_final()
        mark, model = self.model.load()
        inferer = self.inferers.of(model.network)
        state = inferer.new_state()
        progress = AnnotationProgress(video.folder / "annotate.pt", mark, inferer.settings)
        resumed = progress.resume(state, self.model.device)
        tracker, count = LesionTracker(), video.info.frame_count
        before: np.ndarray | None = None
        if resumed is None:
            progress.path.unlink(missing_ok=True)  # of another model or other settings, whose masks are now removed
            video.begin_annotation()
            first = 0
            tracker.next_id = video.lesions.next_id_after_people()
        else:
            first, lesions = resumed
            for frame in range(max(0, first - _LINKED_FRAMES), first):
                labels = video.annotated_labels(frame)
                tracker.follow(labels)
                before = labels > 0
            if lesions is not None:
                tracker.load_state_dict(lesions)
            else:  # of an earlier version
                tracker.next_id = max(tracker.next_id, video.lesions.next_id())
        with open_video(video.path) as source:
            for frame, probability, features, quality in _predict(source, first, model, inferer, state):
                mask = without_specks(probability > self.threshold)
                # A person may have added a lesion meanwhile.
                tracker.next_id = max(tracker.next_id, video.lesions.last_named_id() + 1)
                tracker.frame = frame  # frames before it may be damaged
                person = video.corrected_labels(frame)
                if person is not None:
                    tracker.follow(person, features if np.isfinite(features).all() else None)
                    labels = _copy_ids(mask, person)
                else:
                    labels = as_bytes(tracker(mask, features))
                values = _values(probability, labels > 0) | {"quality": quality}
                if before is not None:
                    values["changes"] = mask_change(before, labels > 0)
                video.write_prediction(video.annotated_kind, frame, labels, **values)
                before = labels > 0
                if (frame + 1) % _SAVE_FRAMES == 0:
                    video.values.flush()
                    progress.save(state, frame + 1, tracker.state_dict())
                yield (frame + 1) / count, f"frame {frame + 1} of {count}"
        report = state.report()
        if 0 < state.frame_index == report.left_empty:
            raise InputError(
                f"'{video.id}': the network's masks are not numbers, because the training of its weights has diverged: "
                "start the server with another model"
            )
        progress.save(state, count, tracker.state_dict())
        yield from self._join(video, tracker)
        video.end_annotation(mark)
        stale = set(video.propagated_frames())
        if corrections := video.spreading_corrections:
            yield from self._propagate(video, job, sorted(corrections), stale)
        else:
            video.remove_propagated(stale)
        for frame in self.on_labels(video, True):
            yield 1.0, f"writing the label, frame {frame} of {count}"
        # At the very end, so that a restart before it does not annotate the video again.
        progress.path.unlink(missing_ok=True)
        notes = []
        if unreadable := len(video.values.unreadable()):
            notes.append(f"{unreadable} frame{'s' * (unreadable > 1)} cannot be read and have no mask")
        if report:
            notes.append(str(report))
        job.note = "; ".join(notes)
        return []

    def _join(self, video: StoredVideo, tracker: LesionTracker) -> Work:
        """Join the tracks that are one lesion, in the masks that the annotation wrote.

        Lesions that a person drew, named or merged keep their ids. If this is interrupted, do it again.
        """
        kept = video.lesions.of_people()
        tracks = tracker.tracks
        if max(tracks, default=0) > LAST_LESION:  # some ids were given twice
            return []
        joined = {lesion: into for lesion, into in join_tracks(tracks).items() if lesion not in kept}
        table = np.arange(LAST_LESION + 1, dtype=np.uint8)
        table[list(joined)] = list(joined.values())
        runs = [run for lesion in joined for run in tracks[lesion].runs]
        frames = sorted({frame for run in runs for frame in range(run.first, run.last + 1)})
        for frame in frames:
            labels = video.annotated_labels(frame)
            video.write_prediction(video.annotated_kind, frame, table[labels])
            yield 1.0, f"joining lesions, frame {frame}"
        return []

    def _write_labels(self, video: StoredVideo) -> Work:
        count = video.info.frame_count
        for frame in self.on_labels(video, False):
            yield (frame + 1) / count, f"writing the label, frame {frame} of {count}"
        return []

    # Propagation -----------------------------------------------------------------------------------------------------

    def _propagate(
        self,
        video: StoredVideo,
        job: Job,
        frames: list[int],
        stale: Collection[int] = (),
        within: range | None = None,
    ) -> Work:
        """Propagate corrections to the frames around them, up to the next frames with a person's mask.

        The masks that came from a correction that was taken back are made again from other corrections that reach them;
        where none does, the model's are current again.

        Args:
            video: the video.
            job: gets ``changed`` and ``note`` if it is cancelled, or fails.
            frames: the frames whose correction was saved or taken back.
            stale: frames whose propagated mask is removed if no correction reaches them any more.
            within: only these frames change; None for all that are reached.

        Returns:
            the frames whose masks changed, each with ``change``, 1 - IoU.
        """
        video.info.check_not_final()
        if not frames:
            raise InputError(f"'{video.id}' has no correction to propagate: save a mask first")
        _, model = self.model.load()
        changed = Changes(video, frames[0] if len(frames) == 1 else None)
        try:
            left = yield from self._spread(video, model, frames, set(stale), within, changed)
        except BaseException:  # cancelled, too: what was replaced so far can be undone
            job.changed = changed.note()
            count = len(job.changed)
            job.note = f"{count} frame{'s' * (count > 1)} had changed already" if count else ""
            video.values.flush()
            raise
        video.remove_propagated(left)
        result = changed.note()
        video.values.flush()
        for frame in self.on_labels(video, False):
            yield 1.0, f"writing the label, frame {frame}"
        return result

    def _spread(
        self,
        video: StoredVideo,
        model: LoadedModel,
        frames: list[int],
        left: set[int],
        within: range | None,
        changed: Changes,
    ) -> Generator[tuple[float, str], None, set[int]]:
        """Write the propagated masks, see :meth:`_propagate`; return the frames that no correction reaches any more."""
        with open_video(video.path) as source:
            own, drawn = set(frames), video.spreading_corrections
            around: set[int] = set()  # what came from corrections that were taken back; nothing if they never spread
            for frame in own - drawn.keys():
                came = video.orphans() | video.propagated_from(frame)
                left |= came
                around |= came | ({frame} if {frame - 1, frame + 1} & came else set())
            changed.remember(around)
            reaching = {frame for frame in drawn if around.intersection(video.reached_from(frame))}
            spread = {frame for frame in reaching if video.propagated_from(frame)}  # one that was only saved does not
            frames = sorted(spread | own.intersection(drawn))
            for place, frame in enumerate(frames):
                reached = video.reached_from(frame)
                if within is not None:
                    reached = range(max(reached.start, within.start), min(reached.stop, within.stop))
                session = self._session(video, source, model, frame, reached)
                if frame not in session.masks:
                    continue  # taken back meanwhile
                changed.remember(reached)
                came = video.propagated_from(frame)  # also frames that the new mask says nothing about
                first_new = video.lesions.next_id(reached)  # so that doing it again gives the same ids
                lesions = SpreadLesions(frame, video.mask(frame).labels, self.threshold, first_new)
                for done, found in enumerate(session.propagate_from(frame, reached), start=1):
                    other = found.frame
                    lesions.next_id = max(lesions.next_id, video.lesions.last_named_id() + 1)
                    labels = lesions(other, found.probability)
                    # A mask around the one that was taken back does not spread further than before.
                    if frame in own or other in around:
                        sources = sources_of(found, frame, video, is_stale=other in came or other in left)
                        values = _values(found.probability, labels > 0)
                        if sources and not video.write_propagated(other, labels, sources, **values):
                            break  # taken back meanwhile
                        if sources:
                            left.discard(other)
                        elif sources is not None:
                            left.add(other)
                    share = done / max(1, len(reached) - 1)
                    yield (place + share) / len(frames), f"frame {other}, from the correction of frame {frame}"
        return left

    def _session(
        self, video: StoredVideo, source: Video, model: LoadedModel, frame: int, reached: range
    ) -> VideoSession:
        """A session with the corrections that a propagation from a corrected frame can use."""
        inferer = self.inferers.of(model.network)
        session = VideoSession(model.network, source, model.image_size, inferer, reach=REACH)
        for other in corrections_in_use(video.spreading_corrections, frame, reached):
            session.add_mask(other, video.mask(other).labels > 0)
        return session


def _predict(
    source: Video, first: int, model: LoadedModel, inferer: SequentialVideoInferer, state: ClipState
) -> Iterator[tuple[int, np.ndarray, np.ndarray, float]]:
    """Yield each readable frame: index, probability map, (H, W), features at stride 16, (C, h, w), and quality."""
    device = next(model.network.parameters()).device
    waiting: deque[tuple[int, tuple[int, int], float]] = deque()

    def tensors() -> Iterator[Tensor]:
        for index, _, frame in source.frames(first):
            waiting.append((index, (frame.shape[0], frame.shape[1]), frame_quality(frame)))
            yield frames_to_tensor([frame], model.image_size, device).movedim(1, 0)

    for logits in inferer.stream(tensors(), model.network, state):
        index, size, quality = waiting.popleft()
        assert state.previous is not None  # the frame of these logits
        features = state.previous.features[1][0].float().cpu().numpy()
        yield index, logit_to_probability(logits, size)[0, 0].cpu().numpy(), features, quality


def _values(probability: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return {
        "scores": frame_score(probability),
        "uncertainty": uncertainty(probability),
        "errors": expected_error(probability, mask),
    }


def _copy_ids(mask: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Give each part of a mask the id of the lesion that it overlaps in another mask of the same frame.

    Args:
        mask: bool, (H, W).
        named: uint8, (H, W): lesion ids.

    Returns:
        uint8, (H, W): lesion ids.
    """
    linker = LesionLinker()
    linker.follow(named)
    return as_bytes(linker(mask))
