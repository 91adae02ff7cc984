"""The page of the label app, in a real Chromium, against the real server with phantom videos and the demo's model."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import json
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from lsinet_monai.data import phantom_clip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

APP = Path(__file__).parents[3] / "apps" / "lsinet_label"
PAGE = APP / "page"
VIDEOS = {"case-01.frames": (20, 1), "case-02.frames": (12, 2), "case-03.frames": (8, 3)}  # name: frames, seed
POINTED = "pointed.frames"  # the network does not go through it
DRAFTS, TAKEN = "drafts.frames", "taken.frames"  # nor through these
SPREAD = [f"spread-{number}.frames" for number in range(9)]  # a video for each test of previews
LONG, STOPPED, ANNOTATED = "long.frames", "stopped.frames", "annotated.frames"  # the first one's frames, ten times
SIZE = 96, 128
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]

browser_test = [pytest.mark.slow, pytest.mark.required_in_ci]


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("label")
    for name, (frames, seed) in {**VIDEOS, **dict.fromkeys([POINTED, DRAFTS, TAKEN, *SPREAD], (16, 4))}.items():
        (folder / "studies" / name).mkdir(parents=True)
        for i, (frame, _) in enumerate(phantom_clip(frames, SIZE, seed)):
            Image.fromarray(frame).save(folder / "studies" / name / f"{i:05d}.png")
    first = folder / "studies" / next(iter(VIDEOS))
    for long in (folder / "studies" / name for name in (LONG, STOPPED, ANNOTATED)):
        long.mkdir()
        for i in range(200):
            shutil.copyfile(first / f"{i % 20:05d}.png", long / f"{i:05d}.png")
    return start_server(folder / "studies")


@pytest.fixture(scope="module")
def static_pages() -> Iterator[str]:
    """Serves the page's files alone, for tests of one module."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=PAGE)
    handler.extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{files.server_port}/"
        files.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium in PATH: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, deadline: int) -> Iterator[Page]:
    """A page that fails its test if one of its scripts fails."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.context.set_default_timeout(1000 * deadline)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
    yield page
    page.context.close()
    assert not errors


# What people do -------------------------------------------------------------------------------------------------------


def open_video(page: Page, server: Any, name: str) -> None:
    """Open a video, and let the network find its polyps if it is new."""
    page.goto(server.url)
    page.get_by_role("button", name=name).click()
    shows(page, 0)
    if server.get(f"videos/{name}")["state"] == "new":
        page.keyboard.press("a")
        says(page, "polyps are found")


def shows(page: Page, frame: int) -> None:
    """Wait until the page shows a frame, which people count from 1."""
    page.wait_for_selector(f'#stage[aria-busy="false"][aria-label^="Frame {frame + 1}:"]')


def escape(page: Page) -> None:
    """Close the dialog, and wait until the step that asked has ended: a key that comes before is told to wait."""
    page.evaluate(
        "() => { window.dialogEnd = new Promise((done) => document.querySelector('dialog[open]')"
        ".addEventListener('close', () => setTimeout(done))) }"
    )
    page.keyboard.press("Escape")
    page.evaluate("() => window.dialogEnd.then(() => null)")


def says(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('message').textContent.includes(text)", arg=text)


def is_asked_no_more(page: Page, frame: int) -> None:
    """Wait until the page does not ask about a propagation from a frame; it may ask about others."""
    page.wait_for_function(
        "text => document.getElementById('spread').hidden || "
        "!document.getElementById('spread-frames').textContent.startsWith(text)",
        arg=f"From frame {frame + 1},",
    )


def go_to(page: Page, frame: int) -> None:
    page.keyboard.press("g")
    page.keyboard.type(str(frame + 1))
    page.keyboard.press("Enter")
    shows(page, frame)


def draw(page: Page, *points: tuple[float, float]) -> None:
    """Draw a stroke through points, given as shares of the stage."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    for i, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if i == 0:
            page.mouse.down()
    page.mouse.up()


DRAWN = """() => {
  const canvas = document.querySelectorAll(".sheet canvas")[1];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0; // the halo around the outline is black
  for (let i = 0; i < data.length; i += 4) if (data[i] || data[i + 1] || data[i + 2]) count++;
  return count;
}"""


def drawn_pixels(page: Page) -> int:
    """Count the pixels of the mask that are drawn over the picture."""
    return page.evaluate(DRAWN)


def draws(page: Page, pixels: int) -> None:
    """Wait until so many are drawn."""
    page.wait_for_function(f"pixels => ({DRAWN})() === pixels", arg=pixels)


def shown_in_a_loop(page: Page) -> set[int]:
    """The numbers of the frames that are shown until the player has gone back twice."""
    shown = page.evaluate(
        """async () => {
          const shown = [];
          const note = () => shown.push(Number(document.getElementById("frame-number").value));
          const timer = setInterval(note, 20);
          while (shown.filter((frame, i) => i && frame < shown[i - 1]).length < 2)
            await new Promise((done) => setTimeout(done, 50));
          clearInterval(timer);
          return shown;
        }"""
    )
    return set(shown)


