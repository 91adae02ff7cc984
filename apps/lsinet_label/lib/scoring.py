"""Scoring: how well the model's masks agree with people's corrections."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.store import VideoStore
from lsinet_monai.metrics import frame_dice

__all__ = ["DiceOfCorrections"]


class DiceOfCorrections(ScoringMethod):
    """The mean Dice between the model's own masks and people's, per video, over the corrected frames.

    Args:
        videos: the stored videos.
    """

    def __init__(self, videos: VideoStore) -> None:
        super().__init__("Mean Dice between the model's masks and people's, over the corrected frames")
        self.videos = videos

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, float]:
        """Score each video that has both kinds of masks, and store its score in the datastore.

        Returns:
            the scores by the videos' ids.
        """
        scores = {}
        for image_id in datastore.list_images():
            video = self.videos[image_id]
            if not (video.info.is_annotated and video.corrections):
                continue
            dice = [
                frame_dice(video.mask(frame, original=True).labels > 0, video.mask(frame).labels > 0)
                for frame in video.corrections
            ]
            scores[image_id] = sum(dice) / len(dice)
            datastore.update_image_info(image_id, {"dice_of_corrections": scores[image_id]})
        return scores
