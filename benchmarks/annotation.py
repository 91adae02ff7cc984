"""How long a person needs on the label app's page: a scripted clinician works in a real browser with a real server.

    python benchmarks/annotation.py [--stills DIR] [--checkpoint FILE] [--output FILE]

Two clips, made from stills that the shipped model has not seen: one polyp, with a frame whose outline is wrong and a
false finding in 20 frames; and two polyps side by side. Three tasks:

- correct the outline until its IoU with the truth is 0.9;
- clear the false finding from all its frames;
- name both polyps: in 95% of the frames that show a polyp, the mask on it must bear its name.

The times do not depend on the machine: each act on the page adds a constant, see keystrokes.py. What the server needs
meanwhile is not counted. The server says whether a task is reached.

Needs the extras label and video, Playwright (extra dev) and chromium.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keystrokes import CLICK, KEY, POINT, STROKE, STROKE_LENGTH, THINK
from PIL import Image
from scipy import ndimage

from lsinet_monai.data import StillClip, find_stills, read_frame, read_mask
from lsinet_monai.formats.shapes import mask_to_polygon
from lsinet_monai.masks import mask_change

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "apps" / "lsinet_label"
SIZE, FRAMES = (384, 480), 60
ONE, TWO = "one_polyp.frames", "two_polyps.frames"
WRONG_FRAME, FALSE_FRAMES = 10, range(25, 45)
NAMES = ("rectum", "sigmoid")

HAND = 4.0  # pixels of the picture: how far a hand strays from the outline, before it is smoothed
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]

Point = tuple[float, float]


class Clinician:
    """Acts on the page, and adds up the seconds that a person needs."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.acts: Counter[str] = Counter()
        self.seconds = 0.0

    def _count(self, name: str, seconds: float) -> None:
        self.acts[name] += 1
        self.seconds += seconds

    def think(self) -> None:
        """Choose a tool or a target, or decide to confirm."""
        self._count("think", THINK)

    def key(self, *keys: str) -> None:
        """Press keys one after the other; a key such as Shift counts like any other."""
        for key in keys:
            for _ in key.split("+") if len(key) > 1 else key:
                self._count("key", KEY)
            self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        """Type a text over the selected one."""
        self.key(*text)

    def click(self, at: Point) -> None:
        """Point at a place of the page, and click."""
        self._count("point", POINT)
        self._count("click", CLICK)
        self.page.mouse.click(*at)

    def click_on(self, selector: str) -> None:
        """Point at a control, and click."""
        box = self.page.locator(selector).first.bounding_box()
        assert box is not None
        self.click((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))

    def choose(self, selector: str, value: str) -> None:
        """Choose from a list: two clicks."""
        for _ in range(2):
            self._count("point", POINT)
            self._count("click", CLICK)
        self.page.select_option(selector, value)

    def draw(self, points: list[Point]) -> None:
        """Draw through points of the picture, (x, y), and back to the first."""
        places = [self.place(point) for point in [*points, points[0]]]
        length = sum(math.dist(a, b) for a, b in itertools.pairwise(places))
        self._count("stroke", STROKE * max(1.0, length / STROKE_LENGTH))
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=5)
        self.page.mouse.up()

    def place(self, point: Point) -> Point:
        """Where a point of the picture is on the page."""
        box = self.page.locator(".sheet").bounding_box()
        assert box is not None
        scale = box["width"] / SIZE[1]
        return box["x"] + point[0] * scale, box["y"] + point[1] * scale

    # What the script does between the tasks; it costs a person nothing.

    def open(self, url: str, video: str, frame: int) -> None:
        """Open a video at a frame."""
        self.page.goto(url)
        self.page.get_by_role("button", name=video).click()
        self.shows(0)
        self.page.keyboard.press("g")
        self.page.keyboard.type(str(frame + 1))  # people count from 1
        self.page.keyboard.press("Enter")
        self.shows(frame)

    def shows(self, frame: int) -> None:
        """Wait until the page shows a frame."""
        self.page.wait_for_selector(f'#stage[aria-busy="false"][aria-label^="Frame {frame + 1}:"]')

    def row_of(self, lesion: int) -> str:
        """The key of a lesion's row in the list."""
        keys = self.page.locator("#lesion-list button").evaluate_all("rows => rows.map((row) => row.dataset.key)")
        return str(keys.index(str(lesion)) + 1)

    def says(self, text: str) -> None:
        """Wait for a message."""
        self.page.wait_for_function("text => document.getElementById('message').textContent.includes(text)", arg=text)


# The tasks ------------------------------------------------------------------------------------------------------------


