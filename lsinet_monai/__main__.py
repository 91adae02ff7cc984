"""The package's commands: ``python -m lsinet_monai COMMAND``. The sub-packages do the work."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import NoReturn

from lsinet_monai.errors import InputError
from lsinet_monai.utils.error_line import report_input_errors_in_one_line
from lsinet_monai.utils.packaging import SHIPPED, copy_shipped, shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE, describe_model
from lsinet_monai.version import __version__

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print the message in one line, without argparse's usage."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _path(text: str) -> str:
    """Replace a ``~`` at the start by the user's folder, as a shell does except after ``--output=``."""
    return os.path.expanduser(text)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise InputError(f"--size is {text!r}: give height x width in pixels, like 256x320")
    return int(found[1]), int(found[2])


def _add_made_set(parser: argparse.ArgumentParser, size: str, made: str) -> None:
    """Add the arguments of a data set that a program makes."""
    parser.add_argument("out", type=_path, metavar="OUT", help="folder to write to")
    parser.add_argument("--size", default=size, metavar="HxW", help="height and width of the frames in pixels")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed gives the same data")
    parser.add_argument("--overwrite", action="store_true", help=f"replace the {made} that OUT holds")


def _add_phantom(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "phantom",
        help="write a synthetic colonoscopy data set in SUN-SEG's layout",
        description="Write a synthetic colonoscopy data set, frames and exact masks, in SUN-SEG's layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--clips", type=int, default=30, metavar="N", help="number of clips; a fifth is held out for testing"
    )
    parser.add_argument("--frames", type=int, default=40, metavar="N", help="frames per clip, at 30 per second")
    _add_made_set(parser, size="256x256", made="phantom")
    parser.set_defaults(run=_phantom)


def _phantom(args: argparse.Namespace) -> None:
    size = _size(args.size)
    from lsinet_monai.data.phantom import write_phantom

    write_phantom(args.out, args.clips, args.frames, size, args.seed, args.overwrite)


def _add_stills(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "stills",
        help="make clips with masks from stills, as a test set in SUN-SEG's layout",
        description="Make clips with masks from stills, over which a camera moves: a test set in SUN-SEG's layout.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--stills", type=_path, required=True, metavar="DIR", help="folder with images/ and masks/")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames per clip, at 25 per second")
    _add_made_set(parser, size="384x480", made="clips")
    parser.set_defaults(run=_stills)


def _stills(args: argparse.Namespace) -> None:
    size = _size(args.size)
    from lsinet_monai.data.stills import write_still_clips

    write_still_clips(args.out, args.stills, args.frames, size, args.seed, overwrite=args.overwrite)


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="score folders of probability maps, and write a report",
        description="Score folders of probability maps by SUN-SEG's benchmark and by clinical scores; write a report.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--predictions", required=True, nargs="+", action="extend", metavar="[NAME=]DIR",
        help="folder of a method's maps, SPLIT/CASE/FRAME.png or CASE/FRAME.png; several are compared",
    )  # fmt: skip
    parser.add_argument(
        "--truth", type=_path, required=True, metavar="DIR", help="data set in SUN-SEG's layout, or a GT folder"
    )
    parser.add_argument("--output", type=_path, required=True, metavar="OUT", help="folder to write to")
    parser.add_argument(
        "--mask-values", metavar="V", help="which values of the true masks are polyp; by default found out from them"
    )
    parser.add_argument("--negative-dir", type=_path, metavar="DIR", help="case folders of frames that show no polyp")
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="a pixel above this probability is polyp, for the clinical scores",
    )
    parser.add_argument("--frames-per-second", type=float, default=30.0, metavar="F", help="frame rate of the clips")
    parser.add_argument(
        "--published", type=_path, metavar="CSV", help="published results to compare with in the report"
    )
    parser.add_argument(
        "--gif", nargs="+", action="extend", default=[], metavar="CLIP",
        help="clips to show as GIFs of truth and methods: CASE or SPLIT/CASE",
    )  # fmt: skip
    parser.add_argument("--processes", type=int, metavar="N", help="number of processes; by default one per core")
    parser.add_argument("--overwrite", action="store_true", help="write to OUT even if it holds files")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> None:
    from lsinet_monai.evaluation import evaluate, name_predictions

    evaluate(
        name_predictions(args.predictions),
        args.truth,
        args.output,
        negative_dir=args.negative_dir,
        mask_values=args.mask_values,
        threshold=args.threshold,
        frames_per_second=args.frames_per_second,
        published=args.published,
        gifs=args.gif,
        processes=args.processes,
        overwrite=args.overwrite,
    )


