"""What the app stores for each video, in ``labels/lsinet/<id>/`` of the videos' folder.

======================  ===============================================================================================
``video.json``          size, number of frames, names and colours of the lesions, whether the video is final
``frames.json``         per frame: score, uncertainty, expected error, change from the frame before, quality of the
                        picture, has a polyp, lesions. The model's own values, and below ``propagated`` the values that
                        corrections changed, with ``sources``, the corrected frames
``predicted/N.png``     the model's masks. In all masks a pixel is its lesion's id, and 0 is background
``new/N.png``           the model's masks while it goes through the video again; then they replace ``predicted``. Their
                        values are in ``frames.new.json``
``propagated/N.png``    masks that propagation predicted from corrections
``corrected/N.png``     masks that people saved. Each file also says who saved it, when, and whether it was drawn, is
                        the network's and was found right, or was given to a stretch of frames
``undo/N/``             what the last propagations and acts on stretches of frames replaced
``history.jsonl``       who saved or took back which mask, and when
``annotate.pt``         where an interrupted annotation resumes
======================  ===============================================================================================

A person's mask takes precedence over a propagated one, and that over the model's. Every file is written whole or not at
all. A correction is on the disk before the server answers its save.

The modules: ``video_info`` (``video.json``), ``history`` (``history.jsonl``), ``masks`` (the PNG files),
``frame_values`` (``frames.json``), ``lesions`` (ids, names, merges), ``stretches`` (what people do to many frames at
once), ``propagations`` (those that can be undone), ``undo_log`` (``undo/``), ``video`` (changes that touch several of
these), ``summary`` (what clients see), ``videos`` (all videos).
"""

from lib.store.lesions import Lesions
from lib.store.masks import CHECKED, Correction, Mask, Masks, decode_mask, encode_mask
from lib.store.propagations import Replaced
from lib.store.stretches import Act
from lib.store.summary import describe_video, summarise_video
from lib.store.video import LABEL_SUFFIXES, LABEL_TAGS, REACH, StoredVideo
from lib.store.videos import VideoStore

__all__ = [
    "CHECKED",
    "LABEL_SUFFIXES",
    "LABEL_TAGS",
    "REACH",
    "Act",
    "Correction",
    "Lesions",
    "Mask",
    "Masks",
    "Replaced",
    "StoredVideo",
    "VideoStore",
    "decode_mask",
    "describe_video",
    "encode_mask",
    "summarise_video",
]
