"""Write probability maps as the released program does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine, Events
from PIL import Image

from lsinet_monai.data import Clip
from lsinet_monai.masks import logit_to_probability
from lsinet_monai.metrics import released_map
from lsinet_monai.utils.files import atomic_write

__all__ = ["ReleasedMapsSaver"]


class ReleasedMapsSaver:
    """Write the benchmark's maps, min-max stretched per frame as in the released program.

    From ``OUTPUT_DIR/<split>/<case>/<frame>.png`` SUN-SEG's toolbox computes the same scores as
    :class:`~lsinet_monai.metrics.ClipScores`. The maps are not for people: the stretching shows a polyp on every frame,
    also on one without a polyp.

    Args:
        clips: the evaluator's clips.
        output_dir: the folder of the maps.
    """

    def __init__(self, clips: Sequence[Clip], output_dir: str | Path) -> None:
        self.names = {clip.clip_id: [Path(path).stem for path in clip.image] for clip in clips}
        self.output_dir = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator of :class:`lsinet_monai.data.ClipPieces`."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the maps of a batch."""
        batch = engine.state.batch
        (clip_id,), (first,) = batch["clip_id"], batch["frame_index"]
        size = batch["label"].shape[-2:]
        for index, logit in enumerate(engine.state.output["pred"][0, 0], start=first):
            map_ = released_map(logit_to_probability(logit, size).cpu().numpy())
            with atomic_write(self.output_dir / clip_id / f"{self.names[clip_id][index]}.png") as path:
                Image.fromarray(map_).save(path, format="PNG")
