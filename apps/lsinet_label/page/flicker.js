/** Shows the masks before and after the last propagation by turns, so that people see what it changed. */

import { element, setPressed, setText } from "./dom.js";
import { FrameMask } from "./mask.js";
import { say } from "./messages.js";
import { decodePng } from "./png.js";

const PERIOD = 450; // milliseconds of each mask

export class Flicker {
  constructor(api, editor, view) {
    Object.assign(this, { api, editor, view, timer: null, before: null, act: null });
    editor.addEventListener("frame", () => {
      this.before = null;
      view.alternate = null;
    });
    editor.addEventListener("shown", () => this.#load());
    editor.addEventListener("video", () => {
      if (editor.video?.spreads[0]?.act !== this.act) this.#stop(); // it was kept or undone, or there is a later one
    });
  }

  toggle() {
    if (this.timer) return this.#stop();
    const spread = this.editor.video?.spreads[0];
    if (!spread) return say("There is no propagation to compare with.");
    this.act = spread.act;
    this.timer = setInterval(() => this.#turn(), PERIOD);
    setPressed("flicker", true);
    return this.#load();
  }

  #stop() {
    clearInterval(this.timer);
    Object.assign(this, { timer: null, before: null });
    this.view.alternate = null;
    this.view.redraw();
    setPressed("flicker", false);
    element("flicker").hidden = true;
  }

  /** Load the mask that the current frame had before. */
  async #load() {
    const { editor, api } = this;
    const { video, frame, shown } = editor;
    if (!this.timer || !shown || this.before?.frame === frame) return;
    const { width, height, labels } = await decodePng(await api.maskBefore(video.id, frame, this.act));
    if (editor.frame === frame && editor.video?.id === video.id)
      this.before = { frame, mask: new FrameMask(width, height, labels, 0, "predicted") };
  }

  #turn() {
    const { view, before, editor } = this;
    const isReady = before && editor.shown?.frame === before.frame;
    view.alternate = isReady && !view.alternate ? before.mask : null;
    element("flicker").hidden = !isReady;
    setText("flicker", view.alternate ? "before" : "after");
    view.redraw();
  }
}
