"""The example that runs an exported streaming step without PyTorch."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from lsinet_monai.data import frames_to_tensor, open_video, phantom_clip
from lsinet_monai.inferers import SequentialVideoInferer
from lsinet_monai.networks import load_checkpoint

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_onnx.py"
SIZE = (128, 160)  # of the video; the demo's network takes 128x128
FRAMES = 20
ALONE = "import runpy, sys; sys.modules |= dict.fromkeys(('torch', 'PIL', 'lsinet_monai')); sys.argv = sys.argv[1:]; "


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A phantom, as an MP4."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for frame, _ in phantom_clip(FRAMES, SIZE, seed=1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return tmp_path / "video.mp4"


@pytest.mark.slow
def test_masks_are_the_packages_own(onnx_step: Path, demo_model: Path, video: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network, image_size = load_checkpoint(demo_model)
    command = [sys.executable, "-c", f"{ALONE}runpy.run_path(sys.argv[0], run_name='__main__')", str(EXAMPLE)]
    subprocess.run([*command, str(onnx_step), "video.mp4", "masks"], cwd=tmp_path, check=True)

    with open_video(video) as opened:
        clip = frames_to_tensor([frame for _, _, frame in opened], image_size)[None]
    with torch.no_grad():
        logits = SequentialVideoInferer(2, 3, adjacent="previous")(clip, network)
    expected = (F.interpolate(logits[0, 0, :, None], SIZE, mode="bilinear")[:, 0] > 0).numpy()
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [f"{i:06d}.png" for i in range(FRAMES)]
    masks = np.stack([np.array(Image.open(tmp_path / "masks" / f"{i:06d}.png")) for i in range(FRAMES)])
    assert set(np.unique(masks)) == {0, 255}
    found = masks > 0
    assert 2 * (found & expected).sum() >= 0.999 * (found.sum() + expected.sum()) > 0


@pytest.mark.parametrize("missing", ["step.onnx", "video.mp4"])
def test_a_missing_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    for name in {"step.onnx", "video.mp4"} - {missing}:
        Path(name).touch()
    main = runpy.run_path(str(EXAMPLE))["main"]
    with pytest.raises(SystemExit, match=f"^error: {missing}: no such file$"):
        main("step.onnx", "video.mp4", "masks")
    assert not Path("masks").exists()


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 60


@pytest.mark.parametrize("content", [b"", b"text\n", bytes(range(256)) * 40, "sound"])
def test_a_file_that_is_no_video_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str
) -> None:
    onnxruntime, av = pytest.importorskip("onnxruntime"), pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    Path("step.onnx").touch()
    if isinstance(content, bytes):
        Path("video.mp4").write_bytes(content)
    else:
        with av.open("video.mp4", "w") as container:
            stream = container.add_stream("aac", rate=8000, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            container.mux([*stream.encode(silence), *stream.encode()])
    frame = SimpleNamespace(shape=[1, 3, 64, 96])
    step = SimpleNamespace(get_inputs=lambda: [frame])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: step)
    main = runpy.run_path(str(EXAMPLE))["main"]
    with pytest.raises(SystemExit, match=r"^error: video\.mp4: not a video, or a damaged one \(\w+\)$"):
        main("step.onnx", "video.mp4", "masks")
    assert not Path("masks").exists()


def test_it_resizes_as_the_package_does() -> None:
    resizing = runpy.run_path(str(EXAMPLE))["resizing"]
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(256, (90, 120), generator=generator, dtype=torch.uint8).numpy()
    small = np.array(Image.fromarray(frame).resize((96, 64), Image.Resampling.BILINEAR), float)
    found = np.floor(resizing(90, 64) @ np.floor(frame @ resizing(120, 96).T + 0.5) + 0.5)
    assert np.array_equal(found, small)
    logit = torch.randn(1, 1, 64, 96, generator=generator)
    large = resizing(64, 90) @ logit[0, 0].numpy() @ resizing(96, 120).T
    expected = F.interpolate(logit, (90, 120), mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(large, expected, rtol=0, atol=1e-4)