class TestWork:
    pytestmark = browser_test

    def test_correct_propagate_export_and_find_it_again(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        frame = server.get("videos/case-01.frames")["has_polyp"].index(True) + 1
        go_to(page, frame)
        assert drawn_pixels(page) > 0

        before = server.labels("case-01.frames", frame + 1)
        page.keyboard.press("Shift+C")
        assert drawn_pixels(page) == 0
        draw(page, (0.4, 0.5), (0.6, 0.5), (0.6, 0.6))
        assert drawn_pixels(page) > 0
        assert "not saved" in page.inner_text("#frame-state")
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )

        kept = server.labels("case-01.frames", frame)
        assert len(np.unique(kept)) == 2  # one lesion
        assert (server.labels("case-01.frames", frame + 1) != before).any()
        assert page.locator("#frame-state").inner_text().startswith("Corrected, ")

        page.keyboard.press("x")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export", exact=True).last.click()
        assert "case-01" in download.value.suggested_filename
        assert "<annotations>" in Path(download.value.path()).read_text()

        server.kill()
        server.start()
        open_video(page, server, "case-01.frames")
        page.keyboard.press(".")
        shows(page, frame)
        assert drawn_pixels(page) == np.count_nonzero(kept)
        assert np.array_equal(server.labels("case-01.frames", frame), kept)

    def test_by_keyboard_alone(self, page: Page, server: Any) -> None:
        page.goto(server.url)
        page.wait_for_selector("#video-list button:focus")  # the first video has the focus
        page.fill("#video-filter", "case-02")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        shows(page, 0)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        shows(page, 11)
        page.keyboard.press("Home")
        shows(page, 0)
        page.keyboard.press("k")  # the pen, in the middle of the picture
        for key in [" ", "ArrowRight", "ArrowRight", " "]:
            page.keyboard.press(key)
        page.keyboard.press("Escape")
        assert drawn_pixels(page) > 0
        page.keyboard.press("s")
        says(page, "Saved frame 1.")
        saved = server.labels("case-02.frames", 0)
        assert saved[SIZE[0] // 2, SIZE[1] // 2] == 1
        page.keyboard.press("f")
        page.wait_for_selector("#question-dialog[open]")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        says(page, "The video is final")
        page.keyboard.press("Shift+C")
        says(page, "Press F to work on it again")
        assert np.array_equal(server.labels("case-02.frames", 0), saved)
        page.keyboard.press("f")
        says(page, "can be worked on again")

    def test_undo_and_redo(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 3)
        pixels = [drawn_pixels(page)]
        page.keyboard.press("Shift+C")
        pixels.append(drawn_pixels(page))
        draw(page, (0.3, 0.3), (0.5, 0.3))
        pixels.append(drawn_pixels(page))
        for expected in reversed(pixels[:-1]):
            page.keyboard.press("Control+z")
            assert drawn_pixels(page) == expected
        assert "not saved" not in page.inner_text("#frame-state")
        for expected in pixels[1:]:
            page.keyboard.press("Control+Shift+z")
            assert drawn_pixels(page) == expected

    def test_drafts_outlive_stepping_away_and_the_page(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 5)
        page.keyboard.press("Shift+C")
        draw(page, (0.3, 0.3), (0.5, 0.3))
        pixels = drawn_pixels(page)
        go_to(page, 9)
        go_to(page, 5)
        assert drawn_pixels(page) == pixels
        page.wait_for_function("() => Object.keys(localStorage).some((key) => key.includes('lsinet.draft'))")
        context = page.context
        page.close()  # the next page takes the drafts of closed ones over
        again = context.new_page()
        open_video(again, server, "case-01.frames")
        says(again, "not saved: 6")
        go_to(again, 5)
        assert drawn_pixels(again) == pixels

    def test_tabs_do_not_touch_the_drafts_of_one_another(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 4)
        draw(page, (0.3, 0.3), (0.5, 0.3))
        page.wait_for_function("() => Object.keys(localStorage).some((key) => key.includes('lsinet.draft'))")
        pixels = drawn_pixels(page)
        other = page.context.new_page()
        open_video(other, server, "case-01.frames")
        go_to(other, 4)
        assert "not saved" not in other.inner_text("#frame-state")
        draw(other, (0.3, 0.6), (0.5, 0.6))
        other.keyboard.press("Delete")
        other.get_by_role("button", name="Discard").last.click()
        says(other, "are discarded")
        other.close()
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        says(page, "Frames that are not saved: 5")
        go_to(page, 4)
        assert "not saved" in page.inner_text("#frame-state")
        assert drawn_pixels(page) == pixels

    def test_enter_saves_its_frame_alone_and_final_asks_first(self, page: Page, server: Any) -> None:
        show_pointed(page, server, 10, DRAFTS)
        draw(page, (0.3, 0.3), (0.5, 0.3))
        pixels = drawn_pixels(page)
        go_to(page, 12)
        draw(page, (0.3, 0.4), (0.5, 0.4))
        go_to(page, 4)
        draw(page, (0.3, 0.3), (0.5, 0.3), (0.5, 0.5))
        assert page.inner_text("#spreads") == "Propagate saves this frame, and reaches the frames 1 to 10."
        page.keyboard.press("Enter")
        says(page, "Frames 11 and 13 are still not saved.")
        says(page, "changed, most")
        video = server.get(f"videos/{DRAFTS}")
        assert [each["frame"] for each in video["corrections"]] == [4]
        assert video["propagated"] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        go_to(page, 10)
        assert page.inner_text("#frame-state") == "Frame 11 is not saved; 1 other not saved"
        assert drawn_pixels(page) == pixels
        page.keyboard.press("f")
        page.wait_for_selector("#question-dialog[open]")
        assert "Frames 11 and 13 are not saved yet" in page.inner_text("#question-text")
        page.get_by_role("button", name="Not yet").click()
        page.wait_for_selector("#question-dialog", state="hidden")
        assert [each["frame"] for each in server.get(f"videos/{DRAFTS}")["corrections"]] == [4]
        page.keyboard.press("s")
        says(page, "Saved frames 11 and 13.")
        draw(page, (0.3, 0.6), (0.5, 0.6))
        page.keyboard.press("f")
        page.click("#question-answers [value=yes]")
        says(page, "The video is final")
        assert np.count_nonzero(server.labels(DRAFTS, 10)) > pixels
        assert server.call("POST", f"/lsinet/videos/{DRAFTS}/final", {"final": False}).status == 200

    def test_an_open_polygon_is_kept_and_closed_before_it_is_saved(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 13)
        page.keyboard.press("Shift+C")
        page.keyboard.press("p")
        box = page.locator("#stage").bounding_box()
        assert box is not None

        def click(x: float, y: float) -> None:
            page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

        for x, y in [(0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.45, 0.7)]:
            click(x, y)
        page.keyboard.press("Control+z")  # the last corner, and not the cleared mask
        assert drawn_pixels(page) == 0
        page.keyboard.press("Control+Shift+z")
        page.keyboard.press("b")
        page.keyboard.press("ArrowRight")
        shows(page, 14)
        page.keyboard.press("s")
        says(page, "Frame 14 has an open polygon")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        says(page, "Frames that are not saved: 14")
        go_to(page, 13)
        assert "polygon is open" in page.inner_text("#frame-state") and drawn_pixels(page) == 0
        page.keyboard.press("s")
        says(page, "Saved frame 14.")
        saved = server.labels("case-01.frames", 13)
        assert np.count_nonzero(saved) == drawn_pixels(page) > 0
        rows = np.nonzero(saved)[0]
        assert rows.max() / SIZE[0] > 0.6  # the fourth corner is there

        page.keyboard.press("p")
        click(0.2, 0.2)
        click(0.3, 0.2)
        page.keyboard.press("s")
        says(page, "fewer than 3 corners")
        page.keyboard.press("Escape")
        assert "not saved" not in page.inner_text("#frame-state")
        # drawn around in one line, with Shift: cut out
        page.keyboard.down("Shift")
        draw(page, (0.45, 0.45), (0.55, 0.45), (0.55, 0.5), (0.45, 0.5), (0.45, 0.46))
        page.keyboard.up("Shift")
        assert 0 < drawn_pixels(page) < np.count_nonzero(saved)
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == np.count_nonzero(saved)

    def test_a_polygon_is_undone_by_its_corners_after_a_look_elsewhere(self, page: Page, server: Any) -> None:
        show_pointed(page, server, 7, DRAFTS)
        page.keyboard.press("p")

        def has_corners(count: int) -> None:
            page.wait_for_function(
                """count => {
                  const name = Object.keys(localStorage).find((key) => key.includes('"polygon"'));
                  return (name ? JSON.parse(localStorage.getItem(name)).points.length : 0) === count;
                }""",
                arg=count,
            )

        for x, y in [(30, 20), (90, 20), (90, 70), (60, 80), (30, 70)]:
            click(page, x, y)
        has_corners(5)
        go_to(page, 9)
        go_to(page, 7)
        page.keyboard.press("Control+z")
        has_corners(4)
        page.keyboard.press("b")  # with another tool, what was done last
        page.keyboard.press("Control+z")
        has_corners(3)
        pixels = drawn_pixels(page)
        draw(page, (0.1, 0.1), (0.2, 0.1))
        assert drawn_pixels(page) != pixels
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == pixels
        has_corners(3)
        for _ in range(2):
            page.keyboard.press("Control+Shift+z")
        has_corners(5)
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        says(page, "not saved: 8")
        go_to(page, 7)
        for count in (4, 3, 2, 1, 0):
            page.keyboard.press("Control+z")
            has_corners(count)
        assert "not saved" not in page.inner_text("#frame-state")

    def test_the_most_doubtful_place_of_all_videos(self, page: Page, server: Any) -> None:
        server.annotate("case-02.frames")
        open_video(page, server, "case-01.frames")
        page.keyboard.press("d")
        says(page, "the most doubtful place of all videos")
        expected = server.get("next")
        assert f"frame {expected['frame'] + 1}:" in page.inner_text("#message")
        shows(page, expected["frame"])

    def test_checked_frames_do_not_spread(self, page: Page, server: Any) -> None:
        server.annotate("case-02.frames")
        open_video(page, server, "case-02.frames")
        corrected = {entry["frame"] for entry in server.get("videos/case-02.frames")["corrections"]}
        frame = next(frame for frame in range(12) if frame not in corrected)
        go_to(page, frame)
        before, jobs = server.labels("case-02.frames", frame), len(server.get("jobs"))
        page.keyboard.press("s")
        says(page, "press Y")
        page.keyboard.press("y")
        says(page, "1 frame marked as checked")
        assert page.inner_text("#frame-state").startswith("Checked, ")
        entry = next(e for e in server.get("videos/case-02.frames")["corrections"] if e["frame"] == frame)
        assert entry["how"] == "checked" and entry["user"] and entry["time"]
        assert np.array_equal(server.labels("case-02.frames", frame), before) and len(server.get("jobs")) == jobs
        page.keyboard.press("Enter")
        says(page, "You have not changed this frame")
        page.keyboard.press("Control+z")
        says(page, "Undone")
        assert frame not in {e["frame"] for e in server.get("videos/case-02.frames")["corrections"]}

    def test_a_stretch_of_frames(self, page: Page, server: Any) -> None:
        open_video(page, server, ANNOTATED)
        page.keyboard.press("Escape")
        go_to(page, 50)
        page.keyboard.press("q")
        for _ in range(2):
            page.keyboard.press("Shift+ArrowRight")
        shows(page, 70)
        assert page.inner_text("#selection-title") == "Frames 51 to 71 selected"
        before = [server.labels(ANNOTATED, frame) for frame in range(50, 71)]
        page.keyboard.press("Shift+C")
        says(page, "No polyp in 21 frames")
        assert page.locator("#selection").is_hidden()
        assert not any(server.labels(ANNOTATED, frame).any() for frame in range(50, 71))
        assert server.labels(ANNOTATED, 71).any() or not server.get(f"videos/{ANNOTATED}")["has_polyp"][71]
        go_to(page, 30)  # none of these frames is in sight
        page.keyboard.press("Control+z")
        page.wait_for_selector("#question-dialog[open]")
        assert "no polyp in frames 51 to 71" in page.inner_text("#question-dialog")
        page.click("#question-answers [value=yes]")
        says(page, "Undone: no polyp in frames 51 to 71.")
        assert all(np.array_equal(server.labels(ANNOTATED, 50 + i), old) for i, old in enumerate(before))
        # by a pull with Shift on the timeline
        box = page.locator("#timeline").bounding_box()
        assert box is not None
        page.keyboard.down("Shift")
        page.mouse.move(box["x"] + box["width"] * 0.5025, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5525, box["y"] + 20, steps=4)
        page.mouse.up()
        page.keyboard.up("Shift")
        shows(page, 110)
        title = page.inner_text("#selection-title")
        page.keyboard.press("ArrowLeft")
        shows(page, 109)
        page.keyboard.press("n")  # a look around does not change the selection
        assert page.inner_text("#selection-title") == title and title.endswith("to 111 selected")
        page.keyboard.press("y")  # the pull has shown some of them
        page.wait_for_selector("#question-dialog[open]")
        assert "of these 11 frames have not been shown here" in page.inner_text("#question-text")
        escape(page)
        assert not server.get(f"videos/{ANNOTATED}")["corrections"]
        page.keyboard.press("y")
        page.click("#question-answers [value=yes]")
        says(page, "frames marked as checked")
        checked = [e["frame"] for e in server.get(f"videos/{ANNOTATED}")["corrections"] if e["how"] == "checked"]
        assert checked[-1] == 110
        go_to(page, 110)
        page.keyboard.press("Control+z")
        says(page, "Undone: marking frames 101 to 111 as checked.")

    def test_drawn_masks_are_replaced_only_if_people_say_so(self, page: Page, server: Any) -> None:
        labels = np.zeros(SIZE, np.uint8)
        labels[20:40, 20:40] = 5
        server.save_mask("case-03.frames", 4, labels)
        open_video(page, server, "case-03.frames")
        go_to(page, 3)
        page.keyboard.press("q")
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("q")
        page.keyboard.press("Shift+C")
        page.wait_for_selector("#question-dialog[open]")
        assert "Replace 1 drawn mask?" in page.inner_text("#question-dialog")
        page.keyboard.press("Escape")
        page.wait_for_selector("#question-dialog", state="hidden")
        assert np.array_equal(server.labels("case-03.frames", 4), labels)
        page.keyboard.press("Shift+C")
        page.click("#question-answers [value=yes]")
        says(page, "No polyp in 3 frames")
        go_to(page, 7)  # later work does not hide the way back, nor does another page
        draw(page, (0.2, 0.3), (0.4, 0.3), (0.4, 0.6))
        page.keyboard.press("s")
        says(page, "Saved frame 8")
        page.reload()
        open_video(page, server, "case-03.frames")
        page.keyboard.press("Control+z")
        page.wait_for_selector("#question-dialog[open]")
        assert "no polyp in frames 4 to 6" in page.inner_text("#question-dialog")
        page.click("#question-answers [value=yes]")
        says(page, "Undone: no polyp in frames 4 to 6.")
        assert np.array_equal(server.labels("case-03.frames", 4), labels)

    def test_a_lesion_is_deleted_from_its_run_and_split(self, page: Page, server: Any) -> None:
        labels = np.zeros(SIZE, np.uint8)
        labels[20:40, 20:40] = 5
        labels[60:80, 60:80] = 6
        for frame in range(3, 7):
            server.save_mask("case-03.frames", frame, labels)
        open_video(page, server, "case-03.frames")
        go_to(page, 4)
        rows = page.locator("#lesion-list button").evaluate_all(
            "rows => rows.slice(0, 2).map((row) => row.dataset.key)"
        )
        assert sorted(rows) == ["5", "6"]
        page.keyboard.press(str(rows.index("5") + 1))
        box = page.locator(".sheet").bounding_box()
        assert box is not None
        x, y = 70 / SIZE[1] * box["width"], 70 / SIZE[0] * box["height"]
        page.keyboard.down("Control")
        page.mouse.click(box["x"] + x, box["y"] + y)
        page.keyboard.up("Control")
        says(page, "Polyp 6 is chosen")
        page.keyboard.press("Shift+Backspace")
        assert "Change 4 drawn masks?" in page.inner_text("dialog[open]")
        escape(page)
        assert np.array_equal(server.labels("case-03.frames", 5), labels)
        page.keyboard.press("Shift+Backspace")
        page.click("#question-answers [value=yes]")
        says(page, "is deleted from 4 frames")
        assert all(np.unique(server.labels("case-03.frames", frame)).tolist() == [0, 5] for frame in range(3, 7))
        page.keyboard.press("1")
        page.keyboard.press("c")
        says(page, "Polyp 5 is cleared from this frame.")
        page.keyboard.press("Control+z")
        page.keyboard.press("Shift+L")
        says(page, "From here on it is Polyp ")
        found = [np.unique(server.labels("case-03.frames", frame)).tolist()[1] for frame in range(3, 7)]
        assert found[0] == 5 and 5 not in found[1:]
        page.keyboard.press("Control+z")
        says(page, "Undone")
        page.keyboard.press("Control+z")
        says(page, "Undone: deleting a lesion from frames 4 to 7.")
        assert all(np.array_equal(server.labels("case-03.frames", frame), labels) for frame in range(3, 7))

    def test_a_spread_between_frames_of_people_says_so(self, page: Page, server: Any) -> None:
        for frame in (2, 3, 4):
            server.save_mask(SPREAD[7], frame, np.zeros(SIZE, np.uint8))
        show_pointed(page, server, 3, SPREAD[7])
        draw(page, (0.3, 0.3), (0.5, 0.3))
        page.keyboard.press("Enter")
        says(page, "the frames next to it are people's own")

    def test_a_spread_is_compared_and_undone(self, page: Page, server: Any) -> None:
        server.annotate("case-01.frames")
        open_video(page, server, "case-01.frames")
        before = [server.labels("case-01.frames", frame) for frame in range(20)]
        corrected = {entry["frame"] for entry in server.get("videos/case-01.frames")["corrections"]}
        frame = next(frame for frame in range(1, 20) if not {frame - 1, frame, frame + 1} & corrected)
        go_to(page, frame)
        page.keyboard.press("Shift+C")
        draw(page, (0.2, 0.3), (0.4, 0.3), (0.4, 0.6))
        page.keyboard.press("Enter")
        says(page, "changed, most")
        page.keyboard.press("ArrowRight")
        shows(page, frame + 1)
        after = np.count_nonzero(server.labels("case-01.frames", frame + 1))
        page.keyboard.press("u")
        page.wait_for_function("() => document.getElementById('flicker').textContent === 'before'")
        draws(page, np.count_nonzero(before[frame + 1]))
        page.keyboard.press("u")
        draws(page, after)
        assert f"From frame {frame + 1}, it changed" in page.inner_text("#spread")
        page.keyboard.press("f")
        asked = page.inner_text("dialog[open]")
        assert re.search(r"changed by \d+ propagations? that nobody has kept or undone", asked)
        escape(page)
        page.keyboard.press("Shift+U")
        says(page, f"your mask of frame {frame + 1} stays")
        now = [server.labels("case-01.frames", other) for other in range(20)]
        assert all(np.array_equal(now[other], before[other]) for other in range(20) if other != frame)
        assert not np.array_equal(now[frame], before[frame])
        is_asked_no_more(page, frame)
        page.keyboard.press("j")  # nothing is left of what it changed, also after a reload
        says(page, "No propagation has changed a frame yet.")
        page.reload()
        says(page, "Press N for the next doubtful frame")
        page.keyboard.press("j")
        says(page, "No propagation has changed a frame yet.")
        go_to(page, frame)
        page.keyboard.press("Shift+C")
        draw(page, (0.5, 0.3), (0.7, 0.3), (0.7, 0.6))
        page.keyboard.press("Enter")
        says(page, "changed, most")
        page.keyboard.press("Shift+Enter")
        says(page, f"around frame {frame + 1} are kept")
        is_asked_no_more(page, frame)

    def test_spreads_in_a_row_wait_for_an_answer_each(self, page: Page, server: Any) -> None:
        show_pointed(page, server, 3, SPREAD[8])
        for frame in (3, 10):
            go_to(page, frame)
            draw(page, (0.3, 0.3), (0.5, 0.3), (0.5, 0.5))
            page.keyboard.press("Enter")
            says(page, "changed, most")
        spreads = server.get(f"videos/{SPREAD[8]}")["spreads"]
        assert [spread["frame"] for spread in spreads] == [10, 3]
        text = page.inner_text("#spread-frames")
        assert text.startswith("From frame 11, it changed") and text.endswith("1 earlier one not kept or undone yet.")
        page.keyboard.press("f")
        count = len({frame for spread in spreads for frame in spread["frames"]})
        assert f"{count} frames changed by 2 propagations that nobody has kept" in page.inner_text("dialog[open]")
        escape(page)
        page.keyboard.press("Shift+Enter")
        says(page, "around frame 11 are kept")
        assert re.fullmatch(r"From frame 4, it changed \d+ frames: \d+ to \d+\.", page.inner_text("#spread-frames"))
        kept = server.labels(SPREAD[8], 4)  # the later one lies over the earlier one here
        page.keyboard.press("Shift+U")
        page.click("#question-answers [value=yes]")
        says(page, "your mask of frame 4 stays")
        page.wait_for_selector("#spread", state="hidden")
        assert not server.labels(SPREAD[8], 2).any() and np.array_equal(server.labels(SPREAD[8], 4), kept)

    def test_an_outline_is_edited_by_its_corners(self, page: Page, server: Any) -> None:
        labels = np.zeros(SIZE, np.uint8)
        labels[20:60, 30:90] = 4
        server.save_mask("case-01.frames", 18, labels)
        open_video(page, server, "case-01.frames")
        go_to(page, 18)
        page.keyboard.press("Shift+P")
        page.keyboard.press("Enter")
        assert drawn_pixels(page) == np.count_nonzero(labels)  # the corners lie on it
        page.keyboard.press("Shift+P")
        box = page.locator(".sheet").bounding_box()
        assert box is not None
        scale = box["width"] / SIZE[1]

        def at(x: float, y: float) -> tuple[float, float]:
            return box["x"] + x * scale, box["y"] + y * scale

        page.mouse.move(*at(90, 60))
        page.mouse.down()
        page.mouse.move(*at(110, 80), steps=4)
        page.mouse.up()
        page.mouse.move(*at(60, 20))  # a new corner on the line
        page.mouse.down()
        page.mouse.move(*at(60, 30), steps=4)
        page.mouse.up()
        page.mouse.click(*at(30, 60), button="right")  # one corner less
        page.keyboard.press("s")
        says(page, "Saved frame 19.")
        saved = server.labels("case-01.frames", 18)
        assert saved[70, 100] == saved[40, 70] == 4
        assert not saved[22, 60] and not saved[58, 35]
        assert set(np.unique(saved)) == {0, 4}

    def test_videos_are_added_and_removed(self, page: Page, server: Any, tmp_path: Path) -> None:
        av = pytest.importorskip("av")
        with av.open(str(tmp_path / "new one.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = SIZE
            stream.pix_fmt = "yuv420p"
            for frame, _ in phantom_clip(5, SIZE, 4):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        page.goto(server.url)
        page.wait_for_selector("#video-list button")
        page.set_input_files("#upload-file", tmp_path / "new one.mp4")
        page.get_by_role("button", name="new one.mp4").click()
        shows(page, 0)
        page.keyboard.press("v")
        page.get_by_role("button", name="Remove this video").click()
        page.get_by_role("button", name="Keep it").click()
        page.get_by_role("button", name="Remove this video").click()
        page.get_by_role("button", name="Remove for good").click()
        says(page, "new one.mp4 is removed")
        assert "new one.mp4" not in [video["id"] for video in server.get("videos")]
        assert not (server.studies / "new one.mp4").exists()

    def test_a_second_enter_does_not_hide_what_the_first_one_changed(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 16)
        page.keyboard.press("Shift+C")
        draw(page, (0.2, 0.3), (0.4, 0.3))
        page.keyboard.press("Enter")
        says(page, "being propagated to")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        jobs = len(server.get("jobs"))
        page.keyboard.press("Enter")
        says(page, "has spread already")
        assert len(server.get("jobs")) == jobs

    def test_back_goes_to_the_video_before(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        page.keyboard.press("v")
        page.get_by_role("button", name="case-02.frames").click()
        page.wait_for_function("() => document.getElementById('video-name').textContent === 'case-02.frames'")
        page.go_back()
        page.wait_for_function("() => document.getElementById('video-name').textContent === 'case-01.frames'")
        shows(page, 0)

    def test_a_reload_and_back_return_to_the_frame(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 7)
        page.wait_for_url("**/lsinet/#case-01.frames/8")
        page.reload()
        shows(page, 7)
        page.keyboard.press("v")
        page.get_by_role("button", name="case-02.frames").click()
        shows(page, 0)
        go_to(page, 3)
        page.go_back()
        page.wait_for_function("() => document.getElementById('video-name').innerText === 'case-01.frames'")
        shows(page, 7)
        page.evaluate("() => { location.hash = '#case-01.frames/5' }")  # as people write it
        shows(page, 4)
        page.evaluate("() => { location.hash = '#case-01.frames/x' }")
        shows(page, 0)
        page.evaluate("() => { location.hash = '#case-01.frames/99' }")
        shows(page, 19)

    def test_back_to_the_address_without_a_video_leaves_it(self, page: Page, server: Any) -> None:
        page.goto(server.url)
        page.get_by_role("button", name="case-01.frames").click()
        shows(page, 0)
        page.go_back()
        page.wait_for_function("() => document.getElementById('stage-state').textContent.startsWith('Choose a video')")
        named = "name => document.getElementById('video-name').innerText === name"
        page.wait_for_function(named, arg="LSI-Net label")
        page.wait_for_selector(".sheet", state="hidden")
        page.wait_for_selector("#video-list")
        page.go_forward()
        page.wait_for_function(named, arg="case-01.frames")
        shows(page, 0)

    def test_the_list_and_the_header_count_frames_that_cannot_be_read(self, page: Page, server: Any) -> None:
        server.annotate("case-03.frames")
        unreadable = {"state": "annotated", "unreadable": 3}

        def some_are_damaged(route: Route) -> None:
            answer = route.fetch().json()
            videos = answer if isinstance(answer, list) else [answer]
            for video in videos:
                if video["id"] == "case-03.frames":
                    video.update(unreadable)
            route.fulfill(json=answer)

        page.route("**/lsinet/videos", some_are_damaged)
        page.route("**/lsinet/videos/case-03.frames", some_are_damaged)
        page.goto(server.url)
        row = page.get_by_role("button", name="case-03.frames")
        assert "Polyps found; 3 frames cannot be read" in row.inner_text()
        row.click()
        shows(page, 0)
        assert page.inner_text("#video-state") == "Polyps found; 3 frames cannot be read"

    def test_a_frame_and_a_video_that_cannot_be_shown(self, page: Page, server: Any) -> None:
        known = {correction["frame"] for correction in server.get("videos/case-01.frames")["corrections"]}
        frame = next(frame for frame in range(3, 18) if frame not in known)
        detail = f"frame {frame} of 'case-01.frames' is damaged or missing: choose another frame"
        page.route(f"**/frames/{frame}", lambda route: route.fulfill(status=400, json={"detail": detail}))
        open_video(page, server, "case-01.frames")
        page.keyboard.press(" ")
        shows(page, 19)  # it is skipped
        line = "This frame cannot be read: it is damaged or missing."
        go_to(page, frame)
        page.wait_for_timeout(500)
        assert page.inner_text("#stage-state") == page.inner_text("#frame-state") == line
        assert page.inner_text("#spreads") == ""
        for key in ("Enter", "s", "y", "c", "Shift+C", "Shift+P"):
            page.evaluate("() => (document.getElementById('message').textContent = '')")
            page.keyboard.press(key)
            says(page, line)
        page.route("**/videos/case-02.frames", lambda route: route.fulfill(status=400, json={"detail": "no video"}))
        page.keyboard.press("v")
        page.get_by_role("button", name="case-02.frames").click()
        page.wait_for_function("() => document.getElementById('stage-state').textContent === 'no video'")
        assert page.inner_text("#video-name") == "case-02.frames" and page.locator(".sheet").is_hidden()
        page.keyboard.press("Enter")
        says(page, "case-02.frames cannot be read: no video")

    def test_a_save_says_that_it_waits(self, page: Page, server: Any) -> None:
        held: list[Route] = []
        page.route(
            "**/frames/*/mask", lambda route: held.append(route) if route.request.method == "PUT" else route.continue_()
        )
        open_video(page, server, "case-03.frames")
        page.keyboard.press("Shift+C")
        page.keyboard.press("s")
        says(page, "Saving…")
        server.wait_until(lambda: page.evaluate("1") and held)
        held[0].continue_()
        says(page, "Saved frame 1.")
        page.keyboard.press("s")
        says(page, "This frame is saved already.")

    def test_it_warns_before_unsaved_work_is_lost(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        page.keyboard.press("Shift+C")
        with page.expect_event("dialog") as question:
            page.once("dialog", lambda dialog: dialog.dismiss())
            page.evaluate("() => void setTimeout(() => location.reload())")
        assert question.value.type == "beforeunload"
        assert "not saved" in page.inner_text("#frame-state")

    def test_a_lost_connection_loses_nothing(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 2)
        page.keyboard.press("Shift+C")
        draw(page, (0.5, 0.4), (0.6, 0.4))
        page.context.set_offline(True)
        page.keyboard.press("s")
        page.wait_for_selector("#banner:not([hidden])")
        assert "kept in this page" in page.inner_text("#banner")
        page.context.set_offline(False)
        page.wait_for_selector("#banner", state="hidden")
        says(page, "Saved frame 3.")
        assert server.labels("case-01.frames", 2).any()

    @pytest.mark.parametrize(("answer", "mine"), [("Keep mine", True), ("Keep theirs", False)])
    def test_two_people_at_one_frame(self, page: Page, server: Any, answer: str, mine: bool) -> None:
        open_video(page, server, "case-01.frames")
        go_to(page, 7)
        page.keyboard.press("Shift+C")
        draw(page, (0.3, 0.4), (0.5, 0.4))
        theirs = np.zeros(SIZE, np.uint8)
        theirs[10:20, 10:20] = 1
        server.save_mask("case-01.frames", 7, theirs)
        page.keyboard.press("s")
        page.get_by_role("button", name=answer).click()
        page.wait_for_function("() => !document.getElementById('frame-state').textContent.includes('not saved')")
        assert np.array_equal(server.labels("case-01.frames", 7), theirs) is not mine

    def test_what_one_saves_another_sees(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-02.frames")
        go_to(page, 6)
        other = page.context.browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        open_video(other, server, "case-02.frames")
        go_to(other, 6)
        other.keyboard.press("Shift+C")
        draw(other, (0.2, 0.3), (0.4, 0.3))
        other.keyboard.press("s")
        says(other, "Saved frame 7.")
        pixels = drawn_pixels(other)
        page.wait_for_function("() => document.getElementById('frame-state').textContent.startsWith('Corrected, ')")
        draws(page, pixels)
        draw(other, (0.2, 0.6), (0.4, 0.6))  # and once more, to the frame that is corrected already
        other.keyboard.press("s")
        page.wait_for_function(f"pixels => ({DRAWN})() > pixels", arg=pixels)
        draws(page, drawn_pixels(other))
        other.context.close()

    def test_a_correction_is_removed(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        before = [server.labels("case-01.frames", frame) for frame in range(20)]
        go_to(page, 15)
        page.keyboard.press("Shift+C")
        draw(page, (0.2, 0.3), (0.4, 0.3))
        page.keyboard.press("Enter")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        page.keyboard.press("Shift+Delete")
        says(page, "taken back")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        after = server.labels("case-01.frames", 15)
        draws(page, np.count_nonzero(after))
        if not server.get("videos/case-01.frames")["corrections"]:
            assert np.array_equal(after, before[15])

    def test_a_mask_that_has_not_spread_is_taken_back_alone(self, page: Page, server: Any) -> None:
        show_pointed(page, server, 4, TAKEN)
        draw(page, (0.3, 0.3), (0.5, 0.3), (0.5, 0.5))
        page.keyboard.press("Enter")
        says(page, "changed, most")
        go_to(page, 10)
        before = all_labels(server, TAKEN)
        draw(page, (0.3, 0.6), (0.5, 0.6))
        page.keyboard.press("s")
        says(page, "Saved frame 11.")
        saved, jobs = all_labels(server, TAKEN), len(server.get("jobs"))
        page.keyboard.press("Shift+Delete")
        says(page, "The saved masks of 1 frame are taken back.")
        assert (all_labels(server, TAKEN) == before).all()
        page.keyboard.press("Control+z")
        says(page, "Undone: taking back the saved masks of frame 11.")
        assert (all_labels(server, TAKEN) == saved).all() and len(server.get("jobs")) == jobs

        go_to(page, 4)
        page.wait_for_selector("#spread", state="visible")
        page.keyboard.press("Shift+Delete")
        says(page, "changed, most")  # the job that takes back what came from it
        others = [frame for frame in range(16) if frame != 10]
        assert not all_labels(server, TAKEN)[others].any() and page.is_hidden("#spread")
        page.keyboard.press("Control+z")
        says(page, "Undone: taking back the saved masks of frame 5.")
        page.wait_for_selector("#spread", state="visible")
        assert (all_labels(server, TAKEN) == saved).all() and len(server.get("jobs")) == jobs + 1

    def test_masks_of_another_tool_are_imported(self, page: Page, server: Any, tmp_path: Path) -> None:
        open_video(page, server, "case-02.frames")
        theirs = np.zeros(SIZE, np.uint8)
        theirs[30:60, 40:80] = 2
        stack = np.zeros((SIZE[1], SIZE[0], 12), np.uint8)
        for frame in range(12):
            stack[:, :, frame] = (theirs if frame == 9 else server.labels("case-02.frames", frame)).T
        nibabel = pytest.importorskip("nibabel")
        nibabel.Nifti1Image(stack, np.diag([-1, -1, 1, 1])).to_filename(tmp_path / "theirs.nii.gz")
        page.keyboard.press("i")
        page.select_option("#import-dialog [name=format]", "nifti")
        page.set_input_files("#import-dialog [name=file]", tmp_path / "theirs.nii.gz")
        page.get_by_role("button", name="Read the file").click()
        page.wait_for_selector("#import-plan-title:text('Import masks into 1 frame?')")
        assert page.locator("#import-plan li").first.inner_text() == "masks set: frame 10"
        assert page.locator("#import-labels").is_hidden()
        page.locator("#import-go").click()
        says(page, "Imported: 1 frame corrected")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        assert np.array_equal(server.labels("case-02.frames", 9), theirs)
        (tmp_path / "bad.xml").write_text("<no/>")
        page.keyboard.press("i")
        page.set_input_files("#import-dialog [name=file]", tmp_path / "bad.xml")
        page.get_by_role("button", name="Read the file").click()
        says(page, "case-02.frames: the file")
        assert page.locator("#message.problem").count() == 1

    def test_labels_are_chosen_before_anything_is_imported(self, page: Page, server: Any, tmp_path: Path) -> None:
        open_video(page, server, "case-02.frames")
        before = [server.labels("case-02.frames", frame) for frame in range(12)]
        shapes = [(2, 1, "10,10;40,10;40,40;10,40"), (3, 2, "0,0;90,0;90,90;0,90")]
        content = {
            "images": [{"id": frame, "file_name": f"{frame:05d}.png"} for frame in (2, 3)],
            "categories": [{"id": 1, "name": "adenoma"}, {"id": 2, "name": "instrument"}],
            "annotations": [
                {
                    "id": frame,
                    "image_id": frame,
                    "category_id": id,
                    "segmentation": [[*map(int, re.split("[,;]", line))]],
                }
                for frame, id, line in shapes
            ],
        }
        (tmp_path / "theirs.json").write_text(json.dumps(content))

        def read_the_file() -> None:
            page.keyboard.press("i")
            page.select_option("#import-dialog [name=format]", "coco")
            page.set_input_files("#import-dialog [name=file]", tmp_path / "theirs.json")
            page.get_by_role("button", name="Read the file").click()
            page.wait_for_selector("#import-plan-dialog[open]")

        read_the_file()
        assert page.inner_text("#import-plan-title") == "Nothing to import yet" and page.is_disabled("#import-go")
        page.get_by_label("adenoma (1)").select_option("polyp")
        page.wait_for_selector("#import-go:enabled")
        lines = page.locator("#import-plan li").all_inner_texts()
        assert lines[0] == "masks set: frame 3" and "left out: category 'instrument' (1)" in lines
        page.locator("#import-plan-dialog").get_by_role("button", name="Cancel").click()
        says(page, "Nothing is imported.")
        assert all(np.array_equal(server.labels("case-02.frames", frame), before[frame]) for frame in range(12))

        read_the_file()
        page.get_by_label("adenoma (1)").select_option("polyp")
        page.wait_for_selector("#import-go:enabled")
        page.locator("#import-go").click()
        says(page, "Imported: 1 frame corrected")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        square = np.zeros(SIZE, bool)
        square[10:40, 10:40] = True
        assert np.array_equal(server.labels("case-02.frames", 2) > 0, square)
        assert 3 not in {entry["frame"] for entry in server.get("videos/case-02.frames")["corrections"]}

    def test_the_values_of_masks_are_chosen(self, page: Page, server: Any, tmp_path: Path) -> None:
        open_video(page, server, "case-02.frames")
        mask = np.zeros(SIZE, np.uint8)
        mask[20:50, 20:50], mask[60:80, 60:90] = 1, 2
        image = Image.fromarray(mask)
        image.putpalette([0, 0, 0, 250, 50, 83, 0, 255, 0])
        image.save(picture := io.BytesIO(), "PNG")
        with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
            archive.writestr("00006.png", picture.getvalue())
        page.keyboard.press("i")
        page.select_option("#import-dialog [name=format]", "png")
        page.set_input_files("#import-dialog [name=file]", tmp_path / "masks.zip")
        page.get_by_role("button", name="Read the file").click()
        page.wait_for_selector("#import-plan-dialog[open]")
        assert page.inner_text("#import-labels-title") == "Which values of the masks are polyps?"
        assert page.locator("#import-label-list .swatch").count() == 3 and page.is_disabled("#import-go")
        page.get_by_label("rgb(0,255,0) (in 1 mask)").select_option("polyp")
        page.wait_for_selector("#import-go:enabled")
        page.get_by_label("rgb(0,255,0) (in 1 mask)").select_option("other")
        page.wait_for_selector("#import-go:disabled")
        page.get_by_label("rgb(250,50,83) (in 1 mask)").select_option("polyp")
        page.wait_for_selector("#import-go:enabled")
        lines = page.locator("#import-plan li").all_inner_texts()
        assert lines[0] == "masks set: frame 7"
        assert lines[-1] == "in the masks, rgb(250,50,83) is polyp, all else is background, as given"
        page.screenshot(path=tmp_path / "dialog.png")
        page.locator("#import-go").click()
        says(page, "Imported: 1 frame corrected")
        page.wait_for_function(
            "() => /changed, most|already agreed/.test(document.getElementById('message').textContent)"
        )
        assert np.array_equal(server.labels("case-02.frames", 6) > 0, mask == 1)

    def test_a_job_is_cancelled(self, page: Page, server: Any) -> None:
        page.goto(server.url)
        page.get_by_role("button", name=LONG).click()
        shows(page, 0)
        page.keyboard.press("a")
        page.get_by_role("button", name=re.compile(f"^Cancel: Finding polyps, {LONG}")).click()
        says(page, "The job is cancelled.")
        page.wait_for_selector("#job-list li", state="detached")
        assert {job["state"] for job in server.get("jobs") if job["image"] == LONG} == {"cancelled"}

    def test_nothing_is_erased_before_new_masks_are_complete(self, page: Page, server: Any) -> None:
        server.annotate("case-01.frames")
        open_video(page, server, "case-01.frames")
        before = [server.labels("case-01.frames", frame) for frame in range(20)]
        jobs = len(server.get("jobs"))
        page.keyboard.press("a")
        page.get_by_role("button", name="Keep the masks").click()
        assert len(server.get("jobs")) == jobs
        page.keyboard.press("a")
        page.get_by_role("button", name="Find polyps", exact=True).last.click()
        page.get_by_role("button", name=re.compile("^Cancel: Finding polyps, case-01")).wait_for()
        assert all((server.labels("case-01.frames", frame) == before[frame]).all() for frame in range(5))
        says(page, "polyps are found")

    def test_a_mask_that_nobody_changed_does_not_spread(self, page: Page, server: Any) -> None:
        server.annotate("case-01.frames")
        open_video(page, server, "case-01.frames")
        video = server.get("videos/case-01.frames")
        corrected = [entry["frame"] for entry in video["corrections"]]
        frame = next(frame for frame in range(20) if frame not in corrected)
        go_to(page, frame)
        page.keyboard.press("Enter")
        says(page, "You have not changed this frame")
        assert server.get("videos/case-01.frames")["corrections"] == video["corrections"]

    def test_a_video_that_is_partly_done_says_so(self, page: Page, server: Any) -> None:
        job = server.call("POST", "/lsinet/jobs", {"image": STOPPED, "kind": "annotate"}).json["job"]
        server.wait_until(lambda: server.get(f"videos/{STOPPED}")["scores"][1] is not None)
        server.call("DELETE", f"/lsinet/jobs/{job}")
        page.goto(server.url)
        page.get_by_role("button", name=STOPPED).click()
        shows(page, 0)
        video = server.get(f"videos/{STOPPED}")
        left = video["without_mask"]
        assert 0 < left == video["scores"].count(None) and video["state"] == "partly annotated"
        page.wait_for_function("text => document.getElementById('video-state').textContent === text",
                               arg=f"Partly done, {left} without a mask")  # fmt: skip
        page.keyboard.press("v")
        assert page.get_by_role("button", name=STOPPED).inner_text().count(f"{left} without a mask") == 1
        page.keyboard.press("v")
        page.hover("#timeline")
        assert page.locator("#legend .waiting").is_visible()

        page.keyboard.press("x")
        page.wait_for_selector("#export-dialog[open]")
        assert f"{left} of 200 frames have no mask yet" in page.inner_text("#export-note")
        page.get_by_role("button", name="Cancel", exact=True).last.click()
        page.keyboard.press("f")
        page.wait_for_selector("#question-dialog[open]")
        assert f"{left} without a mask" in page.inner_text("#question-text")
        page.get_by_role("button", name="Not yet").click()
        assert not server.get(f"videos/{STOPPED}")["final"]
        for method, path, body in (("GET", "export", None), ("POST", "final", {"final": True})):
            query = {"format": "png"} if method == "GET" else {}
            answer = server.call(method, f"/lsinet/videos/{STOPPED}/{path}", body, **query)
            assert answer.status == 409 and f"{left} of the 200 frames" in answer.json["detail"]

    def test_the_timeline_is_zoomed(self, page: Page, server: Any) -> None:
        page.goto(server.url)
        page.get_by_role("button", name=LONG).click()
        shows(page, 0)
        box = page.locator("#timeline").bounding_box()
        assert box is not None
        left, middle, y = box["x"] + 2, box["x"] + box["width"] / 2, box["y"] + 20
        page.mouse.click(middle, y)
        shows(page, 100)
        page.mouse.wheel(0, -278)  # doubled: exp(278 / 400) = 2
        page.mouse.click(left, y)
        shows(page, 50)
        page.keyboard.press("End")  # the part in sight follows the frame
        shows(page, 199)
        page.mouse.click(left, y)
        shows(page, 100)
        page.keyboard.press("Shift+T")
        page.mouse.click(left, y)
        shows(page, 0)

    def test_lesions(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-02.frames")
        # Without a lesion the page offers a new one. The list leaves out short ones.
        count = max(1, len(server.get("videos/case-02.frames")["lesions"]))
        page.keyboard.press("l")
        says(page, "is new")
        page.keyboard.press("r")
        page.keyboard.type("Flat, right")
        page.keyboard.press("Enter")
        says(page, "is now called Flat, right")
        draw(page, (0.5, 0.4), (0.6, 0.4))
        page.keyboard.press("s")
        says(page, "Saved frame 1.")
        mine = next(e["id"] for e in server.get("videos/case-02.frames")["lesions"] if e["name"] == "Flat, right")
        assert (server.labels("case-02.frames", 0) == mine).any()
        page.keyboard.press("m")
        page.select_option("#merge-dialog [name=from]", str(mine))
        page.locator("#merge-dialog").get_by_role("button", name="Merge").click()
        says(page, "is now part of")
        assert len(server.get("videos/case-02.frames")["lesions"]) == count
        assert not (server.labels("case-02.frames", 0) == mine).any()
        page.keyboard.press("l")  # it does not get the merged id: masks with that id show the other lesion
        says(page, "is new")
        assert mine not in {lesion["id"] for lesion in server.get("videos/case-02.frames")["lesions"]}

    def test_a_lesion_that_no_frame_shows_is_deleted_from_the_list(self, page: Page, server: Any) -> None:
        def listed() -> list[str]:
            return [lesion["name"] for lesion in server.get("videos/case-03.frames")["lesions"]]

        open_video(page, server, "case-03.frames")
        before = listed()
        page.keyboard.press("l")
        says(page, "is new")
        with_new = listed()
        (name,) = set(with_new) - set(before)
        draw(page, (0.5, 0.4), (0.6, 0.4))
        page.keyboard.press("Shift+Backspace")  # it is drawn, though not saved
        says(page, "does not show the chosen lesion")
        page.keyboard.press("Control+z")
        page.keyboard.press("Shift+Backspace")
        says(page, f"{name} is deleted: no frame showed it.")
        assert listed() == before and name not in page.inner_text("#lesion-list")
        page.keyboard.press("Control+z")
        says(page, "Undone: deleting a lesion that no frame showed.")
        assert listed() == with_new and name in page.inner_text("#lesion-list")
        page.reload()
        shows(page, 0)
        page.locator("#lesion-list button").filter(has_text=name).click()
        page.keyboard.press("Shift+Backspace")
        says(page, "is deleted")
        page.reload()
        shows(page, 0)
        page.keyboard.press("Control+z")
        assert "The lesion is back in the list." in page.inner_text("#question-dialog")
        page.click("#question-answers [value=yes]")
        says(page, "Undone")
        assert listed() == with_new

    def test_the_pen_takes_the_lesion_of_the_frame(self, page: Page, server: Any) -> None:
        theirs = np.zeros(SIZE, np.uint8)
        theirs[10:20, 10:20] = 3
        server.save_mask("case-01.frames", 19, theirs)
        open_video(page, server, "case-01.frames")
        go_to(page, 19)
        draw(page, (0.5, 0.6), (0.6, 0.6))
        page.keyboard.press("s")
        says(page, "Saved frame 20.")
        assert set(np.unique(server.labels("case-01.frames", 19))) == {0, 3}

    def test_it_asks_for_the_name_and_password(self, page: Page, server: Any) -> None:
        def ask(route: Route) -> None:
            if route.request.headers.get("authorization") == "Bearer right":
                route.continue_()
            else:
                route.fulfill(status=401, json={"detail": "Not authenticated"})

        def sign_in(route: Route) -> None:
            if "password=right" in (route.request.post_data or ""):
                route.fulfill(json={"access_token": "right", "token_type": "bearer"})
            else:
                route.fulfill(status=401, json={"detail": "wrong"})

        page.route("**/lsinet/videos**", ask)
        page.route("**/auth/token", sign_in)
        page.goto(server.url)
        for password in ["wrong", "right"]:
            page.fill("#sign-in-dialog [name=username]", "ann")
            page.fill("#sign-in-dialog [name=password]", password)
            page.keyboard.press("Enter")
            if password == "wrong":
                page.get_by_text("did not accept").wait_for()
        page.get_by_role("button", name="case-01.frames").wait_for()

    def test_it_plays(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        page.keyboard.press(" ")
        shows(page, 19)
        page.wait_for_selector('[data-action="play"][aria-pressed="false"]')

    def test_it_plays_faster_and_in_a_loop(self, page: Page, server: Any) -> None:
        open_video(page, server, ANNOTATED)
        page.keyboard.press(">")
        assert page.input_value("#speed") == "2"
        go_to(page, 100)
        page.keyboard.press("q")
        go_to(page, 104)
        page.keyboard.press("Shift+Q")
        assert shown_in_a_loop(page) <= {101, 102, 103, 104, 105}
        page.keyboard.press("Shift+Q")
        page.wait_for_selector('[data-action="play"][aria-pressed="false"]')

    def test_a_loop_around_a_frame(self, page: Page, server: Any) -> None:
        # Of large pictures only a few are kept: the first frame of the loop is not among them at its end.
        path = f"**/videos/{ANNOTATED}"
        page.route(path, lambda route: route.fulfill(json=route.fetch().json() | {"width": 4000, "height": 4000}))
        open_video(page, server, ANNOTATED)
        page.keyboard.press(">")
        page.keyboard.press(">")
        go_to(page, 100)
        page.keyboard.press("Shift+Q")
        assert shown_in_a_loop(page) <= set(range(86, 117))
        loop, play = (page.locator(f'#transport [data-action="{action}"]') for action in ("loop", "play"))
        page.keyboard.press(" ")
        assert play.get_attribute("aria-pressed") == "false" and loop.get_attribute("aria-pressed") == "true"
        page.keyboard.press(" ")
        assert shown_in_a_loop(page) <= set(range(86, 117))
        page.keyboard.press(" ")
        go_to(page, 180)
        page.keyboard.press(" ")
        assert loop.get_attribute("aria-pressed") == "false"
        shows(page, 199)
        page.wait_for_selector('[data-action="play"][aria-pressed="false"]')

    def test_on_a_tablet(self, browser: Browser, server: Any) -> None:
        context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
        page = context.new_page()
        page.goto(server.url)
        page.get_by_role("button", name="case-01.frames").tap()
        shows(page, 0)
        page.get_by_role("button", name="No polyp").tap()
        page.get_by_role("button", name="Polygon").tap()
        box = page.locator("#stage").bounding_box()
        assert box is not None
        for x, y in [(0.4, 0.4), (0.6, 0.4), (0.5, 0.6), (0.4, 0.4)]:
            page.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
        assert drawn_pixels(page) > 0
        sizes = page.evaluate(
            "[...document.querySelectorAll('button')].filter((b) => b.offsetParent).map((b) => b.offsetHeight)"
        )
        assert min(sizes) >= 40
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        context.close()

    def test_the_legend_opens_without_a_mouse(self, page: Page, browser: Browser, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        page.wait_for_selector('[data-action="legend"]', state="hidden")
        context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True, is_mobile=True)
        tablet = context.new_page()
        tablet.goto(f"{server.url}#case-01.frames")
        shows(tablet, 0)
        legend = tablet.locator("#legend")
        assert not legend.is_visible()
        tablet.get_by_role("button", name="Legend").tap()
        box, timeline = legend.bounding_box(), tablet.locator("#timeline").bounding_box()
        assert box and timeline and box["y"] >= timeline["y"] + timeline["height"]
        tablet.get_by_role("button", name="Legend").tap()
        assert not legend.is_visible()
        context.close()

    @pytest.mark.parametrize("size", [(1280, 800), (1024, 768)])
    def test_no_panel_lies_over_the_lesions(self, page: Page, server: Any, size: tuple[int, int]) -> None:
        jobs = [
            {"job": f"{i}", "image": LONG, "kind": "annotate", "frame": None, "state": "running",
             "progress": 0.5, "seconds_left": 60, "message": ""}
            for i in range(5)
        ]  # fmt: skip
        page.route("**/lsinet/jobs", lambda route: route.fulfill(json=jobs))
        spread = {"spreads": [{"act": 1, "frame": 3, "frames": [2, 4]}]}
        path = "**/lsinet/videos/case-01.frames"
        page.route(path, lambda route: route.fulfill(json=route.fetch().json() | spread))
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.goto(f"{server.url}#case-01.frames")
        shows(page, 0)
        page.wait_for_selector("#job-list li")
        page.wait_for_selector("#spread", state="visible")
        scrolls = page.locator(".scrolls").bounding_box()
        assert scrolls and scrolls["height"] >= 150
        end = scrolls["y"] + scrolls["height"]
        for panel in page.locator("aside > .saving").all():
            if box := panel.bounding_box():
                assert box["y"] >= end - 1
                end = box["y"] + box["height"]
        footer = page.locator("footer").bounding_box()
        assert footer and end <= footer["y"] + 1
        for row in page.locator("#lesion-list button").all():
            row.click(trial=True)  # nothing lies over it

    @pytest.mark.parametrize("is_touch", [False, True])
    def test_the_buttons_below_the_picture_stand_in_one_row(
        self, browser: Browser, server: Any, is_touch: bool
    ) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, has_touch=is_touch)
        page = context.new_page()
        page.goto(f"{server.url}#case-01.frames")
        shows(page, 0)
        for _ in range(2):  # with and without the list of videos
            page.keyboard.press("v")
            for size in [(1366, 768), (1280, 800), (1024, 768)]:
                page.set_viewport_size({"width": size[0], "height": size[1]})
                tops = page.evaluate(
                    "[...document.querySelectorAll('#transport button')].filter((b) => b.offsetParent)"
                    ".map((b) => b.getBoundingClientRect().top)"
                )
                assert len(tops) >= 8, size
                assert max(tops) - min(tops) < 2, size
        context.close()

    def test_on_a_small_screen_the_buttons_that_save_stay_in_sight(self, page: Page, server: Any) -> None:
        open_video(page, server, "case-01.frames")
        page.set_viewport_size({"width": 800, "height": 600})
        go_to(page, 2)
        panel = page.locator("aside")

        def are_in_sight(names: list[str], section: str) -> None:
            limit = page.locator("footer").bounding_box()
            for name in names:
                box = panel.locator(f'{section} [data-action="{name}"]').bounding_box()
                assert box and limit and box["y"] >= 0 and box["y"] + box["height"] <= limit["y"], name

        saving = ["save", "propagate", "check", "revert"]
        are_in_sight(saving, ".saving:last-child")
        page.keyboard.press("q")
        go_to(page, 4)
        are_in_sight(saving, ".saving:last-child")
        panel.locator('.lesions [data-action="delete-lesion"]').click(trial=True)  # nothing lies over it
        panel.locator('[data-action="end-selection"]').click()
        page.wait_for_selector("#selection", state="hidden")

    def test_two_fingers_zoom_and_draw_nothing(self, browser: Browser, server: Any) -> None:
        context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
        page = context.new_page()
        open_video(page, server, "case-01.frames")
        go_to(page, 11)
        pixels, state = drawn_pixels(page), page.inner_text("#frame-state")
        session = context.new_cdp_session(page)

        def spread(selector: str, *halves: float) -> None:
            """Put two fingers down on either side of an element's middle, and spread them."""
            box = page.locator(selector).bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for i, half in enumerate(halves):
                points = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
                if i == 0:  # one finger comes first
                    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
                kind = "touchMove" if i else "touchStart"
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        width = "document.querySelector('.sheet').getBoundingClientRect().width"
        before = page.evaluate(width)
        spread("#stage", 50, 75, 100)
        assert page.evaluate(width) == pytest.approx(2 * before, rel=0.02)
        assert (drawn_pixels(page), page.inner_text("#frame-state")) == (pixels, state)
        page.get_by_role("button", name="Fit").tap()
        assert page.evaluate(width) == pytest.approx(before)
        context.close()


# The point tool -------------------------------------------------------------------------------------------------------


class FakeNetwork:
    """Answers for the server as if its model took points: a square around each point, or the box, without the squares
    around the points outside of the lesion. What it was asked is in ``questions``.
    """

    def __init__(self, page: Page, status: dict[str, Any], deadline: int) -> None:
        self.page, self.deadline = page, deadline
        self.questions: list[dict[str, Any]] = []
        self.prepared: list[str] = []
        self.held: list[Route] = []
        self.holds = False  # whether answers wait for `let_go`
        status = {**status, "model": {**status["model"], "points": True}}
        page.route("**/lsinet/status", lambda route: route.fulfill(json=status))
        page.route("**/prepare?*", self._prepare)
        page.route("**/prompt", self._prompt)

    def _prepare(self, route: Route) -> None:
        self.prepared.append(route.request.url)
        route.fulfill(status=204)

    def _prompt(self, route: Route) -> None:
        self.questions.append(route.request.post_data_json)
        if self.holds:
            self.held.append(route)
        else:
            self.answer(route)

    def answer(self, route: Route) -> None:
        file = io.BytesIO()
        Image.fromarray(self.mask(route.request.post_data_json)).save(file, "PNG")
        with contextlib.suppress(Exception):  # the page has given the question up
            route.fulfill(body=file.getvalue(), content_type="image/png")

    def wait(self, questions: int) -> None:
        """Wait until so many questions have come."""
        end = time.monotonic() + self.deadline
        while len(self.questions) < questions:
            assert time.monotonic() < end, "waited in vain"
            self.page.wait_for_timeout(10)

    def let_go(self) -> None:
        self.holds = False
        while self.held:
            self.answer(self.held.pop(0))

    @staticmethod
    def mask(question: dict[str, Any]) -> np.ndarray:
        mask = np.zeros(SIZE, np.uint8)
        if question["box"]:
            left, top, right, bottom = (round(side) for side in question["box"])
            mask[top:bottom, left:right] = 1
        for (x, y), label in zip(question["points"], question["labels"], strict=True):
            mask[max(0, int(y) - 8) : int(y) + 8, max(0, int(x) - 8) : int(x) + 8] = label
        return mask


@pytest.fixture
def network(page: Page, server: Any, deadline: int) -> FakeNetwork:
    return FakeNetwork(page, server.get("status"), deadline)


def show_two_lesions(page: Page, server: Any, frame: int) -> np.ndarray:
    """Save two lesions side by side, 5 and 6, show them, and choose the first; returns the mask."""
    theirs = np.zeros(SIZE, np.uint8)
    theirs[30:60, 20:40], theirs[30:60, 40:60] = 5, 6
    server.save_mask(POINTED, frame, theirs)
    show_pointed(page, server, frame)
    page.keyboard.down("Control")
    click(page, 30, 50)
    page.keyboard.up("Control")
    says(page, "is chosen")
    return theirs


def show_pointed(page: Page, server: Any, frame: int, video: str = POINTED) -> None:
    page.goto(f"{server.url}#{video}")
    shows(page, 0)
    if frame:
        go_to(page, frame)


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where the middle of a pixel of the frame is on the page."""
    box = page.locator(".sheet").bounding_box()
    assert box is not None
    scale = box["width"] / SIZE[1]
    return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale


def click(page: Page, x: float, y: float, **options: Any) -> None:
    page.mouse.click(*at(page, x, y), **options)


GUIDE = """() => {
  const canvas = document.querySelector("#stage > canvas");
  return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
}"""


class TestPoints:
    pytestmark = browser_test

    def test_clicks_and_boxes_give_the_mask(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 0)
        assert page.get_attribute('[data-action="points"]', "aria-pressed") == "true"  # it is chosen at the start
        click(page, 60, 50)
        draws(page, 256)
        click(page, 66, 50, button="right")
        draws(page, 256 - 10 * 16)
        page.keyboard.down("Alt")
        click(page, 54, 42)
        page.keyboard.up("Alt")
        draws(page, 48)
        for right in (100, 90):  # the second box replaces the first one
            page.mouse.move(*at(page, 20, 20))
            page.mouse.down()
            page.mouse.move(*at(page, right, 80), steps=4)
            page.mouse.up()
            network.wait(4 if right == 100 else 5)
        page.keyboard.press("s")
        says(page, "Saved frame 1.")
        assert [question["labels"] for question in network.questions] == [[1], [1, 0], *[[1, 0, 0]] * 3]
        assert all(question["mask"] is None for question in network.questions)
        boxes = [question["box"] for question in network.questions]
        assert boxes[:3] == [None] * 3 and boxes[3] == pytest.approx([20.5, 20.5, 100.5, 80.5], abs=0.1)
        assert boxes[4] == pytest.approx([20.5, 20.5, 90.5, 80.5], abs=0.1)
        assert network.questions[0]["points"] == [pytest.approx([60.5, 50.5], abs=0.1)]
        assert np.array_equal(server.labels(POINTED, 0), network.mask(network.questions[-1]))

    def test_undo_goes_by_point_also_between_strokes(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 1)
        click(page, 20, 20)
        draws(page, 256)
        click(page, 60, 20)
        draws(page, 512)
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == 256
        page.keyboard.press("Control+Shift+z")
        assert drawn_pixels(page) == 512
        page.keyboard.press("Control+z")
        click(page, 60, 60)
        draws(page, 512)
        assert [len(question["points"]) for question in network.questions] == [1, 2, 2]
        page.keyboard.press("b")  # the brush changes the lesion: its points are forgotten
        page.mouse.move(*at(page, 60, 60))
        page.mouse.down()
        page.mouse.move(*at(page, 80, 60), steps=4)
        page.mouse.up()
        pixels = drawn_pixels(page)
        assert pixels > 512
        page.keyboard.press("0")
        click(page, 100, 20)
        network.wait(4)
        draws(page, 256)
        start = np.asarray(Image.open(io.BytesIO(base64.b64decode(network.questions[-1]["mask"]))))
        assert np.count_nonzero(start) == pixels and len(network.questions[-1]["points"]) == 1
        for expected in (pixels, 512, 256, 0):
            page.keyboard.press("Control+z")
            assert drawn_pixels(page) == expected
        assert "not saved" not in page.inner_text("#frame-state")
        for _ in range(2):
            page.keyboard.press("Control+Shift+z")
        click(page, 100, 80)  # the points are back, too
        network.wait(5)
        assert len(network.questions[-1]["points"]) == 3 and network.questions[-1]["mask"] is None

    def test_fast_clicks_are_asked_in_turn(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 2)
        network.holds = True
        click(page, 20, 20)
        click(page, 60, 20)
        click(page, 100, 20)
        page.keyboard.press("Control+z")  # the last one, which is not answered yet
        network.wait(1)
        assert len(network.questions) == 1 and drawn_pixels(page) == 0
        network.let_go()
        draws(page, 512)
        assert [len(question["points"]) for question in network.questions] == [1, 2]
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == 256

    def test_saving_waits_for_a_click(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 3)
        network.holds = True
        click(page, 40, 40)
        page.keyboard.press("s")
        network.wait(1)
        assert page.inner_text("#message") != "Saved frame 4."
        network.let_go()
        says(page, "Saved frame 4.")
        assert np.array_equal(server.labels(POINTED, 3), network.mask(network.questions[0]))

    def test_no_answer_comes_to_another_frame(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 4)
        network.holds = True
        click(page, 40, 40)
        page.keyboard.press("s")
        network.wait(1)
        page.keyboard.press("ArrowRight")
        shows(page, 5)
        says(page, "Nothing is saved, because the last click was not applied: another frame was opened")
        network.let_go()
        click(page, 80, 40)
        draws(page, 256)
        assert [len(question["points"]) for question in network.questions] == [1, 1]
        page.keyboard.press("ArrowLeft")
        shows(page, 4)
        assert drawn_pixels(page) == 0
        page.keyboard.press("ArrowRight")
        shows(page, 5)
        draws(page, 256)
        click(page, 20, 80)  # the points are forgotten, and the mask is where the next one starts
        network.wait(3)
        assert len(network.questions[-1]["points"]) == 1 and network.questions[-1]["mask"]

    def test_a_click_that_is_lost_on_the_way_to_another_frame_is_told(
        self, page: Page, server: Any, network: FakeNetwork
    ) -> None:
        show_pointed(page, server, 13)
        network.holds = True
        click(page, 40, 40)
        network.wait(1)
        for frame in (14, 15):  # leafing on does not clear the line
            page.keyboard.press("ArrowRight")
            shows(page, frame)
            says(page, "The last click was not applied: another frame was opened")
        network.let_go()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        shows(page, 13)
        assert drawn_pixels(page) == 0 and "not saved" not in page.inner_text("#frame-state")
        assert not server.labels(POINTED, 13).any()

    def test_nothing_is_saved_without_the_click_for_another_lesion(
        self, page: Page, server: Any, network: FakeNetwork
    ) -> None:
        theirs = show_two_lesions(page, server, 14)
        click(page, 100, 20)
        draws(page, 256 + 30 * 20)  # a change that could be saved
        network.holds = True
        click(page, 100, 80)
        network.wait(2)
        page.keyboard.press("s")
        page.keyboard.down("Control")
        click(page, 50, 50)
        page.keyboard.up("Control")
        network.let_go()
        says(page, "Nothing is saved, because the last click was not applied: another lesion was chosen")
        page.wait_for_timeout(500)
        assert "Nothing is saved" in page.inner_text("#message") and "not saved" in page.inner_text("#frame-state")
        assert np.array_equal(server.labels(POINTED, 14), theirs)
        page.keyboard.press("s")
        says(page, "Saved frame 15.")

    def test_a_click_that_changes_no_pixel_is_no_change(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        show_pointed(page, server, 15)
        click(page, 30, 30, button="right")
        says(page, "The network sees no lesion there")
        page.mouse.move(1, 1)
        page.wait_for_function(GUIDE)  # the point stays
        assert "not saved" not in page.inner_text("#frame-state") and page.is_hidden("#preview")
        page.keyboard.press("s")
        says(page, "You have not changed this frame.")
        click(page, 80, 30)
        draws(page, 256)
        assert "not saved" in page.inner_text("#frame-state")
        assert [question["labels"] for question in network.questions] == [[0], [0, 1]]
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == 0 and "not saved" not in page.inner_text("#frame-state")
        page.keyboard.press("Control+z")  # the first point
        page.mouse.move(1, 1)
        page.wait_for_function(f"() => !({GUIDE})()")
        page.keyboard.press("Shift+C")  # changes no pixel either, but says something
        assert "Frame 16 is not saved" in page.inner_text("#frame-state")
        page.keyboard.press("Control+z")
        assert "not saved" not in page.inner_text("#frame-state")
        assert not spreads.asked[1:] and 15 not in {e["frame"] for e in server.get(f"videos/{POINTED}")["corrections"]}

    def test_other_lesions_keep_their_pixels(self, page: Page, server: Any, network: FakeNetwork) -> None:
        theirs = show_two_lesions(page, server, 6)
        click(page, 40, 45)
        network.wait(1)
        draws(page, 30 * 20 + 8 * 16)
        network.holds = True
        click(page, 20, 20)
        network.wait(2)
        page.keyboard.down("Control")
        click(page, 50, 50)  # the answer for the other lesion comes too late
        page.keyboard.up("Control")
        says(page, "The last click was not applied: another lesion was chosen")
        network.let_go()
        page.keyboard.press("s")
        says(page, "Saved frame 7.")
        expected = np.where(theirs == 6, 6, 0)
        expected[37:53, 32:40] = 5
        assert np.array_equal(server.labels(POINTED, 6), expected)
        start = np.asarray(Image.open(io.BytesIO(base64.b64decode(network.questions[0]["mask"]))))
        assert np.array_equal(start, theirs == 5)

    def test_a_resting_mouse_shows_what_a_click_would_give(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 7)
        assert not page.evaluate(GUIDE)
        page.mouse.move(*at(page, 60, 50))
        page.wait_for_function(GUIDE)
        assert f"{POINTED}/frames/7/prepare?" in network.prepared[-1]
        assert drawn_pixels(page) == 0 and "not saved" not in page.inner_text("#frame-state")
        page.mouse.move(*at(page, 90, 50))
        assert not page.evaluate(GUIDE)
        page.wait_for_function(GUIDE)
        page.mouse.down()
        page.mouse.up()
        draws(page, 256)
        assert len(network.questions) == 2  # the click takes the answer that is there already
        assert [question["labels"] for question in network.questions] == [[1], [1]]

    def test_by_keyboard(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 8)
        page.keyboard.press("k")
        says(page, "Shift+Space one outside")
        page.keyboard.press(" ")
        draws(page, 256)
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ ")
        page.wait_for_function(f"() => ({DRAWN})() < 256")
        last = network.questions[-1]
        middle = SIZE[1] / 2, SIZE[0] / 2
        assert last["labels"] == [1, 0] and last["points"][0] == pytest.approx(middle)
        assert last["points"][1] == pytest.approx((SIZE[1] * 0.55, SIZE[0] / 2))

    def test_a_box_by_keyboard(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 8)
        page.keyboard.press("Shift+B")
        says(page, "Shift+B a box")
        page.keyboard.press("Shift+B")
        says(page, "opposite corner")
        page.keyboard.press("Escape")
        page.keyboard.press("Shift+B")
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Shift+B")
        page.wait_for_function(f"() => ({DRAWN})() > 0")
        (question,) = (question for question in network.questions if question["box"])
        right, bottom, step = SIZE[1] / 2, SIZE[0] / 2, SIZE[1] * 0.05
        assert not question["points"] and question["box"] == pytest.approx([right - step, bottom - step, right, bottom])

    def test_a_long_touch_is_a_point_outside(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 9)
        session = page.context.new_cdp_session(page)

        def touch(x: float, y: float, milliseconds: int) -> None:
            left, top = at(page, x, y)
            finger = [{"x": left, "y": top, "id": 0}]
            session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": finger})
            page.wait_for_timeout(milliseconds)
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        touch(60, 50, 0)
        draws(page, 256)
        touch(66, 50, 700)
        page.wait_for_function(f"() => ({DRAWN})() < 256")
        assert [question["labels"] for question in network.questions] == [[1], [1, 0]]

    def test_a_click_that_fails_is_taken_back(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 10)
        page.route("**/prompt", lambda route: route.fulfill(status=400, json={"detail": "no such thing"}))
        click(page, 60, 50)
        says(page, "The last click was not applied: no such thing")
        assert drawn_pixels(page) == 0 and "not saved" not in page.inner_text("#frame-state")
        page.mouse.move(1, 1)
        assert not page.evaluate(GUIDE)

    def test_a_final_video_is_not_asked_about(self, page: Page, server: Any, network: FakeNetwork) -> None:
        path = f"/lsinet/videos/{POINTED}/final"
        assert server.call("POST", path, {"final": True, "partial": True}).status == 200
        show_pointed(page, server, 11)
        click(page, 60, 50)
        says(page, "marked as final")
        page.wait_for_timeout(500)
        assert not network.prepared and not network.questions
        assert server.call("POST", path, {"final": False}).status == 200

    def test_frames_are_prepared_where_people_stay(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 0)
        page.select_option("#speed", "0.25")  # each frame is shown for longer than it takes to count as stayed at
        with page.expect_request("**/frames/15/prepare?*"):
            page.keyboard.press(" ")
            shows(page, 15)
        assert {url.split("/")[-2] for url in network.prepared} <= {"0", "15"}
        page.keyboard.press("b")
        page.keyboard.press("Home")
        shows(page, 0)
        with page.expect_request("**/frames/0/prepare?*"):
            page.keyboard.press("0")

    def test_a_model_that_takes_no_points(self, page: Page, server: Any) -> None:
        show_pointed(page, server, 12)
        assert page.is_disabled('[data-action="points"]')
        assert "no prompt head" in (page.get_attribute('[data-action="points"]', "title") or "")
        page.keyboard.press("0")
        says(page, "does not segment from points")
        assert page.get_attribute('[data-action="brush"]', "aria-pressed") == "true"

    def test_with_a_real_model(
        self, page: Page, start_server: Callable[..., Any], demo_model: Path, tmp_path: Path
    ) -> None:
        from lsinet_monai.networks import load_checkpoint, save_model

        network, image_size = load_checkpoint(demo_model)
        network.add_prompt_head()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            for parameter in network.prompt_head.parameters():
                torch.nn.init.normal_(parameter, std=0.2)
        save_model(network, tmp_path / "model.pt", image_size)
        (tmp_path / "studies" / POINTED).mkdir(parents=True)
        for i, (frame, _) in enumerate(phantom_clip(3, SIZE, 4)):
            Image.fromarray(frame).save(tmp_path / "studies" / POINTED / f"{i:05d}.png")
        server = start_server(tmp_path / "studies", checkpoint=tmp_path / "model.pt")
        with page.expect_response("**/frames/0/prepare?*") as prepared:
            show_pointed(page, server, 0)
        assert prepared.value.status == 204
        with page.expect_response("**/frames/0/prompt") as answered:
            click(page, 60, 50)
        mask = np.asarray(Image.open(io.BytesIO(answered.value.body())))
        page.keyboard.press("s")
        says(page, "Saved frame 1.")
        assert np.array_equal(server.labels(POINTED, 0), mask)


# Previews of a spread -------------------------------------------------------------------------------------------------


def previews(page: Page, first: int, last: int) -> None:
    """Wait until a preview is complete; it says its frames, which people count from 1."""
    page.wait_for_function(
        "text => document.getElementById('preview-frames').textContent.includes(text)",
        arg=f": frames {first + 1} to {last + 1}. Propagate",
    )


def all_labels(server: Any, video: str) -> np.ndarray:
    return np.stack([server.labels(video, frame) for frame in range(16)])


class Spreads:
    """Notes which previews the page asks for."""

    def __init__(self, page: Page, server: Any) -> None:
        self.server = server
        self.questions: list[tuple[str, dict[str, Any]]] = []
        page.on("request", self._note)

    def _note(self, request: Any) -> None:
        if "/spread?" in request.url:
            self.questions.append((request.url.partition("/lsinet/")[2], request.post_data_json))

    @staticmethod
    def _decode(mask: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(mask))))

    @property
    def asked(self) -> list[np.ndarray]:
        """The masks that are to spread."""
        return [self._decode(question["mask"]) for _, question in self.questions]

    def masks(self) -> dict[int, np.ndarray]:
        """What the server answers to the last question: a browser's streams cannot be read here."""
        path, question = self.questions[-1]
        answer = self.server.call("POST", f"/lsinet/{path}", question)
        *lines, last = [json.loads(line) for line in answer.body.splitlines()]
        assert last == {"complete": True}
        return {line["frame"]: self._decode(line["mask"]) for line in lines}


@pytest.fixture
def spreads(page: Page, server: Any) -> Spreads:
    return Spreads(page, server)


class TestSpreadPreview:
    pytestmark = browser_test

    def test_a_click_shows_how_its_mask_spreads_and_stores_nothing(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[0]
        show_pointed(page, server, 6, video)
        before = all_labels(server, video)
        page.keyboard.press("o")  # the gaps of a dashed outline would not count as drawn
        click(page, 60, 50)
        previews(page, 0, 15)
        masks = spreads.masks()
        assert list(masks)[:4] == [5, 7, 4, 8] and set(masks) == set(range(16)) - {6}
        assert np.array_equal(spreads.asked[0], network.mask(network.questions[0]))
        for key, frame in (("ArrowRight", 7), ("ArrowRight", 8), ("Home", 0)):
            page.keyboard.press(key)
            shows(page, frame)
            draws(page, np.count_nonzero(masks[frame]))
            assert page.inner_text("#frame-state") == "Preview: not saved; 1 other not saved"
        assert (all_labels(server, video) == before).all() and not server.get(f"videos/{video}")["corrections"]
        page.wait_for_function("() => location.hash.endsWith('/1')")  # the address follows the frame after a moment
        page.reload()
        says(page, "Frames that are not saved: 7.")  # the one with the click
        assert page.is_hidden("#preview") and drawn_pixels(page) == 0

    def test_a_later_click_replaces_it_and_undo_brings_the_one_before_back(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[1]
        show_pointed(page, server, 4, video)
        click(page, 30, 30)
        draws(page, 256)
        click(page, 80, 60)
        previews(page, 0, 15)
        assert len(spreads.asked) == 2 and np.count_nonzero(spreads.asked[1]) == 512
        both = spreads.masks()
        page.keyboard.press("Control+z")
        page.wait_for_function("() => !document.getElementById('preview-frames').textContent.includes('16. Prop')")
        previews(page, 0, 15)
        assert np.array_equal(spreads.asked[2], spreads.asked[0])
        one = spreads.masks()
        assert any((one[frame] != both[frame]).any() for frame in one)
        page.keyboard.press("Control+z")
        page.wait_for_selector("#preview", state="hidden")
        page.keyboard.press("ArrowRight")
        shows(page, 5)
        assert page.inner_text("#frame-state") == "No mask yet" and drawn_pixels(page) == 0

    def test_enter_accepts_it_and_nobody_is_asked_again(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[2]
        show_pointed(page, server, 6, video)
        page.keyboard.press("k")  # by keyboard alone
        says(page, "Shift+Space one outside")
        page.keyboard.press(" ")
        previews(page, 0, 15)
        masks = spreads.masks()
        page.keyboard.press("k")
        page.keyboard.press("ArrowLeft")
        shows(page, 5)
        page.keyboard.press("Enter")
        says(page, "as the preview showed")
        assert np.array_equal(server.labels(video, 6), spreads.asked[0])
        for frame, mask in masks.items():
            assert np.array_equal(server.labels(video, frame) > 0, mask > 0), frame
        stored = server.get(f"videos/{video}")
        assert [each["frame"] for each in stored["corrections"]] == [6] and stored["spreads"] == []
        assert page.is_hidden("#preview") and page.is_hidden("#spread")
        assert page.inner_text("#frame-state") == "Propagated from a correction"
        assert server.call("POST", f"/lsinet/videos/{video}/undo", {"act": 1}).status == 200
        assert not server.get(f"videos/{video}")["propagated"]

    def test_one_that_the_server_ends_says_what_it_holds(self, page: Page, server: Any, network: FakeNetwork) -> None:
        show_pointed(page, server, 6, SPREAD[6])
        file = io.BytesIO()
        Image.fromarray(np.ones(SIZE, np.uint8)).save(file, "PNG")
        lines = [{"frame": 7, "mask": base64.b64encode(file.getvalue()).decode()}, {"detail": "frame 3 cannot be read"}]
        page.route("**/spread?*", lambda route: route.fulfill(body="".join(json.dumps(line) + "\n" for line in lines)))
        click(page, 60, 50)
        says(page, "The preview has ended early: frame 4 cannot be read")
        line = "The preview has ended early; it shows frames 7 to 8. Propagate (Enter) saves frame 7 and propagates it."
        assert page.inner_text("#preview-frames") == line
        page.keyboard.press("Enter")
        says(page, "changed, most")
        assert page.is_hidden("#preview") and page.is_visible("#spread")

    def test_it_is_dropped_by_people_and_by_a_save(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[3]
        show_pointed(page, server, 6, video)
        click(page, 60, 50)
        previews(page, 0, 15)
        page.keyboard.press("ArrowRight")
        shows(page, 7)
        assert "Preview" in page.inner_text("#frame-state")
        page.keyboard.press("y")
        says(page, "Frame 8 shows a preview: accept it (Enter) or drop it (Esc) first.")
        page.keyboard.press("Escape")
        says(page, "The preview is dropped; frame 7 is not saved yet.")
        assert page.is_hidden("#preview") and drawn_pixels(page) == 0
        page.keyboard.press("ArrowLeft")
        shows(page, 6)
        click(page, 30, 30)
        previews(page, 0, 15)
        page.keyboard.press("s")
        says(page, "Saved frame 7. The preview is dropped: Enter propagates the frame.")
        assert page.is_hidden("#preview")
        labels = all_labels(server, video)
        assert labels[6].any() and not labels[:6].any() and not labels[7:].any()
        assert not server.get(f"videos/{video}")["propagated"]

    def test_frames_of_people_are_left_out(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[4]
        server.annotate(video)
        checked = {"first": 9, "last": 9, "act": "check"}
        assert server.call("POST", f"/lsinet/videos/{video}/stretch", checked).status == 200
        mine = np.zeros(SIZE, np.uint8)
        mine[5:25, 5:25] = 1
        server.save_mask(video, 2, mine)
        show_pointed(page, server, 6, video)
        click(page, 60, 50)
        previews(page, 3, 8)
        assert set(spreads.masks()) == {3, 4, 5, 7, 8}
        for frame, state in ((9, "Checked"), (2, "Corrected")):
            go_to(page, frame)
            assert page.inner_text("#frame-state").startswith(state)
            assert drawn_pixels(page) == np.count_nonzero(server.labels(video, frame))
        server.save_mask(video, 4, mine)  # somebody else: the page looks again, and so does the preview
        previews(page, 5, 8)
        page.keyboard.press("Enter")  # propagates the mask of this frame
        says(page, "Frame 7 is still not saved.")
        previews(page, 5, 8)
        assert [each["frame"] for each in server.get(f"videos/{video}")["corrections"]] == [2, 4, 9]

    def test_drawing_on_it_makes_it_ones_own(
        self, page: Page, server: Any, network: FakeNetwork, spreads: Spreads
    ) -> None:
        video = SPREAD[5]
        show_pointed(page, server, 6, video)
        page.keyboard.press("o")
        click(page, 60, 50)
        previews(page, 0, 15)
        masks = spreads.masks()
        page.keyboard.press("ArrowRight")
        shows(page, 7)
        page.keyboard.press("b")
        draw(page, (0.1, 0.1), (0.15, 0.1))
        says(page, "The preview from frame 7 has ended; that frame is not saved yet.")
        assert "Frame 8 is not saved; 1 other not saved" in page.inner_text("#frame-state")
        assert page.is_hidden("#preview") and drawn_pixels(page) > np.count_nonzero(masks[7])
        pixels = drawn_pixels(page)
        page.keyboard.press("ArrowRight")
        shows(page, 8)
        assert drawn_pixels(page) == 0
        page.keyboard.press("ArrowLeft")
        shows(page, 7)
        assert drawn_pixels(page) == pixels
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == np.count_nonzero(masks[7])
        page.keyboard.press("Control+z")
        assert drawn_pixels(page) == 0 and "Frame 8" not in page.inner_text("#frame-state")
        page.keyboard.press("Control+Shift+z")
        page.keyboard.press("s")
        says(page, "Saved frames 7 and 8.")
        assert np.array_equal(server.labels(video, 7), masks[7])


# Its modules ----------------------------------------------------------------------------------------------------------


def labels(height: int = 37, width: int = 53) -> np.ndarray:
    ids = np.random.default_rng(0).integers(0, 4, (height, width), dtype=np.uint8)
    ids[10:30, 10:40] = 255
    return ids


class TestModules:
    pytestmark = browser_test

    def test_png_is_written_exactly(self, page: Page, static_pages: str) -> None:
        page.goto(static_pages + "icon.svg")
        height, width = labels().shape
        data = page.evaluate(
            """async ([labels, width, height]) => {
              const { encodePng } = await import("/png.js");
              return [...new Uint8Array(await (await encodePng(new Uint8Array(labels), width, height)).arrayBuffer())];
            }""",
            [labels().ravel().tolist(), width, height],
        )
        image = Image.open(io.BytesIO(bytes(data)))
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), labels())

    @pytest.mark.parametrize("kind", ["noise", "slope", "palette"])
    def test_png_is_read_exactly(self, page: Page, static_pages: str, kind: str) -> None:
        truth = labels()
        if kind == "slope":  # the encoder uses its filters
            truth = (np.arange(200)[:, None] + np.arange(300)[None]).astype(np.uint8)
        image = Image.fromarray(truth)
        if kind == "palette":
            image.putpalette(bytes(range(255, -1, -1)) * 3)
        body = io.BytesIO()
        image.save(body, "PNG", optimize=True)
        page.goto(static_pages + "icon.svg")
        decoded = page.evaluate(
            """async (bytes) => {
              const { decodePng } = await import("/png.js");
              const { width, height, labels } = await decodePng(new Uint8Array(bytes).buffer);
              return { width, height, labels: [...labels] };
            }""",
            list(body.getvalue()),
        )
        assert (decoded["height"], decoded["width"]) == truth.shape
        assert decoded["labels"] == truth.ravel().tolist()

    @pytest.mark.parametrize(
        ("act", "expected"),
        [
            (
                "mask.fillPolygon([[2, 1], [6, 1], [6, 4], [2, 4]], 3)",
                {(x, y) for x in range(2, 6) for y in range(1, 4)},
            ),
            ("mask.fillPolygon([[-5, -5], [2, -5], [2, 2], [-5, 2]], 3)", {(0, 0), (0, 1), (1, 0), (1, 1)}),
            ("mask.paintLine(4, 4, 4, 4, 1, 3)", {(3, 3), (4, 3), (3, 4), (4, 4)}),
            ("mask.paintLine(2, 2.5, 5, 2.5, 0.4, 3)", {(2, 2), (3, 2), (4, 2)}),
            ("mask.paintLine(-50, -50, -40, -40, 3, 3)", set()),
        ],
    )
    def test_painting(self, page: Page, static_pages: str, act: str, expected: set[tuple[int, int]]) -> None:
        page.goto(static_pages + "icon.svg")
        painted = page.evaluate(
            f"""async () => {{
              const {{ FrameMask }} = await import("/mask.js");
              const mask = new FrameMask(9, 7, new Uint8Array(63), 0, "none");
              {act};
              return [...mask.labels.keys()].filter((i) => mask.labels[i] === 3).map((i) => [i % 9, Math.floor(i / 9)]);
            }}"""
        )
        assert {tuple(point) for point in painted} == expected

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (["...", "...", "..."], []),
            (["...", ".#.", "..."], [[1, 1, 2, 1], [1, 2, 2, 2], [1, 1, 1, 2], [2, 1, 2, 2]]),
            (["##", "#."], [[0, 0, 2, 0], [1, 1, 2, 1], [0, 2, 1, 2], [0, 0, 0, 2], [1, 1, 1, 2], [2, 0, 2, 1]]),
        ],
    )
    def test_edges(self, page: Page, static_pages: str, part: list[str], expected: list[list[int]]) -> None:
        page.goto(static_pages + "icon.svg")
        edges = page.evaluate(
            "async ([part, width]) => (await import('/outline.js')).edgesOf(new Uint8Array(part), width)",
            [[int(pixel == "#") for row in part for pixel in row], len(part[0])],
        )
        assert edges == expected

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("masks set: frames 0 to 4, 9 and 3 more", "masks set: frames 1 to 5, 10 and 3 more"),
            ("frame 12 is not in 'v', with the frames 0 to 11", "frame 13 is not in 'v', with the frames 1 to 12"),
            ("3 of the 12 frames of 'v 5' have no mask yet: find the polyps first, or add partial=true",
             "3 of the 12 frames of 'v 5' have no mask yet: find the polyps first"),
        ],
    )  # fmt: skip
    def test_the_servers_lines(self, page: Page, static_pages: str, line: str, expected: str) -> None:
        page.goto(static_pages + "icon.svg")
        read = "async (line) => (await import('/messages.js')).inPeoplesWords(line)"
        assert page.evaluate(read, line) == expected

    @pytest.mark.parametrize(
        ("doubt", "unclear", "expected"),
        [
            ([0.1] * 8 + [0.9] + [0.1] * 8 + [0.8] + [0.1] * 8, [], [8, 17]),
            ([0.1] * 8 + [None] + [0.1] * 8 + [0.8] + [0.1] * 8, [], [17]),
            ([0.1, 0.8, 0.9, 0.8, 0.1], [], [2]),  # not the neighbours of a stop
            ([0.1] * 40 + [0.5] * 12 + [0.1] * 40, [], [40, 45, 50]),  # a long fault
            ([0.1] * 8 + [0.9] + [0.1] * 8 + [0.8] + [0.1] * 8, [8], [17]),
            ([0.9] * 8 + [0.1] * 8 + [0.3] + [0.1] * 8, [*range(8)], [16]),  # the limit is that of the clear frames
            ([None, None], [], []),
            ([0.0, 0.0], [], []),
            ([], [], []),
        ],
    )
    def test_doubtful_frames(
        self, page: Page, static_pages: str, doubt: list[float], unclear: list[int], expected: list[int]
    ) -> None:
        page.goto(static_pages + "icon.svg")
        found = page.evaluate(
            """async ([doubt, unclear]) => {
              const { doubtfulFrames } = await import("/doubt.js");
              return doubtfulFrames(doubt, 8, unclear);
            }""",
            [doubt, unclear],
        )
        assert found == expected


def test_it_needs_nothing_inline_and_nothing_from_elsewhere() -> None:
    text = (PAGE / "index.html").read_text()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\bsrc=)", text)
    for file in PAGE.iterdir():
        links = re.findall(r"https?://[^\s\"')]+", file.read_text())
        assert set(links) <= {"http://www.w3.org/2000/svg"}, file.name
