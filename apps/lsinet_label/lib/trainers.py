"""Fine-tuning on people's corrections, with the bundle's training."""

from __future__ import annotations

import json
import logging
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask
from PIL import Image

from lib.device_turns import DeviceTurns
from lib.model import ServedModel
from lib.store import StoredVideo, VideoStore
from lsinet_monai.data import open_video, read_split, split_by_patient
from lsinet_monai.errors import InputError, find_input_error
from lsinet_monai.formats import write_png
from lsinet_monai.utils.config_values import as_bool, check_numbers
from lsinet_monai.utils.files import atomic_write
from lsinet_monai.utils.shipped_model import model_hash

__all__ = ["FineTuneTask", "check_training_options", "patient_of_video"]

logger = logging.getLogger(__name__)

_DEFAULTS: dict[str, Any] = {
    "max_epochs": 5,
    "learning_rate": 1e-4,
    "batch_size": 4,
    "val_interval": 1,
    "validation_fraction": 0.2,
    "num_workers": 0,
    "augment": True,
    "seed": 0,
}

_OF_CLIENTS = {
    "model", "name", "client_id", "bundle_path", "pretrained", "multi_gpu", "gpus", "dataset", "dataloader",
    "local_rank", "run_id", "val_split", "train_batch_size", "val_batch_size", "early_stop_patience", "model_filename",
    "tracking", "tracking_uri", "tracking_experiment_name", "tracking_run_name", "result_extension", "run_sync",
    "enqueue", "amp", "force_multi_gpu", "distributed_backend", "distributed_url",
}  # fmt: skip
"""What MONAI Label's clients send to other apps' trainings, too. It has no effect on ours."""


def check_training_options(params: dict[str, Any]) -> None:
    """Refuse options of a training at once, which its own process would find out or ignore later.

    Args:
        params: the body of a call that starts a training.

    Raises:
        InputError: there is no such option, or it does not take its value.
    """
    options = {"device": "cpu", **_DEFAULTS}
    for name in params:
        if name not in options and name not in _OF_CLIENTS:
            raise InputError(f"there is no option {name!r} of a training: there are {', '.join(sorted(options))}")
    given = {name: value if params.get(name) is None else params[name] for name, value in options.items()}
    as_bool(given.pop("augment"), "augment")
    device = given.pop("device")
    try:
        torch.device(device)  # not an allocation there, which the training's process makes
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device={device!r} is not the name of a device: give cpu or cuda, or leave it out") from error
    check_numbers(**given)


def patient_of_video(image_id: str) -> str:
    """The patient of a video: the part of its file name before the first ``_``, without the suffix.

    ``p07_caecum.mp4`` and ``p07_2.mkv`` both belong to ``p07``. Without ``_``, the whole name is the patient.
    """
    return Path(image_id).stem.partition("_")[0]


