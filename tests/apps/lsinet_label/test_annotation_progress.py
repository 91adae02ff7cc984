from __future__ import annotations

import pytest
import torch
from lib.annotation_progress import AnnotationProgress

from lsinet_monai.inferers import SequentialVideoInferer

SETTINGS = {"smoothing": 0.35}


@pytest.fixture
def state(small_network):
    """The state after two frames of three: the third waits for the one after it."""
    inferer = SequentialVideoInferer(memory_interval=1)
    state = inferer.new_state()
    frames = torch.randn(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert len(list(inferer.stream(iter(frames), small_network, state))) == 3
    return state


def test_an_annotation_resumes_with_its_model_and_settings_alone(tmp_path, state):
    progress = AnnotationProgress(tmp_path / "annotate.pt", "model 1", SETTINGS)
    again = SequentialVideoInferer(memory_interval=1).new_state()
    assert progress.resume(again, "cpu") is None
    progress.save(state, 3, 7)
    assert AnnotationProgress(tmp_path / "annotate.pt", "model 2", SETTINGS).resume(again, "cpu") is None
    assert AnnotationProgress(tmp_path / "annotate.pt", "model 1", {"smoothing": 0}).resume(again, "cpu") is None
    assert progress.resume(again, "cpu") == (3, 7) and again.frame_index == state.frame_index


def test_a_damaged_file_starts_it_again(tmp_path, state, caplog):
    progress = AnnotationProgress(tmp_path / "annotate.pt", "model 1", SETTINGS)
    progress.save(state, 3, 7)
    progress.path.write_bytes(progress.path.read_bytes()[:100])
    assert progress.resume(SequentialVideoInferer(memory_interval=1).new_state(), "cpu") is None
    assert "starts again at the first frame" in caplog.text
