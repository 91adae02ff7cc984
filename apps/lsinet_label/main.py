"""A MONAI Label app: clinicians correct the masks of a colonoscopy video instead of drawing them.

``monailabel start_server --app apps/lsinet_label --studies VIDEOS --host 127.0.0.1``
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lib.annotation import Worker
from lib.call_files import uploaded_file
from lib.datastore import VideoDatastore
from lib.device_turns import DeviceTurns
from lib.exports import write_each_mask
from lib.frame_images import FrameImages
from lib.imports import import_masks
from lib.infers import AllVideosInferTask, VideoInferTask
from lib.job import Job
from lib.model import ServedModel
from lib.points_infer import PointsInferTask
from lib.prompted_frames import PromptedFrames
from lib.queue import JobQueue
from lib.routes import Services, add_routes
from lib.scoring import DiceOfCorrections
from lib.security import Guard, current_caller, current_user
from lib.server_paths import ServerPaths
from lib.spread_previews import SpreadPreviews
from lib.startup import (
    check_one_process,
    check_port,
    check_writable_folders,
    is_server,
    lock_studies,
    report_refusals_in_one_line,
    server_host,
)
from lib.store import LABEL_TAGS, StoredVideo, VideoStore
from lib.strategies import STRATEGIES, DoubtStrategy
from lib.trainers import FineTuneTask
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, check_device, check_numbers
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.version import __version__

__all__ = ["LSINetLabel"]

logger = logging.getLogger(__name__)

# In the repository the bundle is next to the app. A copy of the app uses the installed package's bundle.
_NEXT_TO_APP = Path(__file__).resolve().parent / "../../bundle"
_BUNDLE = _NEXT_TO_APP.resolve() if (_NEXT_TO_APP / "configs").is_dir() else shipped_folder("bundle")
_KEYS = ("checkpoint", "device", "threshold", "max_upload_gb", "allow_network", "server_mode")
_LOOK_SECONDS = 2


def _number(conf: dict[str, str], key: str, usual: float) -> float:
    try:
        value = float(conf.get(key, usual))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"--conf {key} {conf[key]!r} must be a number, such as {usual}")
    return value


class LSINetLabel(MONAILabelApp):
    """Polyps in colonoscopy video. One video is one task.

    MONAI Label makes this app in the server's process, and again in each process that trains, scores or infers a batch.
    Only the server's process works on jobs and answers calls: :meth:`on_init_complete` starts both.

    Args:
        app_dir: the app's folder.
        studies: the videos' folder.
        conf: the keys of ``--conf``: ``checkpoint``, a model file, ours or the authors' (``bundle/models/model.pt``);
            ``device``; ``threshold`` (0.5); ``max_upload_gb`` (4), the largest video; ``allow_network`` (false),
            whether other machines may call without sign-in.

    Raises:
        InputError: a key of ``conf`` is not known, its value is out of range, or the videos' folder cannot be written
            to.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        report_refusals_in_one_line()
        unknown = sorted(set(conf) - set(_KEYS))
        if unknown:
            raise InputError(f"--conf {unknown[0]} is not known: choose from {', '.join(_KEYS[:-1])}")
        device = conf.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
        check_device(device)
        threshold = _number(conf, "threshold", 0.5)
        check_numbers(threshold=threshold)
        # Scoring is quick, so it runs on request. After each save MONAI Label would start a process for it.
        settings.MONAI_LABEL_AUTO_UPDATE_SCORING = False
        settings.MONAI_LABEL_SESSIONS = False  # they would remove uploaded videos after a while

        if is_server():  # before anything is written
            check_one_process()
            check_port(server_host(), settings.MONAI_LABEL_SERVER_PORT)
        labels = Path(studies) / "labels"
        own = labels / "lsinet"
        check_writable_folders(Path(studies), own, *(labels / tag for tag in LABEL_TAGS))
        self.videos = VideoStore(own, lambda image_id: self.datastore().path(image_id))
        self.model = ServedModel(
            Path(conf.get("checkpoint") or _BUNDLE / "models" / "model.pt").expanduser(), own / ".models", device
        )
        self._images = FrameImages()
        self.prompted = PromptedFrames(self._images, self.model)
        self._previews = SpreadPreviews(self._images, self.model, threshold)
        self._turns = DeviceTurns(own / ".jobs")
        worker = Worker(self.videos, self.model, self._write_labels, threshold)
        self.jobs = JobQueue(own / ".jobs", worker, self._on_end, self._turns)
        self._largest_upload = int(_number(conf, "max_upload_gb", 4) * 2**30)
        self._allow_network = as_bool(conf.get("allow_network", "false"), "allow_network")
        super().__init__(
            app_dir,
            studies,
            conf,
            name="LSI-Net",
            description="Polyps in colonoscopy video. The page for annotators is at /lsinet/",
            version=__version__,
            labels=["polyp"],
        )

    # What MONAI Label asks for ---------------------------------------------------------------------------------------

    def init_datastore(self) -> VideoDatastore:
        """The videos' folder."""
        return VideoDatastore(self.studies, settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD, self._removal)

    def init_infers(self) -> dict[str, InferTask]:
        """Inference of one video, and of one lesion from points."""
        return {
            "lsinet": VideoInferTask(self.videos, self.jobs, self.model, self.datastore),
            "lsinet_points": PointsInferTask(self.videos, self.model, self.prompted),
        }

    def init_batch_infer(self) -> AllVideosInferTask:
        """Inference of many videos."""
        return AllVideosInferTask(self.jobs)

    def init_trainers(self) -> dict[str, FineTuneTask]:
        """Fine-tuning."""
        return {"lsinet": FineTuneTask(self.videos, self.model, _BUNDLE / "configs" / "train.json", self._turns)}

    def init_strategies(self) -> dict[str, DoubtStrategy]:
        """Active learning."""
        return {name: DoubtStrategy(name, self.videos) for name in STRATEGIES}

    def init_scoring_methods(self) -> dict[str, DiceOfCorrections]:
        """Scoring."""
        return {"dice_of_corrections": DiceOfCorrections(self.videos)}

    def info(self) -> dict[str, Any]:
        """The app as clients see it. Without a model, the description says how to get one."""
        state = self.model.state()
        described = super().info()
        if not state["available"]:
            described["description"] = f"{self.description}. {state['how']}"
        return described | {"model": state}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Answer an inference request, see :mod:`lib.infers` and :mod:`lib.points_infer`. ``image`` is an id, no path.

        Raises:
            NotFound: there is no such video.
            InputError: there is no such ``model``, the video cannot be read, or its job failed.
        """
        name = request.get("model")
        if name not in self._infers:
            raise InputError(f"model={name!r} is not known: choose from {', '.join(self._infers)}")
        self.datastore().path(request["image"])
        file, params = self._infers[name](request)
        return {"label": file, "tag": DefaultLabelTag.ORIGINAL, "file": file, "params": params}

    def infer_wsi(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Refuse whole-slide inference.

        Raises:
            InputError: always, because videos are not slides.
        """
        raise InputError("this app has videos and no slides: use POST /infer/lsinet?image=ID")

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The video that a strategy chooses, and a frame of it, see :func:`lib.strategies.next_frame`.

        Raises:
            NotFound: all videos are final or damaged, or there are none.
            InputError: there is no such ``strategy``.
        """
        name = request.get("strategy") or "doubt"
        if name not in self._strategies:
            raise InputError(f"strategy={name!r} must be one of {', '.join(self._strategies)}")
        found = self._strategies[name](request, self.datastore())
        return found | {"path": self.datastore().get_image_uri(found["id"])}

    def model_file(self, model: str, validate: bool = True) -> str | None:
        """The model file in service, for clients that download it; None if there is no such model."""
        task = self._infers.get(model)
        return task.get_path(validate) if task else None

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        """Import a label that a client saved: masks that differ from the current ones become corrections.

        Returns:
            what :meth:`lib.imports.ImportReport.as_answer` says, and ``job``.

        Raises:
            NotFound: there is no such video.
            Conflict: the video is final.
            InputError: the label cannot be read, belongs to another video, or shows no polyp. No mask changes.
        """
        video = self.videos[image_id]
        # The client's own file: a job, or another client, may have replaced the datastore's label meanwhile.
        path = uploaded_file() or Path(self.datastore().get_label_uri(label_id, DefaultLabelTag.FINAL))
        try:
            if not path.is_file():
                raise InputError(f"save labels with the tag {DefaultLabelTag.FINAL.value}")
            report = import_masks(video, path, current_user(), self.videos)
        except InputError:
            self.save_final(video)
            raise
        # Both kinds of jobs write the label again, with the imported masks.
        kind = "propagate" if report.changed else "label"
        job = self.jobs.submit(image_id, kind, None, *current_caller())
        return {**report.as_answer(), "job": job.job}

    def on_init_complete(self) -> None:
        """Start to answer calls and to work on jobs. MONAI Label calls this in the server's process only.

        Raises:
            InputError: the server's port or folder is in use, or the server has several processes.
        """
        from monailabel.app import app

        check_one_process()
        check_port(server_host(), settings.MONAI_LABEL_SERVER_PORT)
        self._studies_lock = lock_studies(Path(self.studies), self.videos.folder)
        self.videos.clear_scratch(all_of_it=True)
        self.datastore().remove_incomplete()
        self.videos.recover()
        guard, services = self.services()
        add_routes(app, guard, services)
        self.jobs.run()
        threading.Thread(target=self._look_at_new_videos, name="lsinet-new-videos", daemon=True).start()
        state = self.model.state()
        logger.info("model: %s", state["about"] or state["how"])
        logger.info("page: http://127.0.0.1:%s/lsinet/", settings.MONAI_LABEL_SERVER_PORT)

    def services(self) -> tuple[Guard, Services]:
        """What answers calls: the guard before them, and the app's parts behind them."""
        paths = ServerPaths([Path(self.studies), Path(self.app_dir), self.model.checkpoint.parent, _BUNDLE])
        guard = Guard(self.datastore(), self._largest_upload, self._allow_network, paths)
        tasks = {"train": self._trainers, "batch_infer": ["lsinet"], "scoring": self._scoring_methods}
        parts = self.datastore(), self.videos, self.jobs, self.model, self.save_final
        return guard, Services(*parts, self._images, self.prompted, self._previews, tasks)

    # What the app's parts ask for ------------------------------------------------------------------------------------

    def save_final(self, video: StoredVideo) -> Job | None:
        """Update the datastore's final label: a job writes it if the video is final, otherwise it is removed.

        Returns:
            the job, or None if the video is not final.
        """
        if video.info.is_final:
            return self.jobs.submit(video.id, "label", None, *current_caller())
        if self.datastore().get_label_uri(video.id, DefaultLabelTag.FINAL):
            self.datastore().remove_label(video.id, DefaultLabelTag.FINAL)
        return None

    def _look_at_new_videos(self) -> None:
        """Open new and changed videos, so that lists show their size or why they cannot be read; remove leftovers."""
        reported: dict[str, str] = {}
        while True:
            for image_id in sorted(self.datastore().list_images()):
                try:
                    self.videos[image_id].info.open_once()
                except Exception as error:  # one bad video must not hide the others
                    if reported.get(image_id) != str(error):
                        logger.warning("%s", error)
                    reported[image_id] = str(error)
            with suppress(OSError):
                self.videos.clear_scratch()  # of a training that was stopped, which MONAI Label does by killing it
            time.sleep(_LOOK_SECONDS)

    def _write_labels(self, video: StoredVideo, is_new: bool) -> Iterator[int]:
        """Write the original label if the model's masks are new, and the final label if the video has one.

        Yields:
            the index of each written frame.
        """
        store = self.datastore()
        has_final = video.info.is_final or bool(store.get_label_uri(video.id, DefaultLabelTag.FINAL))
        tags = [DefaultLabelTag.ORIGINAL] * is_new + [DefaultLabelTag.FINAL] * has_final
        for tag in tags:
            with self.videos.scratch(".json") as path:
                yield from write_each_mask(video, "coco", path, original=tag == DefaultLabelTag.ORIGINAL)
                store.save_label(video.id, str(path), tag.value, {})
        model = (video.info.get("annotated") or {}).get("model")
        known = {"doubt": video.values.rank(), "corrected": len(video.corrections), "model": model}
        store.describe_labels(video.id, known)

    def _on_end(self, job: Job) -> None:
        if job.kind == "annotate" and job.image in self.datastore():
            self.videos[job.image].info.set_job_error(job.message if job.state == "failed" else None)
        # A correction was taken back, and the job that was to make its masks again did not come to its end.
        if job.kind != "label" and job.image in self.datastore() and not self.jobs.of_image(job.image):
            video = self.videos[job.image]
            if not video.info.is_final:
                video.remove_orphans()

    @contextmanager
    def _removal(self, image_id: str) -> Iterator[None]:
        self.jobs.remove(image_id)  # first, so that no job works on a video that is gone
        yield
        self.videos.remove(image_id)
