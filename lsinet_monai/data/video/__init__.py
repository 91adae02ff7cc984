"""Reading videos: files, folders of frames, DICOM. PyAV and pydicom are imported when a file needs them."""

from lsinet_monai.data.video.identity import is_same_picture, thumbnail
from lsinet_monai.data.video.pictures import holds_several
from lsinet_monai.data.video.reader import is_dicom, open_video
from lsinet_monai.data.video.video import Video, VideoReport

__all__ = ["Video", "VideoReport", "holds_several", "is_dicom", "is_same_picture", "open_video", "thumbnail"]
