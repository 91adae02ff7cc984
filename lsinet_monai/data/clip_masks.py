"""Clips whose masks are read by one rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lsinet_monai.data.clips import Clip
from lsinet_monai.data.mask_files import find_mask_rule

__all__ = ["with_mask_rule"]


def with_mask_rule(clips: Sequence[Clip], mask_values: Any = None) -> list[Clip]:
    """Find out which pixels of some clips' masks are polyp, and log it in one line.

    At most 64 masks are read; those that cannot be are left to :func:`~lsinet_monai.data.check_clips`.

    Args:
        clips: the clips of one set, whose masks were made in one way.
        mask_values: which pixels are polyp, see :func:`~lsinet_monai.data.mask_files.given_rule`; None finds it out.

    Returns:
        The clips with their ``mask_rule``. Clips without masks stay as they are.

    Raises:
        InputError: the masks could mean several things, or none shows a polyp.
    """
    paths = [path for clip in clips for path in clip.label or ()]
    if not paths:
        return list(clips)
    rule = find_mask_rule(paths, mask_values)
    return [replace(clip, mask_rule=rule) if clip.label else clip for clip in clips]
