/** The stage: the picture, the mask over it, and the tools that paint on it, by mouse, pen, fingers or keys. */

import { union } from "./mask.js";

const LARGEST_ZOOM = 16;
const CLOSES = 14; // pixels of the screen around a polygon's first point that close it
const LINE = 1.6; // pixels of the screen: the outline's thickness

export class Stage {
  /** @param {(tool: string) => void} onTool  called when the tool or the pen changes */
  constructor(element, editor, announce, onChange) {
    Object.assign(this, { element, editor, announce, onChange });
    this.sheet = element.querySelector(".sheet");
    [this.picture, this.overlay] = this.sheet.querySelectorAll("canvas");
    this.guide = element.querySelector(":scope > canvas");
    this.tool = "brush";
    this.radius = 12; // pixels of the picture
    this.view = { opacity: 0.35, outline: true, hidden: false };
    this.zoom = 1;
    this.centre = [0.5, 0.5]; // of the view, as a share of the picture
    this.pointers = new Map(); // id -> [x, y] on the element
    this.last = null; // [x, y] on the picture while the pen is down
    this.points = []; // of the polygon that is begun
    this.hover = null;
    this.cursor = null; // [x, y] on the picture while the keys hold the pen

    new ResizeObserver(() => this.#layOut()).observe(element);
    editor.addEventListener("shown", () => this.#show());
    editor.addEventListener("mask", ({ detail }) => this.#drawMask(detail));
    editor.addEventListener("frame", () => this.#leaveFrame());
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
    element.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // What is shown ----------------------------------------------------------------------------------------------------

  setTool(tool) {
    this.cancel();
    this.tool = tool;
    this.#drawGuide();
    this.onChange();
  }

  setRadius(radius) {
    this.radius = Math.max(1, Math.min(100, Math.round(radius)));
    this.#drawGuide();
    this.onChange();
  }

  setView(view) {
    Object.assign(this.view, view);
    this.#drawMask(null);
    this.onChange();
  }

  /** Zoom by a factor around a point of the element (its centre by default); 0: fit the picture into the stage. */
  zoomBy(factor, at = [this.element.clientWidth / 2, this.element.clientHeight / 2]) {
    const before = this.#toPicture(at);
    this.zoom = factor ? Math.max(1, Math.min(LARGEST_ZOOM, this.zoom * factor)) : 1;
    this.#layOut();
    this.#moveBy(before, at);
  }

  redraw() {
    this.#drawMask(null);
    this.#drawGuide();
  }

  #show() {
    const { shown } = this.editor;
    this.sheet.hidden = !shown;
    if (!shown) return this.#drawGuide();
    const { picture, mask } = shown;
    let isOtherSize = false;
    for (const [canvas, { width, height }] of [
      [this.picture, picture],
      [this.overlay, mask],
    ]) {
      if (canvas.width === width && canvas.height === height) continue;
      Object.assign(canvas, { width, height });
      isOtherSize = true;
    }
    this.picture.getContext("2d").drawImage(picture, 0, 0);
    if (isOtherSize) this.#layOut();
    else this.redraw();
  }

  #layOut() {
    const { clientWidth, clientHeight } = this.element;
    const { width, height } = this.overlay;
    this.scale = this.zoom * Math.min(clientWidth / width, clientHeight / height);
    this.origin = [
      [clientWidth, width * this.scale, this.centre[0]],
      [clientHeight, height * this.scale, this.centre[1]],
    ].map(([room, size, centre]) =>
      size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - centre * size)),
    );
    this.centre = [clientWidth / 2, clientHeight / 2].map(
      (half, i) => (half - this.origin[i]) / (this.scale * [width, height][i]),
    );
    Object.assign(this.sheet.style, {
      width: `${width}px`,
      height: `${height}px`,
      transform: `translate(${this.origin[0]}px, ${this.origin[1]}px) scale(${this.scale})`,
    });
    const sharpness = window.devicePixelRatio || 1;
    Object.assign(this.guide, { width: clientWidth * sharpness, height: clientHeight * sharpness });
    this.redraw();
  }

  /** Move the view so that a point of the picture comes to lie on a point of the element. */
  #moveBy(point, at) {
    const now = this.#toPicture(at);
    const { width, height } = this.overlay;
    this.centre = [this.centre[0] + (point[0] - now[0]) / width, this.centre[1] + (point[1] - now[1]) / height];
    this.#layOut();
  }

