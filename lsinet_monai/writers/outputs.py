"""Which results are written for a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lsinet_monai.errors import InputError
from lsinet_monai.utils.config_values import as_bool, as_slice, check_numbers
from lsinet_monai.writers.exports import EXPORTS, check_exports

__all__ = ["STACKS", "Outputs"]

STACKS = ("nifti", "nrrd")
"""The exports that hold a clip's masks in one file."""

_SWITCHES = ("write_masks", "write_maps", "write_overlay", "show_score", "with_images")


@dataclass
class Outputs:
    """Which results to write for each clip. Values from the command line are read and checked.

    Args:
        threshold: probability above which a pixel belongs to the mask.
        write_masks: write masks.
        write_maps: write probability maps.
        write_overlay: write an overlay: an MP4 if PyAV is installed, else a GIF.
        show_score: show the frame score below the overlay's frame.
        exports: names of :data:`~lsinet_monai.writers.EXPORTS`, as a list or as text with commas.
        frames: the frames to put into a stack, "A:B", from A up to but without B; None takes all.
        with_images: put the frames into a stack too.

    Raises:
        InputError: a value is not valid, the options do not fit together, or an export needs an extra that is not
            installed.
    """

    threshold: float = 0.5
    write_masks: bool = True
    write_maps: bool = True
    write_overlay: bool = True
    show_score: bool = True
    exports: Sequence[str] = field(default_factory=list)
    frames: str | None = None
    with_images: bool = False

    def __post_init__(self) -> None:
        check_numbers(threshold=self.threshold)
        for name in _SWITCHES:
            setattr(self, name, as_bool(getattr(self, name), name))
        exports = self.exports.replace(",", " ").split() if isinstance(self.exports, str) else self.exports
        check_exports(exports)
        # One order, so that the same exports in another order are the same settings.
        self.exports = [name for name in EXPORTS if name in exports]
        if self.exports and not self.write_masks:
            names = ", ".join(self.exports)
            raise InputError(f"write_masks=false leaves nothing to make {names} of: write the masks too")
        if (self.frames is not None or self.with_images) and not self.has_stack:
            raise InputError(
                "frames and with_images choose the content of a stack: add nifti or nrrd to exports, or leave them out"
            )
        as_slice(self.frames, "frames")

    @property
    def has_stack(self) -> bool:
        """Whether the exports include a stack."""
        return not set(STACKS).isdisjoint(self.exports)

    def stack_frames(self, frame_count: int) -> range:
        """The indices of the frames to put into the stack of a clip with ``frame_count`` frames."""
        return range(frame_count)[as_slice(self.frames, "frames")]
