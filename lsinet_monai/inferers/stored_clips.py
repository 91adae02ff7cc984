"""Store the encoded clips of a training whose encoder is frozen, so that each clip is encoded once."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from lsinet_monai.data import TrainingDataset, TrainingSample, describe_clips
from lsinet_monai.errors import InputError
from lsinet_monai.inferers.clip_training import FEATURE_KEYS
from lsinet_monai.networks import LSINet, fuse_norms
from lsinet_monai.networks.encoder import STRIDES
from lsinet_monai.utils.config_values import check_numbers, check_paths
from lsinet_monai.utils.files import atomic_write

__all__ = ["StoredClips"]


class StoredClips(Dataset[Any]):
    """The encoded clips of a training. A clip is encoded when it is used first, and is read from a file after that.

    Trainings of the same stills with the same encoder and transform share the files, also at the same time; so do a
    training and its resumption. Features are in half precision: a clip of 7 frames takes 0.8 MB at 256 x 256, 1.5 MB at
    352 x 352.

    Args:
        dataset: gives a sample with ``image``, a clip (3, T, H, W), and what belongs to it: masks of 0 and 1, numbers.
        network: a copy of its encoder encodes the clips, as at inference.
        folder: the folder of the files; it is made if needed.
        clips_per_still: so many different clips are stored of each still, and an epoch uses one of them.
        settings: what else the clips depend on, such as the settings of the dataset's transform.

    Raises:
        InputError: the folder has the clips of other stills, of another encoder or with other settings; or on access,
            the clips' height and width are not multiples of 32.
    """

    def __init__(
        self,
        dataset: TrainingDataset,
        network: LSINet,
        folder: str | os.PathLike[str],
        clips_per_still: int = 1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        check_paths(features_dir=folder)
        check_numbers(clips_per_still=clips_per_still)
        self.dataset = dataset
        self._encoder = fuse_norms(copy.deepcopy(network).eval()).encoder
        self.folder = Path(folder)
        self.clips_per_still = clips_per_still
        self._check_folder({"clips": describe_clips(dataset.clips), "encoder": _digest(network), **(settings or {})})

    @property
    def settings(self) -> dict[str, Any]:
        """What a training records of its clips, by name."""
        return self.dataset.settings | {"clips_per_still": self.clips_per_still}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, sample: TrainingSample) -> dict[str, Tensor]:
        """Return a clip's sample, with its features, float32, (T, 32, h, w), under :data:`FEATURE_KEYS`."""
        number = sample.clip * self.clips_per_still + sample.seed % self.clips_per_still
        path = self.folder / f"{number:06d}.safetensors"
        if path.is_file():
            try:
                stored = load_file(path)
            except (OSError, SafetensorError) as error:
                raise InputError(f"'{path}' cannot be read as a stored clip ({error}): remove it") from error
        else:
            # The seed is the clip's number, so that it does not depend on which training draws it.
            stored = self._encode(self.dataset[sample._replace(seed=number)])
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            save_file(stored, temporary)
            os.replace(temporary, path)
        return {key: value if value.dtype == torch.int64 else value.float() for key, value in stored.items()}

    @torch.no_grad()
    def _encode(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        clip = sample["image"].transpose(0, 1)
        if any(side % STRIDES[-1] for side in clip.shape[-2:]):
            raise InputError(
                f"features are stored of frames whose sides are multiples of {STRIDES[-1]}, not of "
                f"{tuple(clip.shape[-2:])}: choose another clip_size, or give an empty features_dir"
            )
        weight = next(self._encoder.parameters())
        features = self._encoder(clip.to(weight.device, weight.dtype))
        stored = {key: x.half().cpu().contiguous() for key, x in zip(FEATURE_KEYS, features, strict=True)}
        others = {key: value for key, value in sample.items() if key not in stored}
        return stored | {
            key: value.to(torch.uint8) if value.is_floating_point() else value for key, value in others.items()
        }

    def _check_folder(self, settings: dict[str, Any]) -> None:
        """Check that the folder has the clips of these settings, or note them in a new folder."""
        path = self.folder / "clips.json"
        text = json.dumps({**settings, "clips_per_still": self.clips_per_still}, indent=1, default=str)
        if not path.is_file():
            with atomic_write(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        was = json.loads(path.read_text(encoding="utf-8"))
        if other := [name for name, value in json.loads(text).items() if was.get(name) != value]:
            raise InputError(
                f"features_dir='{self.folder}' has clips with another value of {', '.join(other)}: give another folder"
            )


def _digest(network: LSINet) -> str:
    """Letters that tell an encoder from others."""
    digest = hashlib.sha256()
    for name, value in sorted(network.encoder.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]
