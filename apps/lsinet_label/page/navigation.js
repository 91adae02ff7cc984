/** Going to a video, and to a frame. */

import { element, setText } from "./dom.js";
import { CHOOSE_VIDEO, complain, explain, say, shownNumber } from "./messages.js";

const NO_DOUBTFUL = "No doubtful frame is left. Press F to mark the video as final.";
const NO_CORRECTED = "No frame is corrected yet.";

const PAUSE = 300; // milliseconds between two changes of the address: browsers refuse more than a few a second

// The page's address names a video and, so that a reload returns to it, a frame by its shown number: "#clip.mp4/80".
const namedByAddress = () => {
  try {
    return decodeURIComponent(location.hash.slice(1).split("/")[0]);
  } catch {
    return ""; // a hand-written address with a lone "%"
  }
};
const frameOfAddress = () => Math.max(1, Number(location.hash.split("/")[1]) || 1) - 1;
const addressOf = (id, frame) => `#${encodeURIComponent(id)}/${shownNumber(frame)}`;

export class Navigation {
  /**
   * @param {(isShown: boolean) => void} showList  shows or hides the list of videos
   * @param {() => Promise<void>} onOpened  called after it was opened
   */
  constructor(api, editor, player, watch, showList, onOpened) {
    Object.assign(this, { api, editor, player, watch, showList, onOpened });
    // Back and forward go to the video of the address.
    window.addEventListener("hashchange", () => {
      const name = namedByAddress();
      if (name === (this.opened ?? "")) {
        if (name && editor.video?.id === name) editor.seek(frameOfAddress());
      } else if (!this.openFromAddress()) {
        this.leave();
      }
    });
    let isPausing = false;
    let isBehind = false;
    const follow = () => {
      isBehind = isPausing;
      if (isPausing) return;
      const { id } = editor.video ?? {};
      if (id && id === this.opened && id === namedByAddress()) history.replaceState(null, "", addressOf(id, editor.frame));
      isPausing = true;
      setTimeout(() => {
        isPausing = false;
        if (isBehind) follow();
      }, PAUSE);
    };
    editor.addEventListener("frame", follow);
    element("frame-number").addEventListener("change", ({ target }) => {
      if (target.value) this.step(Number(target.value) - shownNumber(editor.frame));
      else target.value = shownNumber(editor.frame);
      element("stage").focus({ preventScroll: true });
    });
  }

  /** Open the video that the page's address names, at its frame; returns whether there is one. */
  openFromAddress() {
    const video = this.watch.videos.find(({ id }) => id === namedByAddress());
    if (video) this.openVideo(video, frameOfAddress());
    return Boolean(video);
  }

  /** Show no video: the address names none. */
  leave() {
    const hasVideos = this.watch.videos.length > 0;
    this.player.stop();
    this.opened = null;
    this.editor.close();
    say("");
    setText("stage-state", hasVideos ? "Choose a video on the left." : "There are no videos in the server's folder yet.");
    this.showList(true);
  }

  async openVideo(video, frame = 0) {
    const { editor } = this;
    this.player.stop();
    this.showList(false);
    this.opened = video.id;
    setText("stage-state", "");
    try {
      if (namedByAddress() !== video.id) location.hash = addressOf(video.id, frame);
      await editor.open(video.id, frame);
      if (this.opened !== video.id) return; // another one was chosen meanwhile
      element("stage").focus({ preventScroll: true });
      const { unsaved } = editor;
      if (editor.video.error) complain(editor.video.error);
      else if (unsaved.length) say(`Frames that are not saved: ${unsaved.map(shownNumber).join(", ")}.`);
      else if (!editor.video.frames) say("The video has no frames.");
      else if (editor.video.state === "new") say("A new video. Press A to find the polyps in it.");
      else say("Press N for the next doubtful frame, ? for all keys.");
      this.onOpened().catch(complain);
    } catch (error) {
      if (this.opened !== video.id) return;
      complain(error);
      editor.close(`${video.name} cannot be read: ${explain(error)}`);
      setText("video-name", video.name);
      setText("video-state", "");
      setText("stage-state", explain(error));
    }
  }

  /** Open the most doubtful place of all videos that nobody has seen. */
  async openMostDoubtful() {
    try {
      const next = await this.api.next();
      await this.openVideo(next, next.frame);
      say(`${this.watch.nameOf(next.id)}, frame ${shownNumber(next.frame)}: the most doubtful place of all videos.`);
    } catch (error) {
      complain(error);
    }
  }

  step(frames) {
    this.player.stop();
    this.editor.seek(this.editor.frame + frames);
  }

  /** Go to the next doubtful frame (direction 1) or the one before (-1). */
  goToDoubtful(direction) {
    this.#goTo(this.editor.doubtful, direction, NO_DOUBTFUL);
  }

  /** Go to the next corrected or unsaved frame (direction 1) or the one before (-1). */
  goToCorrected(direction) {
    this.#goTo([...this.editor.corrected, ...this.editor.unsaved], direction, NO_CORRECTED);
  }

  goToMostChanged() {
    const most = this.editor.mostChanged;
    if (most) {
      this.editor.endSelection();
      this.step(most.frame - this.editor.frame);
    } else say("No propagation has changed a frame yet.");
  }

  /** Go to the next of these frames; after the last one, start from the other end. */
  #goTo(frames, direction, none) {
    const { editor } = this;
    if (!editor.video) return say(editor.problem ?? CHOOSE_VIDEO);
    if (!frames.length) return say(none);
    const sorted = [...frames].sort((a, b) => direction * (a - b));
    const next = sorted.find((frame) => direction * (frame - editor.frame) > 0) ?? sorted[0];
    const isAround = direction * (next - editor.frame) <= 0;
    this.player.stop();
    editor.endSelection(); // a jump does not stretch it
    editor.seek(next);
    return say(isAround ? `Continued from the ${direction > 0 ? "beginning" : "end"} of the video.` : "");
  }
}
