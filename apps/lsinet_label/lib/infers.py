"""Inference for MONAI Label's clients: of one video, or of many."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.call_files import new_file
from lib.model import ServedModel
from lib.queue import JobQueue
from lib.security import current_caller
from lib.store import VideoStore, summarise_video
from lsinet_monai.errors import InputError

__all__ = ["AllVideosInferTask", "ServedInferTask", "VideoInferTask"]

logger = logging.getLogger(__name__)

_MOST_WAITING = 8
_DEFAULT_TIMEOUT = 60  # seconds


class ServedInferTask(InferTask):
    """A task of the model in service, which finds polyps in the frames of videos.

    Args:
        videos: the stored videos.
        model: the model in service.
        type: what MONAI Label's clients take it for.
        description: one line for them.
    """

    def __init__(self, videos: VideoStore, model: ServedModel, type: InferType, description: str) -> None:
        super().__init__(type=type, labels=["polyp"], dimension=2, description=description)
        self.videos = videos
        self.model = model

    def is_valid(self) -> bool:
        """Whether there is a model."""
        return self.model.path() is not None

    def get_path(self, validate: bool = True) -> str | None:
        """The model file.

        Args:
            validate: False if the caller wants to replace the file; the result is then None.
        """
        path = self.model.path()
        return str(path) if validate and path else None


class VideoInferTask(ServedInferTask):
    """Answers with a video's masks. If there are none yet, it queues a job and waits for it.

    If the job takes longer than the request's time limit, the answer is the job's state.

    Args:
        videos: the stored videos.
        jobs: the queue.
        model: the model in service.
        datastore: returns the datastore, which is made later than this task.
    """

    def __init__(
        self, videos: VideoStore, jobs: JobQueue, model: ServedModel, datastore: Callable[[], Datastore]
    ) -> None:
        description = "LSI-Net: polyps in colonoscopy video, frame by frame, with a memory"
        super().__init__(videos, model, InferType.SEGMENTATION, description)
        self.jobs = jobs
        self._datastore = datastore
        # A waiting request occupies one of the server's few threads.
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Answer a request.

        Args:
            request: ``image``, the video's id, and ``timeout``, how many seconds to wait for a job (60).

        Returns:
            a copy of the video's COCO file, which the server removes after sending, and the video's summary; or None
            and the job's state.

        Raises:
            InputError: the video cannot be read, there is no model, or the job failed.
        """
        video = self.videos[request["image"]]
        video.info.open_once()
        if not self._label(video.id):
            if not video.info.is_final and not self.is_valid():
                raise InputError(self.model.state()["how"])
            kind = "label" if video.info.is_final else "annotate"
            job = self.jobs.of_image(video.id) or self.jobs.submit(video.id, kind, None, *current_caller())
            limit = min(_seconds(request.get("timeout")), settings.MONAI_LABEL_INFER_TIMEOUT)
            if not self._waiting.acquire(blocking=False):
                return None, job.public()
            try:
                ended = self.jobs.wait(job, limit, longest=limit)
            finally:
                self._waiting.release()
            if job.state in ("failed", "cancelled"):
                raise InputError(f"'{video.id}': {job.message}")
            if not ended or not self._label(video.id):
                return None, job.public()
        copied = new_file(".json")
        shutil.copyfile(self._label(video.id), copied)
        return str(copied), {"label_names": {"polyp": 1}, "video": summarise_video(video)}

    def _label(self, image_id: str) -> str:
        """The path of the stored label, the final one first, or ""."""
        datastore = self._datastore()
        found = [datastore.get_label_uri(image_id, tag) for tag in (DefaultLabelTag.FINAL, DefaultLabelTag.ORIGINAL)]
        return next((path for path in found if path and Path(path).is_file()), "")


def _seconds(timeout: Any) -> float:
    try:
        return float(timeout or _DEFAULT_TIMEOUT)
    except (TypeError, ValueError):
        raise InputError(f"timeout={timeout!r} must be a number of seconds") from None


class AllVideosInferTask(BatchInferTask):
    """Annotates many videos, one after the other. If a batch is stopped, at most one of its jobs is in the queue.

    MONAI Label runs a batch in its own process. That process only writes the jobs' files, and the server's queue works
    on them.

    Args:
        jobs: a queue of the server's folder, which is not running.
    """

    def __init__(self, jobs: JobQueue) -> None:
        super().__init__()
        self.jobs = jobs

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        """Annotate each video that has no original label yet.

        Args:
            request: MONAI Label's choice of videos; ``max_batch_size`` limits their number.
            datastore: lists the videos.
            infer: not used.

        Returns:
            ``state`` and ``message`` of each video's job, by the videos' ids.
        """
        image_ids = sorted(self.get_images(request, datastore))
        most = int(request.get("max_batch_size") or 0)
        result = {}
        for number, image_id in enumerate(image_ids[:most] if most else image_ids, start=1):
            if not datastore.get_label_by_image_id(image_id, DefaultLabelTag.ORIGINAL):
                job = self.jobs.submit(image_id, "annotate", None, "batch", "batch")
                while job.state not in ("done", "failed", "cancelled"):
                    time.sleep(0.5)
                    job = self.jobs.reread(job)
                result[image_id] = {"state": job.state, "message": job.message}
            else:
                result[image_id] = {"state": "done", "message": "was annotated before"}
            logger.info("%s: %s (%d of %d)", image_id, result[image_id]["state"], number, len(image_ids))
        return result
