/** The stage: passes input by mouse, stylus, fingers and keys to the pen and the view. */

import { drawGuide } from "./guide.js";
import { say } from "./messages.js";
import { Pen } from "./pen.js";
import { PointTool } from "./point_tool.js";
import { Prompts } from "./prompts.js";
import { View } from "./view.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEP = 0.01; // of a key, as a share of the picture's width
const LONG_STEP = 0.05;

const isTouch = (event) => event.pointerType === "touch";

/** Whether a click of the point tool means a point outside the lesion. */
const isOutside = (event) => event.altKey || event.shiftKey;

export class Stage {
  /** @param {() => void} onChange  called when the tool, the pen or the style of the mask changes */
  constructor(element, editor, onChange) {
    Object.assign(this, { element, editor });
    this.guide = element.querySelector(":scope > canvas");
    this.pointers = new Map(); // pointer id -> [x, y] on the stage
    this.view = new View(element, editor, () => this.#drawGuide(), onChange);
    this.isPlaying = () => false;
    this.prompts = new Prompts(
      editor,
      () => this.pen.tool === "points" && !this.isPlaying(),
      () => this.#drawGuide(),
    );
    this.pointTool = new PointTool(editor, this.view, this.prompts, () => this.#drawGuide());
    const onTool = () => {
      if (this.isPointing) this.prompts.prepareSoon();
      else this.pointTool.cancelStroke();
      onChange();
    };
    this.pen = new Pen(editor, this.view, () => this.#drawGuide(), onTool);
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
      if (editor.shown && !this.isPointing) this.pen.removeCorner(this.view.toPicture(this.#at(event)));
    });
  }

  get isPointing() {
    return this.pen.tool === "points";
  }

  /** What the pointer and the space bar act on. */
  get tool() {
    return this.isPointing ? this.pointTool : this.pen;
  }

  #drawGuide() {
    drawGuide(this.guide, this.view, this.pen, this.pointTool);
  }

  #at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // Mouse, pen and fingers -------------------------------------------------------------------------------------------

  #pointerDown(event) {
    const isRight = event.button === 2 && this.isPointing;
    if ((event.button > 1 && !isRight) || !this.editor.shown) return;
    event.preventDefault();
    this.element.focus();
    this.element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#at(event));
    this.isMoving = event.button === 1 || this.pointers.size > 1;
    if (this.isMoving) {
      this.tool.cancelStroke(); // the first finger began a pinch, not a stroke
      return;
    }
    this.pen.cursor = null;
    const point = this.view.toPicture(this.#at(event));
    if (event.ctrlKey || event.metaKey) this.#choose(point);
    else if (!this.isPointing) this.pen.down(point, event.shiftKey);
    else this.pointTool.down(point, isRight || isOutside(event), isTouch(event) ? event.timeStamp : null);
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
    this.pen.hover = isTouch(event) ? null : this.view.toPicture(at);
    if (this.isMoving && this.pointers.has(event.pointerId)) {
      this.#pinch(event.pointerId, at);
    } else if (this.tool.isDrawing) {
      // Several points arrive per refresh of the screen; all of them keep a fast stroke round.
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) this.tool.paintTo(this.view.toPicture(this.#at(step)));
    } else if (this.isPointing) {
      this.pointTool.rest(this.pen.hover, isOutside(event));
    }
    this.#drawGuide();
  }

  #pointerUp(event) {
    this.pointers.delete(event.pointerId);
    if (!this.isMoving) this.tool.up(event.timeStamp);
    if (!this.pointers.size) this.isMoving = false;
  }

  #pointerCancel(event) {
    this.pointers.delete(event.pointerId);
    this.tool.cancelStroke();
  }

  #pointerLeave() {
    this.pen.hover = null;
    if (this.isPointing) this.pointTool.rest(null);
    this.#drawGuide();
  }

  #doubleClick() {
    if (this.pen.points.length > 2 && !this.isPointing) this.pen.closePolygon();
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
    const tool = this.tool;
    const hasSelection = Boolean(this.editor.selection); // Esc ends it first
    if (key === "Escape" && !hasSelection && (tool.isDrawing || pen.points.length || pen.cursor)) {
      if (tool.isDrawing) tool.cancelStroke();
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
      pen.undoPolygon();
      return true;
    }
    if (!pen.cursor || !pen.canDraw) return false;
    if (key in ARROWS) {
      const step = (shiftKey ? LONG_STEP : STEP) * this.view.size[0];
      pen.moveCursor(...ARROWS[key].map((direction) => step * direction));
      if (this.isPointing && tool.isDrawing) tool.paintTo(pen.cursor);
      else if (this.isPointing) tool.rest(pen.cursor);
    } else if (key === " ") {
      if (tool.isDrawing) tool.up();
      else tool.down(pen.cursor, shiftKey);
      if (pen.grabbed || this.isPointing) tool.up(); // a key sets a corner or a point at once
    } else {
      return false;
    }
    this.#drawGuide();
    return true;
  }

  /** Begin a box where the keys have moved the pen, or end it there. */
  boxByKeys() {
    const { pen, pointTool } = this;
    if (!this.isPointing) return say("A box needs the point tool (0).");
    if (pointTool.isDrawing) return pointTool.up();
    if (pen.canDraw && !pen.cursor) return pen.toggleCursor();
    pointTool.down(pen.cursor);
    if (pointTool.isDrawing) say("Move the pen to the opposite corner of the box. Shift+B or Space sets it, Esc drops it.");
  }
}