def correct_outline(person: Clinician, truth: np.ndarray) -> None:
    """Clear the lesion, draw around the polyp in one line, and save."""
    person.think()
    person.key("c")
    person.think()
    person.key("p")
    person.think()
    person.draw(_line_around(truth))
    person.think()
    person.key("s")
    person.says("Saved")


def _line_around(mask: np.ndarray) -> list[Point]:
    """A line around a mask as a hand draws it: not quite on the outline."""
    corners = mask_to_polygon(mask)
    wobble = ndimage.gaussian_filter1d(np.random.default_rng(0).normal(0, HAND, corners.shape), 1, axis=0, mode="wrap")
    return [(float(x), float(y)) for x, y in corners + wobble]


def clear_false_finding(person: Clinician, lesion: int) -> None:
    """Choose the lesion by its row, and delete it from all frames in a row that show it."""
    person.think()
    person.key(person.row_of(lesion))
    person.think()
    person.key("Shift+Backspace")
    person.says("is deleted from")


def name_polyps(person: Clinician, ids: list[list[int]]) -> None:
    """Name the first lesion of each polyp, and make the others part of it."""
    for name, (first, *others) in zip(NAMES, ids, strict=True):
        person.think()
        person.key(person.row_of(first), "r")
        person.write(name)
        person.key("Enter")
        person.says("is now called")
        for other in others:
            person.think()
            person.key("m")
            person.choose("#merge-dialog [name=from]", str(other))
            person.think()
            person.click_on("#merge-dialog button.primary")
            person.says("is now part of")


# Clips and server -----------------------------------------------------------------------------------------------------


