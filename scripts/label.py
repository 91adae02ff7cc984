"""Runs the label app on this machine, with phantom videos and the demo's model, and makes these if needed.

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
from pathlib import Path

from tqdm import tqdm

from lsinet_monai.data import phantom_clip
from lsinet_monai.utils.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = {"p01_caecum.mp4": (1, 1), "p01_sigmoid.mp4": (1, 2), "p02_rectum.mp4": (2, 1)}  # name: patient, clip
FRAMES, SIZE, FPS, SEED = 150, (256, 320), 30, 11


def write_video(path: Path, patient: int, clip: int) -> None:
    """Write a phantom clip as H.264 in MP4."""
    import av

    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        frames = tqdm(phantom_clip(FRAMES, SIZE, SEED, patient, clip), desc=path.name, total=FRAMES, unit="frame")
        for frame, _ in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
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
    for name, (patient, clip) in VIDEOS.items():
        if not (videos / name).exists():
            write_video(videos / name, patient, clip)
    model = ROOT / "demo" / "model.pt"
    if not model.exists():
        subprocess.run([sys.executable, str(ROOT / "scripts" / "demo.py"), "--only-model"], check=True)
    if importlib.util.find_spec("monailabel") is None:
        sys.exit('error: monailabel is not installed: pip install "lsinet_monai[label]"')
    # This is `monailabel start_server`, and works even if the installer has left that script out.
    command = ["-m", "monailabel.main", "start_server", "--app", "apps/lsinet_label", "--studies", "demo/label"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--conf", "checkpoint", "demo/model.pt"]
    print(f"$ {shlex.join(['python', *command])}", flush=True)
    threading.Thread(target=report_when_up, args=[f"http://127.0.0.1:{port}/lsinet/"], daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run([sys.executable, *command], cwd=ROOT)


if __name__ == "__main__":
    main()
