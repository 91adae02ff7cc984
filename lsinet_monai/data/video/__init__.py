"""Reading videos: files, folders of frames, DICOM. PyAV and pydicom are imported when a file needs them."""

from lsinet_monai.data.video.reader import open_video
from lsinet_monai.data.video.video import Video, VideoReport

__all__ = ["Video", "VideoReport", "open_video"]