def make_clips(folder: Path, stills: Path) -> dict[str, list[np.ndarray]]:
    """Write both clips, and return the truth of each frame by clip: uint8, (H, W), 1 and 2 for the polyps."""
    found = find_stills(stills)
    pictures = [(read_frame(still.image[0]), read_mask((still.label or [""])[0], still.mask_rule)) for still in found]
    calm = {"absence": 0.0, "instrument": 0.0, "rim": 0.0, "smoke": 0.0, "water": 0.0}
    half = (SIZE[0], SIZE[1] // 2)
    truth: dict[str, list[np.ndarray]] = {ONE: [], TWO: []}
    one = StillClip(*pictures[0], SIZE, 0, FRAMES, calm)
    left, right = (StillClip(*pictures[n], half, n, FRAMES, calm) for n in (1, 2))
    for name in truth:
        (folder / name).mkdir(parents=True)
    for index in range(FRAMES):
        frames = {ONE: [one.frame(index)], TWO: [left.frame(index), right.frame(index)]}
        for name, parts in frames.items():
            Image.fromarray(np.hstack([frame for frame, _ in parts])).save(folder / name / f"{index:04d}.png")
            truth[name].append(np.hstack([n * mask.astype(np.uint8) for n, (_, mask) in enumerate(parts, 1)]))
    return truth


class Server:
    """The label app's server over the clips."""

    def __init__(self, studies: Path, checkpoint: Path) -> None:
        self.studies = studies
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/lsinet/"
        self.command = [
            *(sys.executable, "-m", "monailabel.main", "start_server", "--app", str(APP), "--studies", str(studies)),
            *("--host", "127.0.0.1", "--port", str(port), "--conf", "checkpoint", str(checkpoint)),
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server runs inside."""
        with (self.studies.parent / "server.log").open("ab") as log:
            process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        try:
            while True:
                if process.poll() is not None:
                    sys.exit(f"error: the server did not start; its log: {self.studies.parent / 'server.log'}")
                try:
                    self.get("status")
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.5)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def call(self, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path: str) -> Any:
        return json.loads(self.call(path))

    def labels(self, video: str, frame: int) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(self.call(f"videos/{video}/frames/{frame}/mask"))))

    def annotate(self, video: str) -> None:
        """Let the network find the polyps of a video."""
        job = json.loads(self.call("jobs", {"image": video, "kind": "annotate"}))["job"]
        while (state := self.get(f"jobs/{job}"))["state"] in ("queued", "running"):
            time.sleep(0.5)
        if state["state"] != "done":
            sys.exit(f"error: {state['message']}")


def plant_faults(studies: Path, truth: list[np.ndarray]) -> int:
    """Make the outline of one frame wrong, and put a false finding into 20 frames; return the latter's lesion."""
    sys.path.insert(0, str(APP))
    from lib.store import VideoStore

    video = VideoStore(studies / "labels" / "lsinet", lambda image_id: studies / image_id)[ONE]
    mask = truth[WRONG_FRAME] > 0
    width = np.ptp(np.flatnonzero(mask.any(0)))
    wrong = np.roll(mask, int(width) // 5, 1)
    video.write_prediction("predicted", WRONG_FRAME, wrong.astype(np.uint8), scores=0.9, uncertainty=0.1)
    lesion = video.lesions.next_id()
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    far = np.unravel_index(
        ndimage.distance_transform_edt(sum(truth) == 0)[40:-40, 40:-40].argmax(), (SIZE[0] - 80, SIZE[1] - 80)
    )
    for frame in FALSE_FRAMES:
        labels = video.mask(frame).labels.copy()
        labels[np.hypot(rows - far[0] - 40, (columns - far[1] - 40) / 1.4) < 25] = lesion
        video.write_prediction("predicted", frame, labels, scores=0.9, uncertainty=0.1)
    video.values.flush()
    return lesion


def lesions_of(server: Server, video: str, truth: list[np.ndarray]) -> list[list[int]]:
    """The lesions that lie on each true polyp, the most frequent first, as many as cover 95% of its frames."""
    found: list[list[int]] = []
    counts: list[Counter[int]] = [Counter(), Counter()]
    for frame, polyps in enumerate(truth):
        labels = server.labels(video, frame)
        for polyp in (1, 2):
            on_it = labels[(polyps == polyp) & (labels > 0)]
            if on_it.size:
                counts[polyp - 1][int(np.bincount(on_it).argmax())] += 1
    for count in counts:
        ids: list[int] = []
        for lesion, _ in count.most_common():
            if sum(count[known] for known in ids) < 0.95 * count.total():
                ids.append(lesion)
        found.append(ids)
    return found


def share_named(server: Server, truth: list[np.ndarray]) -> float:
    """The smallest share, over both polyps, of the frames with a mask on the polyp in which it bears the name."""
    names = {entry["id"]: entry["name"] for entry in server.get(f"videos/{TWO}")["lesions"]}
    shares = []
    for polyp, name in enumerate(NAMES, 1):
        right = []
        for frame, polyps in enumerate(truth):
            labels = server.labels(TWO, frame)
            on_it = labels[(polyps == polyp) & (labels > 0)]
            if on_it.size:
                right.append(names[int(np.bincount(on_it).argmax())] == name)
        shares.append(float(np.mean(right)))
    return min(shares)


# The benchmark --------------------------------------------------------------------------------------------------------


def measure(server: Server, truth: dict[str, list[np.ndarray]], lesion: int, page: Page) -> list[dict[str, Any]]:
    """Do the three tasks; return a row for each."""
    rows = []

    def do(name: str, video: str, frame: int, task: Callable[[Clinician], None], reached: Callable[[], str]) -> None:
        person = Clinician(page)
        person.open(server.url, video, frame)
        task(person)
        rows.append(
            {"task": name, "seconds": round(person.seconds, 1), "acts": dict(person.acts), "reached": reached()}
        )

    target = truth[ONE][WRONG_FRAME] > 0
    do(
        "correct an outline", ONE, WRONG_FRAME, lambda person: correct_outline(person, target),
        lambda: f"IoU {1 - mask_change(server.labels(ONE, WRONG_FRAME) > 0, target):.3f}",
    )  # fmt: skip
    do(
        "clear a false finding", ONE, FALSE_FRAMES[0], lambda person: clear_false_finding(person, lesion),
        lambda: f"{sum((server.labels(ONE, f) != lesion).all() for f in FALSE_FRAMES)} of {len(FALSE_FRAMES)} frames",
    )  # fmt: skip
    ids = lesions_of(server, TWO, truth[TWO])
    do(
        "name two polyps", TWO, 0, lambda person: name_polyps(person, ids),
        lambda: f"{100 * share_named(server, truth[TWO]):.0f}% of the frames",
    )  # fmt: skip
    return rows


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stills", type=Path, default=ROOT / "examples" / "stills" / "segment")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / "bundle" / "models" / "model.pt")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("error: no chromium in PATH: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        studies = Path(folder) / "studies"
        truth = make_clips(studies, options.stills)
        server = Server(studies, options.checkpoint.resolve())
        with server.running():
            for video in truth:
                server.annotate(video)
        lesion = plant_faults(studies, truth[ONE])
        with server.running():
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            rows = measure(server, truth, lesion, page)
            browser.close()
    print("| task | seconds | reached | acts |\n|---|---|---|---|")
    for row in rows:
        acts = ", ".join(f"{count} {name}" for name, count in row["acts"].items())
        print(f"| {row['task']} | {row['seconds']} | {row['reached']} | {acts} |")
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
