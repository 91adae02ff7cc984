"""LSI-Net for polyp segmentation in colonoscopy video, as a MONAI plugin.

Import what you need from the sub-packages; importing the package itself loads nothing heavy.
"""

from lsinet_monai.version import __version__

__all__ = ["__version__"]
