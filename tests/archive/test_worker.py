"""A worker, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lsinet_monai.archive.folder import ArchiveFolder
from lsinet_monai.archive.segmenter import Settings
from lsinet_monai.archive.videos import ArchiveVideo
from lsinet_monai.archive.worker import Worker
from lsinet_monai.utils.shipped_model import model_hash

pytest.importorskip("av", reason='PyAV is missing: pip install ".[archive]"')
pytest.importorskip("pyarrow", reason='pyarrow is missing: pip install ".[archive]"')
pytestmark = [pytest.mark.slow, pytest.mark.required_in_ci]


def test_a_worker_sets_its_threads_and_does_a_video(
    settings: Settings, empty_folder: Path, make_video: Callable[..., ArchiveVideo]
) -> None:
    video = make_video(Path("x.mp4").absolute(), 3)
    folder = ArchiveFolder(empty_folder / "out")
    threads = torch.get_num_threads()
    try:
        with folder.claim(settings.recorded()):
            worker = Worker(settings, str(folder.path), model_hash(settings.checkpoint), threads + 1, "cpu", 60)
            assert worker.begin().kind == "done"
            assert torch.get_num_threads() == threads + 1
            assert worker.segment(video).kind == "done"
    finally:
        torch.set_num_threads(threads)


def test_what_a_machine_may_lack(settings: Settings, empty_folder: Path) -> None:
    folder, model = ArchiveFolder(empty_folder / "out"), model_hash(settings.checkpoint)
    outcome = Worker(settings, str(folder.path), model, 1, "cpu", 60).begin()
    assert outcome.kind == "stop" and "does not see --output" in outcome.reason
    with folder.claim(settings.recorded()):
        outcome = Worker(settings, str(folder.path), "abc", 1, "cpu", 60).begin()
        assert outcome.kind == "stop" and "has another file, or none, at" in outcome.reason
        outcome = Worker(settings, str(folder.path), model, 1, "abacus", 60).begin()
        assert outcome.kind == "stop" and "abacus" in outcome.reason