class FineTuneTask(TrainTask):
    """Fine-tune the model in service on corrected videos, and put the result in service.

    It trains on the masks that people have checked: all frames of a final video; in other videos the corrected frames
    and those with a propagated mask. Whole patients are held out for validation, see :func:`patient_of_video`, and the
    epoch with the best Dice on them is kept; with only one patient, the last epoch. MONAI Label runs this in its own
    process, which takes turns on the device with the server's jobs. The server's next job uses the new model.

    Args:
        videos: the stored videos.
        model: the model in service.
        config: the bundle's ``train.json``.
        device: turns on the device.
    """

    def __init__(self, videos: VideoStore, model: ServedModel, config: Path, device: DeviceTurns) -> None:
        super().__init__("Fine-tune LSI-Net on corrected videos; patients are split by the name before the first '_'")
        self.videos = videos
        self.model = model
        self._config_file = config
        self._device = device

    def config(self) -> dict[str, Any]:
        """The options that a request may set, with their defaults."""
        return {**_DEFAULTS, "device": self.model.device}

    def stats(self) -> dict[str, Any]:
        """How the model in service was trained, and its score. Empty for the given file."""
        path = self.model.path()
        record = path.with_suffix(".json") if path else None
        if path is None or record is None or not record.is_file() or record.parent != self.model.trained:
            return {}
        return {"model": path.name, **json.loads(record.read_text(encoding="utf-8"))}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Args:
            request: options of :meth:`config`; other keys are ignored, see :func:`check_training_options`.
            datastore: lists the videos.

        Returns:
            the new model's name, the videos that it was trained and validated on, and its score.

        Raises:
            InputError: there is no model or no corrected video, or an option is out of range.
        """
        start = self.model.path()
        if start is None:
            raise InputError(self.model.state()["how"])
        options = {name: request.get(name, value) for name, value in self.config().items()}
        videos = [self.videos[image_id] for image_id in sorted(datastore.list_images())]
        chosen = {video.id: frames for video in videos if (frames := _frames_to_learn(video))}
        if not chosen:
            raise InputError("there is no corrected video to train on: correct a frame, or mark a video as final")
        name = f"lsinet-{datetime.now():%Y%m%d-%H%M%S}"
        with self.videos.scratch() as root:
            cases = _lay_out([self.videos[image_id] for image_id in chosen], chosen, root / "data")
            self._train(root, start, options)
            score = _score(root / "training")
            record = {
                "from": self.model.given(),
                "start": start.name,
                "start_sha256": model_hash(start),
                "videos": sorted(cases),
                "validation_videos": _held_out(root / "data", cases, options),
                "val_mean_dice": score,
                "options": options,
            }
            self.model.trained.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.model.trained / f"{name}.pt") as temporary:
                shutil.copyfile(root / "model.pt", temporary)
            with atomic_write(self.model.trained / f"{name}.json") as temporary:
                temporary.write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")
        logger.info("%s.pt is in service now; %s is kept", name, start.name)
        return {"model": f"{name}.pt", **record}

    def _train(self, root: Path, start: Path, options: dict[str, Any]) -> None:
        """Run the bundle's training, starting with the network in service."""
        workflow = ConfigWorkflow(
            config_file=str(self._config_file),
            workflow_type="train",
            logging_file=False,
            dataset_dir=str(root / "data"),
            mask_values=">128",
            output_dir=str(root / "training"),
            model_file=str(root / "model.pt"),
            model=f"$workflow.load_model({str(start)!r})",
            network_def="$@model.network.train()",
            image_size="$@model.image_size",
            **options,
        )
        try:
            with self._device:
                workflow.initialize()
                parsed = workflow.parser.get_parsed_content
                engines = ["train#trainer", "validate#evaluator"] if parsed("val_clips") else ["train#trainer"]
                for name in engines:
                    parsed(name).add_event_handler(Events.ITERATION_COMPLETED, lambda: self._device.hand_over())
                workflow.run()
                workflow.finalize()
        except Exception as error:
            if found := find_input_error(error):
                raise InputError(str(found)) from error
            raise


def _frames_to_learn(video: StoredVideo) -> list[int]:
    """The frames whose masks people have approved, in order; of a final video all that have a mask."""
    if video.info.error:
        return []
    if video.info.is_final:
        scores = video.values.per_frame("scores")
        frames = [frame for frame, score in enumerate(scores) if score is not None or not video.values.without_mask()]
        if len(frames) < len(scores):
            logger.warning("'%s' is partly done: %d frames have no mask, and the training leaves them out",
                           video.id, len(scores) - len(frames))  # fmt: skip
        return frames
    return sorted({*video.corrections, *video.propagated_frames()}) if video.corrections else []


def _lay_out(videos: list[StoredVideo], chosen: dict[str, list[int]], root: Path) -> dict[str, str]:
    """Write frames and masks in SUN-SEG's layout, as ``case<patient>_<video>``, so that patients can be split.

    Args:
        videos: to write.
        chosen: the frames by the videos' ids.
        root: the folder to write to.

    Returns:
        the case names by the videos' ids.
    """
    patients = sorted({patient_of_video(video.id) for video in videos})
    cases = {}
    for number, video in enumerate(videos, start=1):
        case = f"case{patients.index(patient_of_video(video.id)) + 1}_{number}"
        cases[video.id] = case
        frames, masks = (root / "TrainDataset" / kind / case for kind in ("Frame", "GT"))
        wanted = set(chosen[video.id])
        with open_video(video.path) as source:
            for index, _, frame in source.frames(min(wanted), max(wanted) + 1):
                if index not in wanted:
                    continue
                frames.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frame).save(frames / f"{index:06d}.jpg", quality=95)
                write_png(masks / f"{index:06d}.png", np.where(video.mask(index).labels > 0, 255, 0).astype(np.uint8))
        logger.info("%s: %d frames as %s", video.id, len(wanted), case)
    return cases


def _held_out(root: Path, cases: dict[str, str], options: dict[str, Any]) -> list[str]:
    """The videos that the training holds out for validation."""
    validation = split_by_patient(read_split(root), float(options["validation_fraction"]), int(options["seed"]))[1]
    held_out = {clip["clip_id"].rpartition("/")[2] for clip in validation}
    return sorted(image_id for image_id, case in cases.items() if case in held_out)


def _score(folder: Path) -> float | None:
    """The best mean Dice on the held-out patients, from the training's log; None if no patient was held out."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    if "val_mean_dice" not in events.Tags()["scalars"]:
        return None
    return max(event.value for event in events.Scalars("val_mean_dice"))
