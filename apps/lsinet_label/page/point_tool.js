/** The point tool: a click sets a point in the lesion or outside of it, a drag a box around it. */

import { IS_FINAL, say } from "./messages.js";

// In pixels of the screen:
const DRAG = 6; // a longer pull is a box
const STILL = 3; // a mouse that moves less rests

// In milliseconds:
const REST = 120; // before the page shows what a click would give
const LONG_TOUCH = 500; // sets a point outside the lesion

/** All points are [x, y] on the picture. */
export class PointTool {
  /** @param {() => void} onMove  called when the guide must be drawn again */
  constructor(editor, view, prompts, onMove) {
    Object.assign(this, { editor, view, prompts, onMove });
    this.held = null; // what the pointer sets when it is let go: {from, to, isOutside, since: of a touch, or null}
    this.rested = null; // where the mouse rests
    editor.addEventListener("frame", () => {
      if (editor.shown?.frame !== editor.frame) this.cancelStroke();
    });
  }

  get isDrawing() {
    return this.held !== null;
  }

  /** @param {number|null} since  when a finger touched the screen */
  down(point, isOutside = false, since = null) {
    if (!this.editor.mask) {
      if (this.editor.video?.final) say(IS_FINAL);
      return;
    }
    this.rest(null);
    if (!this.#isInPicture(point)) return;
    this.rested = { point, isOutside }; // until the mouse moves on, nobody asks what the same point would give again
    this.held = { from: point, to: point, isOutside, since };
    this.onMove();
  }

  paintTo(point) {
    this.held.to = point.map((value, i) => Math.max(0, Math.min(this.view.size[i], value)));
    this.onMove();
  }

  up(now = null) {
    const { held, box } = this;
    this.held = null;
    if (!held) return;
    const isLong = held.since !== null && now - held.since >= LONG_TOUCH;
    if (box) this.prompts.add({ box });
    else this.prompts.add({ point: held.from, label: held.isOutside || isLong ? 0 : 1 });
  }

  cancelStroke() {
    this.held = null;
    this.rest(null);
    this.onMove();
  }

  /** The box that is being drawn, or null. */
  get box() {
    const { held } = this;
    if (!held || held.isOutside || this.#distance(held.from, held.to) < DRAG) return null;
    const sides = [0, 1].map((i) => [held.from[i], held.to[i]].sort((a, b) => a - b));
    if (sides.some(([low, high]) => low === high)) return null;
    return [sides[0][0], sides[1][0], sides[0][1], sides[1][1]];
  }

  /** The mouse, or the pen that the keys move, is here now; null: it is nowhere. */
  rest(point, isOutside = false) {
    const { rested } = this;
    const isSame = rested && point && rested.isOutside === isOutside && this.#distance(rested.point, point) < STILL;
    if (isSame && !this.isDrawing) return;
    clearTimeout(this.timer);
    this.rested = point && { point, isOutside };
    this.prompts.look(null);
    if (!point || this.isDrawing || !this.#isInPicture(point)) return;
    this.timer = setTimeout(() => this.prompts.look({ point, label: isOutside ? 0 : 1 }), REST);
  }

  #isInPicture(point) {
    return point.every((value, i) => value >= 0 && value <= this.view.size[i]);
  }

  /** Pixels of the screen between two points. */
  #distance([x0, y0], [x1, y1]) {
    return Math.hypot(x1 - x0, y1 - y0) * this.view.scale;
  }
}
