/** The stage: passes input by mouse, stylus, fingers and keys to the pen and the view. */

import { drawGuide } from "./guide.js";
import { say } from "./messages.js";
import { Pen } from "./pen.js";
import { View } from "./view.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // of a key, as a share of the picture's width
const LONG_STEP = 0.05;

export class Stage {
  /** @param {() => void} onChange  called when the tool, the pen or the style of the mask changes */
  constructor(element, editor, onChange) {
    Object.assign(this, { element, editor });
    this.guide = element.querySelector(":scope > canvas");
    this.pointers = new Map(); // pointer id -> [x, y] on the stage
    this.view = new View(element, editor, () => this.#drawGuide(), onChange);
    this.pen = new Pen(editor, this.view, () => this.#drawGuide(), onChange);
    for (const [type, act] of Object.entries({
      pointerdown: this.#pointerDown,
      pointermove: this.#pointerMove,
      pointerup: this.#pointerUp,
      pointercancel: this.#pointerCancel,
      pointerleave: this.#pointerLeave,
      dblclick: this.#doubleClick,
      wheel: this.#wheel,
    })) {
      element.addEventListener(type, act.bind(this), { passive: false });
    }
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      if (editor.shown) this.pen.removeCorner(this.view.toPicture(this.#at(event)));
    });
  }

  #drawGuide() {
    drawGuide(this.guide, this.view, this.pen);
  }

  #at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // Mouse, pen and fingers -------------------------------------------------------------------------------------------

  #pointerDown(event) {
    if (event.button > 1 || !this.editor.shown) return;
    event.preventDefault();
    this.element.focus();
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#at(event));
    this.isMoving = event.button === 1 || this.pointers.size > 1;
    if (this.isMoving) {
      this.pen.cancelStroke(); // the first finger began a pinch, not a stroke
      return;
    }
    this.pen.cursor = null;
    if (event.ctrlKey || event.metaKey) {
      this.#choose(this.view.toPicture(this.#at(event)));
      return;
    }
    this.pen.down(this.view.toPicture(this.#at(event)), event.shiftKey);
  }

  /** Choose the lesion at a point. */
  #choose(point) {
    const { editor } = this;
    const id = editor.shown.mask.at(point);
    const lesion = editor.video.lesions.find((other) => other.id === id);
    if (!lesion) return say("There is no lesion here.");
    editor.chooseLesion(id);
    say(`${lesion.name} is chosen.`);
  }

  #pointerMove(event) {
    const at = this.#at(event);
    this.pen.hover = event.pointerType === "touch" ? null : this.view.toPicture(at);
    if (this.isMoving && this.pointers.has(event.pointerId)) {
      this.#pinch(event.pointerId, at);
    } else if (this.pen.isDrawing) {
      // Several points arrive per refresh of the screen; all of them keep a fast stroke round.
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) this.pen.paintTo(this.view.toPicture(this.#at(step)));
    }
    this.#drawGuide();
  }

  #pointerUp(event) {
    this.pointers.delete(event.pointerId);
    if (!this.isMoving) this.pen.up();
    if (!this.pointers.size) this.isMoving = false;
  }

  #pointerCancel(event) {
    this.pointers.delete(event.pointerId);
    this.pen.cancelStroke();
  }

  #pointerLeave() {
    this.pen.hover = null;
    this.#drawGuide();
  }

  #doubleClick() {
    if (this.pen.points.length > 2) this.pen.closePolygon();
  }

  /** Keep the picture under the fingers: one finger moves it, two also zoom. */
  #pinch(moved, at) {
    const spread = () => {
      const [a, b] = [...this.pointers.values()];
      return b
        ? { at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], size: Math.hypot(a[0] - b[0], a[1] - b[1]) }
        : { at: a, size: 1 };
    };
    const before = spread();
    this.pointers.set(moved, at);
    const after = spread();
    this.view.move(before.at, after.at, after.size / (before.size || 1));
  }

  #wheel(event) {
    event.preventDefault();
    if (this.editor.shown) this.view.zoomBy(Math.exp(-event.deltaY / 400), this.#at(event));
  }

  // The keyboard -----------------------------------------------------------------------------------------------------

  /** Handle a key of the drawing in progress; returns whether it did. */
  takeKey({ key, shiftKey }) {
    const { pen } = this;
    const hasSelection = Boolean(this.editor.selection); // Esc ends it first
    if (key === "Escape" && !hasSelection && (pen.isDrawing || pen.points.length || pen.cursor)) {
      if (pen.isDrawing) pen.cancelStroke();
      else if (!pen.points.length) pen.toggleCursor();
      else if (pen.tool === "polygon") pen.dropPolygon();
      else say("A polygon is open here: press P to go on with it, or Enter to close it.");
      return true;
    }
    if (key === "Enter" && pen.points.length) {
      pen.closePolygon();
      return true;
    }
    if (key === "Backspace" && pen.points.length && pen.tool === "polygon") {
      pen.undo();
      return true;
    }
    if (!pen.cursor || !pen.canDraw) return false;
    if (key in ARROWS) {
      const step = (shiftKey ? LONG_STEP : STEP) * this.view.size[0];
      pen.moveCursor(...ARROWS[key].map((direction) => step * direction));
    } else if (key === " ") {
      if (pen.isDrawing) pen.up();
      else pen.down(pen.cursor, shiftKey);
      if (pen.grabbed) pen.up(); // a key sets a corner at once
    } else {
      return false;
    }
    this.#drawGuide();
    return true;
  }
}
