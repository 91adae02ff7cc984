/** The tools' buttons and sliders show the state of pen, view and player. The browser keeps the settings. */

import { element, setPressed, setText } from "./dom.js";
import { say } from "./messages.js";

const KEY = "lsinet.view"; // in the browser's storage
const NO_POINTS = "The model in service does not segment from points and boxes: it has no prompt head.";

export class ToolSettings {
  constructor({ pen, view }, player) {
    Object.assign(this, { pen, view, player });
    this.takesPoints = null; // whether the model does; null: nobody knows yet
    element("brush-size").addEventListener("input", ({ target }) => pen.setRadius(Number(target.value)));
    element("speed").addEventListener("change", ({ target }) => {
      player.setSpeed(Number(target.value));
      element("stage").focus({ preventScroll: true });
    });
    element("opacity").addEventListener("input", ({ target }) =>
      view.setStyle({ opacity: Number(target.value) / 100 }),
    );
  }

  /** Offer the point tool if the model takes points. It is then the first tool. */
  offerPoints(takesPoints) {
    if (takesPoints === this.takesPoints) return;
    this.takesPoints = takesPoints;
    const button = document.querySelector('[data-action="points"]');
    this.pointsTitle ??= button.title;
    Object.assign(button, { disabled: !takesPoints, title: takesPoints ? this.pointsTitle : NO_POINTS });
    if (takesPoints && this.pen.tool === "brush") this.pen.setTool("points");
    else if (!takesPoints && this.pen.tool === "points") this.pen.setTool("brush");
  }

  choosePoints() {
    if (this.takesPoints) this.pen.setTool("points");
    else say(NO_POINTS);
  }

  /** Set brush and mask as they were on the last visit. */
  restore() {
    const { radius, view } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (radius) this.pen.setRadius(radius);
    this.view.setStyle(view ?? {});
  }

  draw() {
    const { pen, view, player } = this;
    for (const tool of ["points", "brush", "eraser", "polygon"]) setPressed(tool, pen.tool === tool);
    setPressed("by-keys", Boolean(pen.cursor));
    setPressed("outline", view.style.outline);
    setPressed("hide", view.style.hidden);
    setPressed("play", player.isPlaying);
    setPressed("loop", Boolean(player.loop));
    element("speed").value = player.speed;
    element("brush-size").value = pen.radius;
    setText("brush-reading", `${2 * pen.radius} px`);
    const percent = Math.round(100 * view.style.opacity);
    element("opacity").value = percent;
    setText("opacity-reading", `${percent}%`);
    localStorage.setItem(KEY, JSON.stringify({ radius: pen.radius, view: { ...view.style, hidden: false } }));
  }
}
