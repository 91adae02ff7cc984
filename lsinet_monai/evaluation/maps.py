"""Finds the predicted maps of the truth's clips, and checks them: complete, readable and of their masks' size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from lsinet_monai.data.mask_files import MaskRule, frame_names, read_mask_picture
from lsinet_monai.errors import InputError

from .truth import LONE_SPLIT, Key, TruthClip, list_cases

__all__ = ["FoundMaps", "MapError", "MapProblems", "find_maps", "read_map_and_mask", "read_method_map"]

_PROBLEMS_NAMED = 10
_INVERTED_ERROR = 0.8  # inverted, the maps then err by less than 0.2


class MapProblems(InputError):
    """Maps are missing, damaged or of another size than their masks, or masks are damaged; nothing was scored.

    Args:
        problems: one line for each.
        notices: other findings, such as maps without truth: a missing map may be there under another name.
    """

    def __init__(self, problems: Sequence[str], notices: Sequence[str] = ()) -> None:
        self.problems = list(problems)
        self.notices = list(notices)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        more = f"; and {len(problems) - _PROBLEMS_NAMED} more" if len(problems) > _PROBLEMS_NAMED else ""
        super().__init__(f"{count} with the maps: {'; '.join(problems[:_PROBLEMS_NAMED])}{more}")


@dataclass(frozen=True)
class FoundMaps:
    """A method's maps of the truth's clips."""

    maps: dict[Key, list[Path | None]] = field(default_factory=dict)
    """The maps of each clip, in the frames' order; None for a frame without a map."""
    problems: list[str] = field(default_factory=list)
    """Missing and duplicate maps."""
    notices: list[str] = field(default_factory=list)
    """Maps without truth, and clips whose first or last frame has no map."""


def find_maps(method: str, root: Path, clips: Sequence[TruthClip]) -> FoundMaps:
    """Find a method's maps. No file is opened.

    Args:
        method: the method's name, for messages.
        root: the folder of its maps.
        clips: the truth's clips.

    Raises:
        InputError: the folder is missing, or holds no maps of any split of the truth.
    """
    if not root.is_dir():
        raise InputError(f"{method}: {root}: no such folder; give a folder of maps")
    splits = list(dict.fromkeys(clip.split for clip in clips))
    is_lone = LONE_SPLIT in splits
    folders = {split: root if is_lone else root / split for split in splits}
    present = [split for split in splits if folders[split].is_dir()]
    if not present:
        expected = root / splits[0] / clips[0].case / f"{clips[0].names[0]}.png"
        raise InputError(
            f"{method}: {root}: holds no maps of the truth's splits, such as {expected}; to score a lone folder of "
            "maps, give the GT folder of its split as truth"
        )
    cases = {split: list_cases(folders[split], "maps") for split in present}
    found = FoundMaps()
    used: set[tuple[Path, str]] = set()
    for clip in clips:
        if clip.split not in present:
            continue
        in_split = cases[clip.split]
        # If the truth has only one clip, a lone folder of images is taken as its maps, whatever its name.
        case = "" if "" in in_split and is_lone and len(clips) == 1 else clip.case
        used.add((folders[clip.split], case))
        by_name: dict[str, Path] = {}
        paths = in_split.get(case, [])
        for name, path in zip(frame_names(paths), paths, strict=True):
            if name in by_name:
                found.problems.append(f"{path}: {by_name[name].name} is a map of the same frame; remove one")
            by_name.setdefault(name, path)
        found.maps[clip.key] = [by_name.get(name) for name in clip.names]
        expected_folder = folders[clip.split] / case
        found.problems.extend(_missing(method, clip, by_name, expected_folder))
        if clip.names[0] not in by_name or clip.names[-1] not in by_name:
            found.notices.append(f"{method}: {expected_folder}: no map of the first or last frame; no score counts it")
        found.notices.extend(map(_without_truth, (by_name[name] for name in by_name.keys() - set(clip.names))))
    for split in present:
        strays = [images for case, images in cases[split].items() if (folders[split], case) not in used]
        found.notices.extend(map(_without_truth, chain(*strays)))
    return found


def _without_truth(path: Path) -> str:
    return f"{path}: has no truth, so it is not scored"


def _missing(method: str, clip: TruthClip, by_name: Mapping[str, Path], folder: Path) -> Iterator[str]:
    if not by_name:
        yield f"{method}: {folder} has no maps; the truth has {len(clip.names)} frames"
        return
    inner = clip.names if len(clip.names) < 3 else clip.names[1:-1]
    for name in inner:
        if name not in by_name:
            yield f"{method}: {folder / name}.png is missing"


def read_method_map(path: Path, rule: MaskRule | None) -> np.ndarray:
    """Read a map.

    Args:
        path: the map's file.
        rule: what :func:`~lsinet_monai.data.mask_files.find_map_rule` found for its method.

    Returns:
        uint8, (H, W): the probability times 255; 0 or 255 for a mask.

    Raises:
        InputError: it cannot be read, or is not what the rule says.
    """
    if rule is not None:
        return rule.read(path).view(np.uint8) * np.uint8(255)
    picture = read_mask_picture(path)
    if picture.kind != "grey" and not picture.is_black:
        raise InputError(f"{path}: holds {picture.content}, while other maps are grey; save it as grey, from 0 to 255")
    return picture.pixels


def read_map_and_mask(
    path: Path, clip: TruthClip, index: int, rule: MaskRule | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read a frame's map and its true mask.

    Args:
        path: the map's file.
        clip: the frame's clip.
        index: the frame's number in the clip, from 0.
        rule: how to read the map, see :func:`read_method_map`.

    Returns:
        The map, uint8, (H, W), and the mask, bool, (H, W).

    Raises:
        InputError: one of them cannot be read, or they differ in size.
    """
    map_, mask = read_method_map(path, rule), clip.mask(index)
    if map_.shape != mask.shape:
        sizes = " but its mask is ".join("x".join(map(str, image.shape)) for image in (map_, mask))
        raise InputError(f"{path}: is {sizes}; make them the same size")
    return map_, mask


@dataclass
class MapError:
    """How far a clip's maps are from its masks, to tell whether they are inverted. No score depends on it.

    Args:
        inside: the sum of the maps where the masks show polyp.
        outside: the sum of the maps elsewhere.
        polyp: the number of pixels that show polyp.
        rest: the number of all others.
    """

    inside: int = 0
    outside: int = 0
    polyp: int = 0
    rest: int = 0

    def add(self, map_: np.ndarray, mask: np.ndarray) -> None:
        """Add a frame: its map, uint8, (H, W), and its mask, bool, (H, W)."""
        inside, polyp = int(map_[mask].sum(dtype=np.int64)), int(mask.sum())
        self.inside += inside
        self.outside += int(map_.sum(dtype=np.int64)) - inside
        self.polyp += polyp
        self.rest += mask.size - polyp

    @property
    def mean(self) -> float:
        """The mean error of a pixel, in [0, 1]; 1 minus this for the inverted maps. 0 without frames."""
        return (255 * self.polyp - self.inside + self.outside) / (255 * max(self.polyp + self.rest, 1))

    @property
    def is_inverted(self) -> bool:
        """Whether the maps agree far better with the masks if inverted.

        Empty maps of polyps that fill the view are not inverted, nor are white ones: the background must be bright, and
        the polyps darker. In a clip without a polyp, it is enough that nearly all is bright.
        """
        if not self.rest or self.mean <= _INVERTED_ERROR:
            return False
        if not self.polyp:
            return True
        inside, outside = self.inside / self.polyp, self.outside / self.rest
        return outside > 255 / 2 and inside < outside
