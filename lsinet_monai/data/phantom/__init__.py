"""A synthetic colonoscopy with exact masks, to start with, to test with and to demonstrate on.

A camera travels through a bent tube with haustral folds, lit by the lamp at its tip. Polyps (sessile, pedunculated and
flat) sit on the wall. The camera stops at one, looks away, comes back, and travels to the next.

Modules, bottom to top: ``colon`` (the scene), ``camera`` (frames and masks), ``examination`` (the camera's path),
``dataset`` (clips and files).

Lengths are in radii of the colon (about 2.5 cm); time is in frames, 30 a second. The phantom shows no patient.
"""

from lsinet_monai.data.phantom.dataset import phantom_clip, phantom_mucosa, write_phantom

__all__ = ["phantom_clip", "phantom_mucosa", "write_phantom"]
