"""Archives: many videos, segmented by workers on Ray, so that nothing is lost and nothing is done twice."""

from .command import PICTURES, run_archive
from .videos import ArchiveVideo, find_videos

__all__ = ["PICTURES", "ArchiveVideo", "find_videos", "run_archive"]
