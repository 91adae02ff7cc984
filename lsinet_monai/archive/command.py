"""The command ``archive``: every check before the first video, the run, the table and the report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_args

from lsinet_monai.archive.failures import TRIES, Failures
from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.progress import Progress
from lsinet_monai.archive.ray_engine import RayEngine, import_ray, ray_session
from lsinet_monai.archive.report import write_report
from lsinet_monai.archive.schedule import run_all
from lsinet_monai.archive.segmenter import Settings
from lsinet_monai.archive.table import failed_row, is_partial
from lsinet_monai.archive.videos import ArchiveVideo, find_videos, is_local, open_place
from lsinet_monai.errors import InputError, describe_no_room
from lsinet_monai.inferers.sequential import AmpDtype
from lsinet_monai.networks import load_checkpoint
from lsinet_monai.utils.config_values import check_choice
from lsinet_monai.utils.cores import available_cores
from lsinet_monai.utils.extras import require_extra
from lsinet_monai.utils.packaging import shipped_folder
from lsinet_monai.utils.shipped_model import MODEL_FILE, describe_model
from lsinet_monai.writers import EXPORTS, Outputs

__all__ = ["PICTURES", "run_archive"]

PICTURES = ("png", "maps", "overlay")
"""What :func:`run_archive` writes on request, besides :data:`~lsinet_monai.writers.EXPORTS`."""

_MOST_MINUTES = 100_000
_SAVE_SECONDS = 60.0
_PATIENCE_HERE, _PATIENCE = 30.0, 600.0  # seconds to wait for a machine; to Ray on this machine none can come
_SAVE_SHARE = 0.02
"""The table is written once a minute, but takes no more than this share of the time."""


@contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise InputError("interrupted; the same command continues") from error


@_interruptible()
def run_archive(
    inputs: Sequence[str],
    output: str | Path,
    checkpoint: str | Path | None = None,
    exports: Sequence[str] = (),
    threshold: float = 0.5,
    amp_dtype: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    cpus_per_worker: int | None = None,
    gpus_per_worker: float | None = None,
    retry_failed: bool = False,
    timeout: float = 60.0,
) -> None:
    """Segment all videos of an archive, by as many workers as there is room for, and nothing twice.

    A second call does what is missing: videos that are new, have changed, or were left when the run was stopped.

    Args:
        inputs: see :func:`~lsinet_monai.archive.videos.find_videos`.
        output: the folder of the results, see :class:`~lsinet_monai.archive.folder.ArchiveFolder`.
        checkpoint: the model file; by default the shipped model.
        exports: what to write besides summaries and tables of masks: names of :data:`PICTURES` and of
            :data:`~lsinet_monai.writers.EXPORTS`.
        threshold: the probability above which a pixel belongs to the mask, in [0, 1].
        amp_dtype: the type of the encoder's numbers, such as "bfloat16"; by default float32.
        address: of a Ray cluster; by default Ray is started on this machine.
        workers: see :class:`~lsinet_monai.archive.ray_engine.RayEngine`, also for the two that follow.
        cpus_per_worker: cores of a worker.
        gpus_per_worker: GPUs of a worker.
        retry_failed: try the videos again that earlier runs have set aside.
        timeout: the minutes after which a video has failed of which no frame was done in them.

    Raises:
        InputError: an argument is not valid, or the videos or the output cannot be used; then no video was begun. Or
            the disk is full; then the same call continues. Or, at the end, videos were set aside.
    """
    import_ray()
    require_extra("pyarrow", "archive")
    settings = _settings(checkpoint, exports, threshold, amp_dtype)
    for name, number in (("workers", workers), ("cpus-per-worker", cpus_per_worker)):
        if number is not None and number < 1:
            raise InputError(f"--{name} {number} must be 1 or more")
    if gpus_per_worker is not None and gpus_per_worker < 0:
        raise InputError(f"--gpus-per-worker {gpus_per_worker} must be 0 or more")
    if not 0 < timeout <= _MOST_MINUTES:
        raise InputError(f"--timeout {timeout:g} must be a number of minutes, above 0 and at most {_MOST_MINUTES}")
    folder = ArchiveFolder(Path(output).absolute() if "://" not in str(output) else output)
    _check_apart(inputs, folder)
    videos = find_videos(inputs)
    _check_outside(videos, folder)
    load_checkpoint(settings.checkpoint)  # each worker does, but this one does it before the output is claimed
    with folder.claim(settings.recorded()):
        rows = folder.finished(videos)
        failures = Failures(folder.failures, forget=videos if retry_failed else ())
        remaining = [video for video in videos if video.name not in rows and not failures.is_set_aside(video)]
        print(f"model: {describe_model(settings.checkpoint)}")
        done = sum(video.name in rows for video in videos)
        print(f"{len(videos)} videos: {done} done and {len(videos) - done - len(remaining)} set aside before")
        model = settings.recorded()["model_sha256"]
        try:
            if remaining:
                cores = max(available_cores(), (workers or 1) * (cpus_per_worker or 1))
                with ray_session(address, cores) as dashboard:
                    if dashboard:
                        print(f"Ray's dashboard: http://{dashboard} (if it asks for a token: ray get-auth-token)")
                    engine = RayEngine(
                        settings, str(folder.path), model, workers, cpus_per_worker, gpus_per_worker, timeout
                    )
                    patience = _PATIENCE_HERE if address is None else _PATIENCE
                    try:
                        _run(engine, folder, failures, rows, videos, remaining, model, patience)
                    finally:
                        engine.close()
            _finish(folder, failures, rows, videos, model)
        except OSError as error:
            if no_room := describe_no_room(error):
                raise InputError(f"{no_room}, then run the same command again") from error
            if error.filename is None:
                raise
            raise InputError(
                f"cannot write {error.filename} ({error.strerror}): make it writable, then run the same command again"
            ) from error


def _settings(
    checkpoint: str | Path | None, exports: Sequence[str], threshold: float, amp_dtype: str | None
) -> Settings:
    unknown = next((name for name in exports if name not in (*PICTURES, *EXPORTS)), None)
    if unknown is not None:
        raise InputError(f"export {unknown!r} is not one of {', '.join([*PICTURES, *EXPORTS])}")
    check_choice((*get_args(AmpDtype), None), amp_dtype=amp_dtype)
    model = Path(shipped_folder("bundle") / MODEL_FILE if checkpoint is None else checkpoint)
    if not model.is_file():
        raise InputError(f"--checkpoint {model}: no such file")
    # "parquet" is always written.
    chosen = tuple(name for name in (*PICTURES, *EXPORTS) if name in exports and name != "parquet")
    settings = Settings(str(model.absolute()), threshold, amp_dtype, chosen)
    keys = settings.keys()
    Outputs(**{name: keys[name] for name in ("threshold", "write_masks", "write_maps", "write_overlay", "exports")})
    return settings


def _check_apart(inputs: Sequence[str], folder: ArchiveFolder) -> None:
    """Keep a second run from finding the overlays of the first one."""
    for text in inputs:
        files, path = open_place(text)
        if is_local(files) and Path(path).is_dir() and folder.path.resolve().is_relative_to(Path(path).resolve()):
            raise InputError(
                f"--output {folder.path} lies in the input {text}, so a second run would take its overlays for videos: "
                "choose a folder outside the input"
            )


def _check_outside(videos: Sequence[ArchiveVideo], folder: ArchiveFolder) -> None:
    """The same for patterns and lists, which do not say beforehand where they reach."""
    output = folder.path.resolve()
    is_inside: dict[Path, bool] = {}
    for path in (Path(video.path) for video in videos if "://" not in video.path):
        if path.parent not in is_inside:
            is_inside[path.parent] = path.parent.resolve().is_relative_to(output)
        if is_inside[path.parent]:
            raise InputError(
                f"{path} lies in --output {folder.path}, so it is no video of the archive but a result: give a pattern "
                "or list that leaves the output out, or choose a folder outside the input"
            )


def _run(
    engine: RayEngine,
    folder: ArchiveFolder,
    failures: Failures,
    rows: dict[str, dict[str, Any]],
    videos: Sequence[ArchiveVideo],
    remaining: Sequence[ArchiveVideo],
    model: str | None,
    patience: float,
) -> None:
    progress = Progress(len(videos), len(videos) - len(remaining), sum(video.size for video in remaining))
    next_save = time.monotonic() + _SAVE_SECONDS

    def on_done(row: dict[str, Any]) -> None:
        rows[row["video"]] = row
        progress.done(row)

    def on_failed(video: ArchiveVideo) -> None:
        progress.failed()
        if failures.is_set_aside(video):
            progress.set_aside(video.size)

    def on_wait(busy: int) -> None:
        nonlocal next_save
        progress.refresh(busy)
        start = time.monotonic()
        if start >= next_save:
            folder.write_table(_all_rows(rows, failures, videos, model))
            end = time.monotonic()
            next_save = end + max(_SAVE_SECONDS, (end - start) / _SAVE_SHARE)

    troubles: set[str] = set()

    def on_trouble(reason: str) -> None:
        if reason not in troubles:  # each worker of a machine says the same
            progress.note(f"the run goes on without a worker: {reason}")
        troubles.add(reason)

    try:
        run_all(engine, remaining, failures, on_done, on_failed, on_wait, on_trouble, patience)
    except BaseException:
        with suppress(OSError):  # the disk may be full, and the folders of the videos have all that the table has
            folder.write_table(_all_rows(rows, failures, videos, model))
        raise
    finally:
        progress.close()


def _all_rows(
    rows: dict[str, dict[str, Any]], failures: Failures, videos: Sequence[ArchiveVideo], model: str | None
) -> dict[str, dict[str, Any]]:
    aside = {
        video.name: failed_row(video, model, failures.reason(video))
        for video in videos
        if video.name not in rows and failures.is_set_aside(video)
    }
    return {**rows, **aside}


def _finish(
    folder: ArchiveFolder,
    failures: Failures,
    rows: dict[str, dict[str, Any]],
    videos: Sequence[ArchiveVideo],
    model: str | None,
) -> None:
    everything = _all_rows(rows, failures, videos, model)
    folder.write_table(everything)
    write_report(folder, list(everything.values()))
    print(f"table: {folder.table}\nreport: {folder.report}")
    if partial := sum(is_partial(everything[video.name]) for video in videos):
        print(f"{partial} of {len(videos)} videos are cut off or damaged; the report says how many frames are missing")
    if aside := sum(everything[video.name]["error"] is not None for video in videos):
        raise InputError(
            f"{aside} of {len(videos)} videos are set aside, each after {TRIES} tries; {folder.failures} says why, and "
            "--retry-failed tries them again. All others are done"
        )
