"""Runs the label app on this machine, with the shipped model and videos made from stills, which it makes if needed.

The videos are in ``demo/label``, and corrections stay there. Press Ctrl+C to end the server.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import shlex
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lsinet_monai.data import Clip, StillClip, find_stills, read_frame, read_mask
from lsinet_monai.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
STILLS = ROOT / "examples" / "stills" / "segment"
VIDEOS = {"video_1.mp4": slice(0, 3), "video_2.mp4": slice(3, 6), "video_3.mp4": slice(6, 8)}  # the stills of each
FRAMES, SIZE, FPS = 100, (384, 480), 25  # frames of each still


def write_video(path: Path, stills: Sequence[Clip]) -> None:
    """Write clips made from stills, one after the other, as H.264 in MP4."""
    import av

    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        with tqdm(desc=path.name, total=FRAMES * len(stills), unit="frame") as progress:
            for still in stills:
                assert still.label is not None
                picture, mask = read_frame(still.image[0]), read_mask(still.label[0], still.mask_rule)
                for frame, _ in StillClip(picture, mask, SIZE, frames=FRAMES):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                    progress.update()
        container.mux(stream.encode())


def report_when_up(address: str) -> None:
    """Print the address of the page as soon as the server answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{address}status", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
        else:
            print(f"\nThe page: {address}   (Ctrl+C ends the server)\n", flush=True)
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="the port of the page")
    port = parser.parse_args().port
    videos = ROOT / "demo" / "label"
    stills = find_stills(STILLS)
    for name, part in VIDEOS.items():
        if not (videos / name).exists():
            write_video(videos / name, stills[part])
    if importlib.util.find_spec("monailabel") is None:
        sys.exit('error: monailabel is not installed: pip install "lsinet_monai[label]"')
    # This is `monailabel start_server`, and works even if the installer has left that script out.
    command = ["-m", "monailabel.main", "start_server", "--app", "apps/lsinet_label", "--studies", "demo/label"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    print(f"$ {shlex.join(['python', *command])}", flush=True)
    threading.Thread(target=report_when_up, args=[f"http://127.0.0.1:{port}/lsinet/"], daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run([sys.executable, *command], cwd=ROOT)


if __name__ == "__main__":
    main()
