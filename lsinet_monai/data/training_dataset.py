"""Training samples: three frames of one clip, read and transformed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from monai.transforms import Compose
from torch.utils.data import Dataset

from lsinet_monai.data.clips import Clip, describe_clips
from lsinet_monai.data.mask_files import STANDARD
from lsinet_monai.data.sampling import TrainingSample
from lsinet_monai.errors import find_input_error

__all__ = ["TrainingDataset"]


class _SeededTransform(Protocol):
    """A transform with its own random state, such as a MONAI ``Compose``."""

    set_random_state: Callable[..., Any]

    def __call__(self, data: dict[str, Any]) -> Any: ...


class TrainingDataset(Dataset[Any]):
    """The samples that a :class:`~lsinet_monai.data.TrainingSampler` over the same clips draws, transformed.

    The transform gets a dictionary of paths: ``image``, ``adjacent`` and ``memory`` of the frames, ``label``,
    ``adjacent_label`` and ``memory_mask`` of their masks (None for a negative clip). ``mask_rule`` is the clip's.
    ``still`` is True for a still, from which :class:`~lsinet_monai.transforms.RandStillClipd` makes three frames.

    Args:
        clips: the clips, with labels or negative.
        transform: reads and augments a sample, such as :func:`~lsinet_monai.transforms.training_transforms`; a list of
            transforms is composed, without None in it.

    Raises:
        InputError: on access, a file cannot be read.
    """

    def __init__(
        self, clips: Sequence[Clip], transform: _SeededTransform | Sequence[Callable[..., Any] | None]
    ) -> None:
        self.clips = list(clips)
        self.transform: _SeededTransform = (
            Compose([part for part in transform if part is not None]) if isinstance(transform, Sequence) else transform
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its clips, by name."""
        rules = sorted({str(clip.mask_rule) for clip in self.clips if clip.mask_rule} - {str(STANDARD)})
        return {"training_clips": describe_clips(self.clips), **({"masks": "; ".join(rules)} if rules else {})}

    def __len__(self) -> int:
        return sum(len(clip.image) for clip in self.clips)

    def __getitem__(self, sample: TrainingSample) -> Any:
        clip = self.clips[sample.clip]
        frames, masks = clip.image, clip.label
        # The seed belongs to the sample, so the augmentation is the same in whichever worker process prepares it.
        self.transform.set_random_state(seed=sample.seed)
        paths: dict[str, Any] = {
            "image": frames[sample.current],
            "adjacent": frames[sample.adjacent],
            "memory": frames[sample.memory],
            "label": masks and masks[sample.current],
            "adjacent_label": masks and masks[sample.adjacent],
            "memory_mask": masks and masks[sample.memory],
            "mask_rule": clip.mask_rule,
        }
        if clip.still:
            paths["still"] = True
        try:
            return self.transform(paths)
        except RuntimeError as error:
            # MONAI's Compose wraps every error, and of a wrapped one only the text leaves a worker process.
            if found := find_input_error(error):
                raise found from None
            raise
