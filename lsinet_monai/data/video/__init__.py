"""Reading videos: files, folders of frames, DICOM. PyAV and pydicom are imported when a file needs them."""

from lsinet_monai.data.video.identity import is_same_picture, thumbnail
from lsinet_monai.data.video.pictures import holds_several
from lsinet_monai.data.video.reader import check_decode_device, is_dicom, open_video
from lsinet_monai.data.video.video import Video, VideoReport

__all__ = [
    "Video",
    "VideoReport",
    "check_decode_device",
    "holds_several",
    "is_dicom",
    "is_same_picture",
    "open_video",
    "thumbnail",
]
