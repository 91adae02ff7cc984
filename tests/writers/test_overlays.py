from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lsinet_monai.writers.overlays import GifOverlay, Mp4Overlay

WIDTH, HEIGHT = 66, 50


def _write(overlay: GifOverlay | Mp4Overlay, folder: Path, seconds: list[float], segments: list[int]) -> Path:
    """An overlay of grey pictures that get brighter, in segments of some lengths."""
    number, files = 0, []
    for place, length in enumerate(segments):
        files.append(folder / f"{place}.segment")
        overlay.start(files[-1], (WIDTH, HEIGHT))
        for _ in range(length):
            overlay.add(np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8), number, seconds[number])
            number += 1
        overlay.finish()
    path = folder / f"overlay{overlay.suffix}"
    overlay.join(files, path)
    return path


SEGMENTS = [[9], [4, 5], [1] * 9]
EVEN = [number / 30 for number in range(9)]
UNEVEN = [0, 0.1, 0.5, 0.5, 0.6, 2.25, 2.3, 2.29, 3600]


@pytest.mark.parametrize("segments", SEGMENTS, ids=str)
def test_gif(tmp_path: Path, segments: list[int]) -> None:
    with Image.open(_write(GifOverlay(1 / 30), tmp_path, EVEN, segments)) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (9, (WIDTH, HEIGHT), 0)
        durations = 0
        for number in range(9):
            gif.seek(number)
            durations += gif.info["duration"]
            assert abs(gif.convert("RGB").getpixel((30, 20))[0] - 10 * number) <= 2
        assert durations == 300


@pytest.mark.parametrize("segments", SEGMENTS, ids=str)
@pytest.mark.parametrize("seconds", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_mp4(tmp_path: Path, seconds: list[float], segments: list[int]) -> None:
    path = _write(Mp4Overlay(), tmp_path, seconds, segments)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (WIDTH, HEIGHT)
        assert frames[0].key_frame
    times = [frame.time for frame in frames]
    assert times == pytest.approx(seconds, abs=0.011) and times == sorted(set(times))
    for number, frame in enumerate(frames):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - 10 * number).max() <= 4
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before it is loaded
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".mp4"] + [".segment"] * len(segments)


def test_a_folder_with_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("run-10:31")
    folder.mkdir()
    assert _write(Mp4Overlay(), folder, [0.0, 0.1], [2]).stat().st_size > 0


@pytest.mark.parametrize("length", range(1, 21))
def test_a_segment_of_any_length_keeps_its_frames(tmp_path: Path, length: int) -> None:
    # FFmpeg gives the packets of a segment of 7 frames no decoding times.
    times = [number / 25 for number in range(length + 3)]
    path = _write(Mp4Overlay(), tmp_path, times, [length, 3])
    with av.open(str(path)) as container:
        found = [frame.time for frame in container.decode(video=0)]
    assert found == pytest.approx(times, abs=0.001)
