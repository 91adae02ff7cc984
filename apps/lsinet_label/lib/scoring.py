"""Scoring: what people's corrections say of the model."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.store import VideoStore
from lsinet_monai.metrics import frame_dice

__all__ = ["DiceOfCorrections"]


class DiceOfCorrections(ScoringMethod):
    """The mean Dice of the model's own masks with those that people saved, per video, over the corrected frames.

    Args:
        videos: what is stored.
    """

    def __init__(self, videos: VideoStore) -> None:
        super().__init__("Mean Dice of the model's masks with people's, over the corrected frames")
        self.videos = videos

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, float]:
        scores = {}
        for image_id in datastore.list_images():
            video = self.videos[image_id]
            if not (video.is_annotated and video.corrections):
                continue
            dice = [
                frame_dice(video.mask(frame, original=True).labels > 0, video.mask(frame).labels > 0)
                for frame in video.corrections
            ]
            scores[image_id] = sum(dice) / len(dice)
            datastore.update_image_info(image_id, {"dice_of_corrections": scores[image_id]})
        return scores
