/** The pen: all changes of the current mask, by brush, eraser, polygon or command. */

import { union } from "./mask.js";
import { IS_FINAL, say } from "./messages.js";

const CLOSES = 14; // a click this close to a polygon's first point closes it, in pixels of the screen

/** All points are [x, y] on the picture. */
export class Pen {
  /**
   * @param {() => void} onMove    called when the guide must be drawn again
   * @param {() => void} onChange  called when the tool, its size, or who moves it changes
   */
  constructor(editor, view, onMove, onChange) {
    Object.assign(this, { editor, view, onMove, onChange });
    this.tool = "brush";
    this.radius = 12; // pixels of the picture
    this.hover = null; // where the mouse is
    this.cursor = null; // where the keys have moved the pen; null while the mouse moves it
    this.last = null; // the end of the stroke in progress
    this.painted = null; // the rectangle that this stroke has painted on
    this.points = []; // of the polygon in progress
    editor.addEventListener("frame", () => this.#leaveFrame());
  }

  setTool(tool) {
    this.cancel();
    this.tool = tool;
    this.onMove();
    this.onChange();
  }

  setRadius(radius) {
    this.radius = Math.max(1, Math.min(100, Math.round(radius)));
    this.onMove();
    this.onChange();
  }

  get canDraw() {
    return Boolean(this.editor.mask);
  }

  get isDrawing() {
    return Boolean(this.last || this.points.length);
  }

  /** Where the pen is, or null. */
  get tip() {
    return this.cursor ?? this.hover;
  }

  // Strokes and polygons ---------------------------------------------------------------------------------------------

  down(point) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (this.tool === "polygon") {
      this.#addPoint(point);
      return;
    }
    mask.beginStroke();
    this.painted = null;
    this.last = point;
    this.paintTo(point);
  }

  paintTo(point) {
    const id = this.tool === "eraser" ? 0 : this.editor.lesion;
    const rectangle = this.editor.mask.paintLine(...this.last, ...point, this.radius, id);
    this.last = point;
    this.painted = union(this.painted, rectangle);
    if (rectangle) this.editor.markPainted(rectangle, { isStrokeDone: false });
  }

  up() {
    if (!this.last) return;
    this.last = null;
    if (this.painted) {
      this.editor.mask.endStroke(this.painted);
      this.editor.markPainted(this.painted);
    } else {
      this.editor.mask.cancelStroke();
    }
  }

  #addPoint(point) {
    const [first] = this.points;
    const isNear = first && Math.hypot(point[0] - first[0], point[1] - first[1]) * this.view.scale < CLOSES;
    if (isNear && this.points.length > 2) {
      this.closePolygon();
      return;
    }
    this.points.push(point);
    this.onMove();
  }

  removeLastPoint() {
    this.points.pop();
    this.onMove();
  }

  closePolygon() {
    const { points, editor } = this;
    this.points = [];
    if (points.length > 2) this.#paint(editor.mask, () => editor.mask.fillPolygon(points, editor.lesion));
    this.onMove();
  }

  /** Drop the stroke or polygon in progress. */
  cancel() {
    if (this.last) {
      this.editor.shown.mask.cancelStroke();
      this.editor.markPainted(null, { isStrokeDone: false });
    }
    this.last = null;
    this.points = [];
    this.onMove();
  }

  /** Finish the stroke in progress before another frame is shown. */
  #leaveFrame() {
    const { shown, frame } = this.editor;
    if (shown && shown.frame === frame) return;
    if (shown && this.last) {
      this.last = null;
      shown.mask.endStroke(this.painted);
      this.editor.markPainted(this.painted);
    }
    this.points = [];
    this.onMove();
  }

  // Commands ---------------------------------------------------------------------------------------------------------

  /** Clear a lesion from the frame; null: all of them. */
  clear(id) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    this.#paint(mask, () => mask.replace(id, 0));
    say(
      id === null
        ? `No polyp in frame ${this.editor.frame}. Save it, or save and propagate.`
        : `Lesion ${id} is cleared from this frame.`,
    );
  }

  undo() {
    this.#step("undo");
  }

  redo() {
    this.#step("redo");
  }

  #step(direction) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (mask[direction]()) this.editor.markPainted(null);
    else say(`There is nothing to ${direction} in this frame.`);
  }

  /** Paint on the mask as one stroke. */
  #paint(mask, paint) {
    let rectangle = null;
    mask.stroke(() => (rectangle = paint()));
    this.editor.markPainted(rectangle);
  }

  /** The mask, or null if it cannot be changed; if the video is final, a message says so. */
  #maskToEdit() {
    const { mask, video } = this.editor;
    if (!mask && video?.final) say(IS_FINAL);
    return mask;
  }

  // Moved by the keys ------------------------------------------------------------------------------------------------

  /** Let the arrow keys move the pen, or step through the frames again. */
  toggleCursor() {
    if (!this.canDraw) return;
    this.cancel();
    this.cursor = this.cursor ? null : this.view.middle;
    this.onMove();
    this.onChange();
    say(
      this.cursor
        ? "The arrow keys move the pen (Shift: farther). Space starts and ends a stroke. K ends this."
        : "The arrow keys step through the frames again.",
    );
  }

  moveCursor(dx, dy) {
    const [width, height] = this.view.size;
    const [x, y] = this.cursor;
    this.cursor = [Math.max(0, Math.min(width, x + dx)), Math.max(0, Math.min(height, y + dy))];
    if (this.last) this.paintTo(this.cursor);
  }
}
