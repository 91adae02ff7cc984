"""The folder of a clip's unfinished run, ``OUTPUT_DIR/<clip_id>/.unfinished``: it lets a stopped run resume."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from lsinet_monai.errors import InputError
from lsinet_monai.writers.exports import EXPORTS
from lsinet_monai.writers.frame_records import FrameRecord, read_records
from lsinet_monai.writers.output_dir import FRAME_RESULTS
from lsinet_monai.writers.overlays import GifOverlay, Mp4Overlay
from lsinet_monai.writers.summary import SUMMARY_FILE, read_summary

__all__ = ["UnfinishedRun", "forget_clip", "frames_on_disk", "unfinished_dir"]

_FOLDER = ".unfinished"


def unfinished_dir(output_dir: str | Path, clip_id: str) -> Path:
    """Name the folder from which a run can resume a clip. It is removed when the summary is written."""
    return Path(output_dir) / clip_id / _FOLDER


def frames_on_disk(output_dir: str | Path, clip_id: str) -> int:
    """Count the frames of a clip after which another run can resume it; 0 without a stopped run."""
    return UnfinishedRun(output_dir, clip_id).count_frames()


def forget_clip(output_dir: str | Path, clip_id: str) -> None:
    """Remove an earlier run's results of a clip and its unfinished run, so that the clip starts again.

    The clip may have other frames now, and results of frames that it no longer has would look like new ones. Files that
    no run wrote are kept.
    """
    output_dir, run = Path(output_dir), UnfinishedRun(output_dir, clip_id)
    stems = [record.stem for record in read_records(run.record_file)]
    with suppress(InputError):
        stems += [entry["frame"] for entry in (read_summary(output_dir, clip_id) or {}).get("frames", [])]
    for kind in FRAME_RESULTS:
        for stem in stems:
            (output_dir / kind / clip_id / f"{stem}.png").unlink(missing_ok=True)
    for suffix in (GifOverlay.suffix, Mp4Overlay.suffix):
        (output_dir / "overlays" / f"{clip_id}{suffix}").unlink(missing_ok=True)
    for name in (*EXPORTS.values(), SUMMARY_FILE):
        (output_dir / clip_id / name).unlink(missing_ok=True)
    shutil.rmtree(run.folder, ignore_errors=True)


class UnfinishedRun:
    """The files of a clip's unfinished run: a line for each frame, and the overlay's segments.

    Args:
        output_dir: the folder of all results.
        clip_id: the clip's name.
    """

    def __init__(self, output_dir: str | Path, clip_id: str) -> None:
        self.clip_id = clip_id
        self.folder = unfinished_dir(output_dir, clip_id)
        self.record_file = self.folder / "frames.csv"

    def new_segment(self, first: int) -> Path:
        """Name the file of a new segment of the overlay.

        Args:
            first: the number of frames of the clip before it.
        """
        segment = self.folder / f"{first:09d}.part"
        # The encoder may write its first bytes late; the empty file already shows that the clip has an overlay.
        segment.touch()
        return segment

    def end_segment(self, segment: Path, stop: int) -> None:
        """Mark a segment as complete.

        Args:
            segment: its file.
            stop: the number of frames of the clip up to its end.
        """
        segment.replace(segment.with_name(f"{segment.stem}-{stop:09d}.segment"))

    def segments(self) -> dict[Path, int]:
        """Return the overlay's complete segments, in order, and the number of frames up to the end of each."""
        return {segment: int(segment.stem.rpartition("-")[2]) for segment in sorted(self.folder.glob("*.segment"))}

    def count_frames(self) -> int:
        """Count the frames after which a run can resume: all frames, or those in complete segments of an overlay."""
        done, segments = len(read_records(self.record_file)), self.segments()
        has_overlay = segments or any(self.folder.glob("*.part"))
        return min(done, max(segments.values(), default=0)) if has_overlay else done

    def rewind(self, frames_done: int, needs_overlay: bool) -> list[FrameRecord]:
        """Restore the state after a number of frames, removing everything later.

        Args:
            frames_done: the number of frames; with 0 the whole folder is removed.
            needs_overlay: whether the overlay's segments must end after exactly this number of frames.

        Returns:
            The records of these frames.

        Raises:
            InputError: the folder does not hold these frames.
        """
        if not frames_done and self.folder.exists():
            shutil.rmtree(self.folder)
        records = read_records(self.record_file)
        for leftover in self.folder.glob("*.part"):
            leftover.unlink()
        segments = self.segments()
        for segment, stop in segments.items():
            # One that ended when a write failed may hold frames beyond those that were counted.
            if stop > frames_done or int(segment.stem.partition("-")[0]) >= frames_done:
                segment.unlink()
        if len(records) < frames_done or (needs_overlay and frames_done not in {0, *segments.values()}):
            raise InputError(
                f"'{self.folder}' does not hold the first {frames_done} frames of clip '{self.clip_id}': start the "
                "clip again"
            )
        return records[:frames_done]

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)