  #drawMask(rectangle) {
    const context = this.overlay.getContext("2d");
    if (!rectangle) context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    if (!this.editor.shown || this.view.hidden) return;
    const line = this.view.outline ? Math.max(1, Math.round(LINE / this.scale)) : 0;
    this.editor.shown.mask.draw(context, rectangle, this.editor.colours, this.view.opacity, line);
  }

  /** Draw what is not part of the picture: the brush, the polygon that is begun, the cursor of the keys. */
  #drawGuide() {
    const context = this.guide.getContext("2d");
    const sharpness = window.devicePixelRatio || 1;
    context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
    context.clearRect(0, 0, this.guide.width, this.guide.height);
    if (!this.editor.mask) return;
    const pen = this.cursor ?? this.hover;
    const path = new Path2D();
    if (pen && this.tool !== "polygon") {
      const [x, y] = this.#toElement(pen);
      path.arc(x, y, Math.max(2, this.radius * this.scale), 0, 2 * Math.PI);
    }
    if (this.cursor) {
      const [x, y] = this.#toElement(this.cursor);
      for (const [dx, dy] of [
        [1, 0],
        [0, 1],
      ]) {
        path.moveTo(x - 9 * dx, y - 9 * dy);
        path.lineTo(x + 9 * dx, y + 9 * dy);
      }
    }
    const corners = this.points.map((point) => this.#toElement(point));
    if (corners.length) {
      path.moveTo(...corners[0]);
      for (const corner of corners.slice(1)) path.lineTo(...corner);
      if (pen) path.lineTo(...this.#toElement(pen));
      for (const [x, y] of corners) path.rect(x - 3, y - 3, 6, 6);
    }
    // Light on dark, so that it is seen on any tissue.
    for (const [width, style] of [
      [3.5, "#000000a0"],
      [1.5, "#ffffff"],
    ]) {
      Object.assign(context, { lineWidth: width, strokeStyle: style });
      context.stroke(path);
    }
  }

  #toPicture([x, y]) {
    return [(x - this.origin[0]) / this.scale, (y - this.origin[1]) / this.scale];
  }

  #toElement([x, y]) {
    return [x * this.scale + this.origin[0], y * this.scale + this.origin[1]];
  }

  #at(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  // The pen ----------------------------------------------------------------------------------------------------------

  get isDrawing() {
    return Boolean(this.last || this.points.length);
  }

  #penDown(point) {
    if (!this.editor.mask) {
      if (this.editor.video?.final) this.announce("This video is marked as final. Press F to work on it again.");
      return;
    }
    if (this.tool === "polygon") return this.#addPoint(point);
    this.editor.mask.beginStroke();
    this.touched = null;
    this.last = point;
    this.#paintTo(point);
  }

  #paintTo(point) {
    const id = this.tool === "eraser" ? 0 : this.editor.lesion;
    const rectangle = this.editor.mask.paintLine(...this.last, ...point, this.radius, id);
    this.last = point;
    this.touched = union(this.touched, rectangle);
    if (rectangle) this.editor.touch(rectangle, { isStrokeDone: false });
  }

  #penUp() {
    if (!this.last) return;
    this.last = null;
    if (this.touched) {
      this.editor.mask.endStroke(this.touched);
      this.editor.touch(this.touched);
    } else {
      this.editor.mask.cancelStroke();
    }
  }

  #addPoint(point) {
    const [first] = this.points;
    const near = first && Math.hypot(point[0] - first[0], point[1] - first[1]) * this.scale < CLOSES;
    if (near && this.points.length > 2) return this.closePolygon();
    this.points.push(point);
    this.#drawGuide();
  }

  closePolygon() {
    const { points, editor } = this;
    this.points = [];
    if (points.length > 2) {
      editor.mask.stroke(() => (this.touched = editor.mask.fillPolygon(points, editor.lesion)));
      editor.touch(this.touched);
    }
    this.#drawGuide();
  }

  /** Give up what is being drawn. */
  cancel() {
    if (this.last) {
      this.editor.shown.mask.cancelStroke();
      this.editor.touch(null, { isStrokeDone: false });
    }
    this.last = null;
    this.points = [];
    this.#drawGuide();
  }

  /** The stroke belongs to the frame on which it was begun: it is finished there. */
  #leaveFrame() {
    const { shown, frame } = this.editor;
    if (shown && shown.frame === frame) return;
    if (shown && this.last) {
      this.last = null;
      shown.mask.endStroke(this.touched);
      this.editor.touch(this.touched);
    }
    this.points = [];
    this.#drawGuide();
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
      if (this.tool !== "polygon") this.cancel(); // a second finger: it was no stroke, but the first of a pinch
      return;
    }
    this.cursor = null;
    this.#penDown(this.#toPicture(this.#at(event)));
  }

  #pointerMove(event) {
    const at = this.#at(event);
    this.hover = event.pointerType === "touch" ? null : this.#toPicture(at);
    if (this.isMoving && this.pointers.has(event.pointerId)) {
      this.#pinch(event.pointerId, at);
    } else if (this.last) {
      // All the points since the last frame of the screen: a fast stroke stays round.
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) this.#paintTo(this.#toPicture(this.#at(step)));
    }
    this.#drawGuide();
  }

  #pointerUp(event) {
    this.pointers.delete(event.pointerId);
    if (!this.isMoving) this.#penUp();
    if (!this.pointers.size) this.isMoving = false;
  }

  #pointerCancel(event) {
    this.pointers.delete(event.pointerId);
    if (this.last) this.cancel();
  }

  #pointerLeave() {
    this.hover = null;
    this.#drawGuide();
  }

  #doubleClick() {
    if (this.points.length) this.closePolygon();
  }

  /** Let the points of the picture under the fingers stay there: one moves it, two zoom as well. */
  #pinch(moved, at) {
    const spread = () => {
      const [a, b] = [...this.pointers.values()];
      return b
        ? { at: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], size: Math.hypot(a[0] - b[0], a[1] - b[1]) }
        : { at: a, size: 1 };
    };
    const before = spread();
    const point = this.#toPicture(before.at);
    this.pointers.set(moved, at);
    const after = spread();
    this.zoom = Math.max(1, Math.min(LARGEST_ZOOM, (this.zoom * after.size) / (before.size || 1)));
    this.#layOut();
    this.#moveBy(point, after.at);
  }

  #wheel(event) {
    event.preventDefault();
    if (this.editor.shown) this.zoomBy(Math.exp(-event.deltaY / 400), this.#at(event));
  }

  // The keyboard -----------------------------------------------------------------------------------------------------

  /** Give the pen to the keys, or take it back. */
  toggleCursor() {
    if (!this.editor.mask) return;
    this.cancel();
    this.cursor = this.cursor ? null : [this.centre[0] * this.overlay.width, this.centre[1] * this.overlay.height];
    this.#drawGuide();
    this.onChange();
    this.announce(
      this.cursor
        ? "The arrow keys move the pen (with Shift in larger steps), Space puts it down and lifts it, K gives it back."
        : "The arrow keys step through the frames again.",
    );
  }

  /** Act on a key that belongs to what is being drawn; returns whether it did. */
  takeKey({ key, shiftKey }) {
    if (key === "Escape" && (this.isDrawing || this.cursor)) {
      if (this.isDrawing) this.cancel();
      else this.toggleCursor();
      return true;
    }
    if (key === "Enter" && this.points.length) {
      this.closePolygon();
      return true;
    }
    if (key === "Backspace" && this.points.length) {
      this.points.pop();
      this.#drawGuide();
      return true;
    }
    if (!this.cursor || !this.editor.mask) return false;
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (direction) {
      const { width, height } = this.overlay;
      const step = (shiftKey ? 0.05 : 0.01) * width;
      const [x, y] = this.cursor;
      this.cursor = [
        Math.max(0, Math.min(width, x + step * direction[0])),
        Math.max(0, Math.min(height, y + step * direction[1])),
      ];
      if (this.last) this.#paintTo(this.cursor);
    } else if (key === " ") {
      if (this.last) this.#penUp();
      else this.#penDown(this.cursor);
    } else {
      return false;
    }
    this.#drawGuide();
    return true;
  }
}
