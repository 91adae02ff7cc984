/**
 * Plays the video at its frame rate, or slower or faster. If the server is slower, frames are shown later; none is
 * skipped, except at more than the frame rate, and those that cannot be read.
 */

import { isIn } from "./frame_ranges.js";
import { say } from "./messages.js";

export const SPEEDS = [0.25, 0.5, 1, 2, 4];
const LOOP = 0.5; // seconds on either side of the frame around which a loop plays

export class Player {
  constructor(editor, onChange) {
    Object.assign(this, { editor, onChange, isPlaying: false, speed: 1, loop: null });
    editor.addEventListener("video", () => {
      if (!this.loop || editor.video?.id === this.loop.id) return;
      this.loop = null;
      this.onChange();
    });
  }

  toggle() {
    if (this.isPlaying) return this.stop();
    const { editor } = this;
    if (!editor.video?.frames) return;
    this.#leaveLoop();
    if (editor.frame === this.#end) editor.seek(this.#start);
    this.isPlaying = true;
    this.due = performance.now();
    this.onChange();
    requestAnimationFrame((now) => this.#tick(now));
  }

  stop() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.onChange();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.onChange();
  }

  /** Play the selected frames, or a second around the current one, over and over; or end that. */
  toggleLoop() {
    const { editor } = this;
    if (!editor.video?.frames) return;
    if (this.loop) {
      this.loop = null;
      this.stop();
      say("The loop has ended.");
    } else {
      const reach = Math.max(1, Math.round(LOOP * (editor.video.fps || 25)));
      const around = { first: Math.max(0, editor.frame - reach), last: Math.min(editor.lastFrame, editor.frame + reach) };
      this.loop = { id: editor.video.id, ...(editor.selection ?? around) };
      editor.select(null);
      if (!isIn(editor.frame, this.loop)) editor.seek(this.loop.first);
      if (!this.isPlaying) this.toggle();
    }
    this.onChange();
  }

  /** End the loop if people have gone to a frame outside of it. */
  #leaveLoop() {
    if (!this.loop || isIn(this.editor.frame, this.loop)) return;
    this.loop = null;
    this.onChange();
  }

  get #start() {
    return this.loop?.first ?? 0;
  }

  get #end() {
    return this.loop?.last ?? this.editor.lastFrame;
  }

  #tick(now) {
    if (!this.isPlaying) return;
    const { editor } = this;
    this.#leaveLoop();
    if (editor.frame >= this.#end && !this.loop) return this.stop();
    const dueOf = (frame) =>
      this.due + (1000 * (editor.secondsAt(frame) - editor.secondsAt(editor.frame))) / this.speed;
    // The screen refreshes every 16 ms: half of that too early is as exact as half of it too late.
    const isDue = (frame) => now >= dueOf(frame) - 8;
    const isAtEnd = editor.frame >= this.#end;
    let next = isAtEnd ? this.#start : editor.frame + 1;
    // Not beyond those that are loaded: only going on loads the others.
    if (this.speed > 1 && !isAtEnd) while (next < this.#end && isDue(next + 1) && editor.isLoaded(next + 1)) next++;
    while (next < this.#end && editor.hasFailed(next)) next++;
    // Nothing loads the first frame of a loop ahead: to go there does.
    const canShow = isAtEnd || (isDue(next) && (editor.isLoaded(next) || editor.hasFailed(next)));
    if (canShow && (editor.damaged || editor.shown?.frame === editor.frame)) {
      this.due = isAtEnd ? now : Math.max(dueOf(next), now - 50); // do not catch up on time lost while loading
      editor.seek(next);
    }
    requestAnimationFrame((later) => this.#tick(later));
  }
}
