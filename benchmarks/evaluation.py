"""The speed of scoring maps: ``score_folders`` in several processes against a loop with pysodmetrics in one.

The maps are made from the masks of CVC-ClinicDB by the recipe of the parity tests. The loop computes the benchmark's
scores only; ours computes the clinical scores too. The script also prints the peak memory for a short and a long clip;
most of it is taken by libraries, mainly PyTorch and MONAI.

    python benchmarks/evaluation.py [--data ../shared/data/CVC-ClinicDB] [--processes 2]
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import re
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import py_sod_metrics as sod
from PIL import Image
from tqdm import tqdm

from lsinet_monai.data import natural_key
from lsinet_monai.evaluation import score_folders

ROOT = Path(__file__).resolve().parents[1]
SPLITS = ("TrainDataset", "TestEasyDataset/Unseen")


def load_recipe() -> ModuleType:
    """Load the recipe for maps from the parity tests, which are not a package."""
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "tests" / "parity" / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_maps(data: Path, maps: Path) -> None:
    """Write a map for each mask of the dataset."""
    recipe = load_recipe()
    masks = [path for split in SPLITS for path in sorted((data / split / "GT").rglob("*.png"))]
    for path in tqdm(masks, desc="making maps", unit="frame"):
        case, image = (int(re.findall(r"\d+", name)[-1]) for name in (path.parent.name, path.stem))
        target = maps / path.relative_to(data).parents[2] / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as mask:
            map_ = recipe.prediction(np.asarray(mask.convert("L")), image + 1000 * case)
        Image.fromarray(map_).save(target)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def loop(data: Path, maps: Path) -> dict[str, float]:
    """Score every clip as pysodmetrics is meant to be used: the mean S-measure of each split's clips."""
    handlers = (sod.FmeasureHandler, sod.DICEHandler, sod.IOUHandler, sod.SensitivityHandler, sod.SpecificityHandler)
    scores = {}
    for split in SPLITS:
        structures = []
        for case in sorted((data / split / "GT").iterdir()):
            s, e, w, mae = sod.Smeasure(), sod.Emeasure(), sod.WeightedFmeasure(), sod.MAE()
            f = sod.FmeasureV2(
                {handler.__name__: handler(with_dynamic=True, with_adaptive=True) for handler in handlers}
            )
            for path in sorted(case.iterdir(), key=lambda path: natural_key(path.stem))[1:-1]:
                map_, mask = read(maps / split / case.name / path.name), read(path)
                for metric in (s, e, w, mae, f):
                    metric.step(map_, mask)
            for metric in (e, w, mae, f):
                metric.get_results()
            structures.append(s.get_results()["sm"])
        scores[split] = float(np.mean(structures))
    return scores


def ours(data: Path, maps: Path, processes: int) -> dict[str, float]:
    """Score every clip with ``score_folders``: the mean S-measure of each split's clips."""
    scores = score_folders({"ours": maps}, data, processes=processes, progress=False).scores()["ours"]
    return {split: scores[split]["dataset"]["Smeasure"] for split in SPLITS}


def peak_memory(truth: Path, maps: Path) -> tuple[float, float]:
    """Score one folder of maps: the peak memory of this process before and after, in MiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    score_folders({"ours": maps}, truth, processes=1, progress=False)
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def long_clip(data: Path, maps: Path, folder: Path, frames: int) -> tuple[Path, Path]:
    """Make one long clip: links to the frames of a short one, repeated."""
    case = min((data / SPLITS[1] / "GT").iterdir())
    names = [path.name for path in case.iterdir()]
    for number in range(frames):
        name = names[number % len(names)]
        for kind, source in (("truth", case / name), ("maps", maps / SPLITS[1] / case.name / name)):
            target = folder / str(frames) / kind / "case" / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.resolve())
    return folder / str(frames) / "truth", folder / str(frames) / "maps"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("LSINET_DATA", ROOT.parent / "shared" / "data")) / "CVC-ClinicDB"
    parser.add_argument("--data", type=Path, default=default, help="a dataset in SUN-SEG's layout (%(default)s)")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if not (args.data / "TrainDataset" / "GT").is_dir():
        parser.error(f"{args.data}/TrainDataset/GT: no such folder; --data names a dataset in SUN-SEG's layout")
    with tempfile.TemporaryDirectory() as folder:
        maps = Path(folder) / "maps"
        write_maps(args.data, maps)
        frames = len(list(maps.rglob("*.png")))
        start = time.perf_counter()
        expected = loop(args.data, maps)
        middle = time.perf_counter()
        scores = ours(args.data, maps, args.processes)
        end = time.perf_counter()
        assert np.allclose(list(scores.values()), list(expected.values())), (scores, expected)
        one, several = middle - start, end - middle
        print(f"{frames} frames of {args.data.name}")
        print(f"pysodmetrics, one process  {one:6.2f} s  {1000 * one / frames:5.1f} ms per frame")
        print(
            f"score_folders, {args.processes} processes {several:6.2f} s  {1000 * several / frames:5.1f} ms per frame"
        )
        print(f"{one / several:.2f} times as fast")
        for length in (100, 1000):
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, context) as pool:
                libraries, memory = pool.submit(peak_memory, *long_clip(args.data, maps, Path(folder), length)).result()
            print(f"peak memory with a clip of {length:4d} frames: {memory:.0f} MiB, {libraries:.0f} of them libraries")


if __name__ == "__main__":
    main()