def _add_archive(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "archive",
        help="segment many videos, on one machine or a cluster",
        description="Segment all videos of an archive. The same command continues a run that was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="a folder, a pattern such as 'videos/*.mp4', a list (.txt, .parquet) or a video; also URLs, such as s3://",
    )  # fmt: skip
    parser.add_argument(
        "--output",
        type=_path,
        required=True,
        metavar="OUT",
        help="folder of the results, on a disk that all machines share",
    )
    parser.add_argument("--checkpoint", type=_path, metavar="FILE", help="model file; by default the shipped one")
    parser.add_argument(
        "--exports", default="", metavar="NAMES",
        help="what to write besides summaries and tables of masks: png, maps, overlay, csv, coco, cvat, nifti, nrrd",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="P", help="a pixel above this probability is polyp"
    )
    parser.add_argument("--amp-dtype", metavar="TYPE", help="float16 or bfloat16 for the encoder; by default float32")
    parser.add_argument(
        "--address", metavar="ADDRESS", help="a Ray cluster: auto, or HOST:PORT; by default this machine alone"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="most workers at a time; by default all there is room for"
    )
    parser.add_argument(
        "--cpus-per-worker", type=int, metavar="N", help="cores of a worker; by default 1, and up to 4 with a GPU"
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="N",
        help="GPUs of a worker, such as 0.25; by default 1 if there is one",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try again what earlier runs have set aside")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="MINUTES",
        help="a video has failed if none of its frames is done in this time",
    )  # fmt: skip
    parser.set_defaults(run=_archive)


def _archive(args: argparse.Namespace) -> None:
    from lsinet_monai.archive import run_archive

    run_archive(
        args.inputs,
        args.output,
        checkpoint=args.checkpoint,
        exports=args.exports.replace(",", " ").split(),
        threshold=args.threshold,
        amp_dtype=args.amp_dtype,
        address=args.address,
        workers=args.workers,
        cpus_per_worker=args.cpus_per_worker,
        gpus_per_worker=args.gpus_per_worker,
        retry_failed=args.retry_failed,
        timeout=args.timeout,
    )


def _add_copy(commands: argparse._SubParsersAction[_Parser]) -> None:
    parser = commands.add_parser(
        "copy",
        help="copy the bundle or the label app out of the package",
        description="Copy the bundle or the label app out of the package, to run it, read it and change it.",
    )
    parser.add_argument("name", choices=list(SHIPPED), help="what to copy")
    parser.add_argument("destination", metavar="DESTINATION", help="folder to make")
    parser.set_defaults(run=_copy)


def _copy(args: argparse.Namespace) -> None:
    print(copy_shipped(args.name, args.destination))


def _about(args: argparse.Namespace) -> None:
    from lsinet_monai.ops.builds import find_extension

    print(f"lsinet_monai {__version__}")
    model = shipped_folder("bundle") / MODEL_FILE
    print(f"model: {describe_model(model)}")
    for device_type in ("cpu", "cuda"):
        built = find_extension(device_type)
        print(f"kernels on {device_type}: {built or 'not built yet: compiled on first use, if there is a compiler'}")
    print("commands: python -m lsinet_monai --help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; without one, say the version, the shipped model and the kernels.

    Args:
        arguments: the command line after the program's name; by default the process's own.

    Raises:
        InputError: the input cannot be used. Uncaught, it ends the process with its one line and exit code 1.
    """
    report_input_errors_in_one_line()
    parser = _Parser(prog="python -m lsinet_monai", description="LSI-Net: polyp segmentation in colonoscopy video")
    parser.add_argument("--version", action="version", version=f"lsinet_monai {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND")
    parser.set_defaults(run=_about)
    _add_phantom(commands)
    _add_stills(commands)
    _add_evaluate(commands)
    _add_archive(commands)
    _add_copy(commands)
    args = parser.parse_args(arguments)
    args.run(args)


if __name__ == "__main__":
    main()
