/** The pen: all changes of the current mask, by brush, eraser, polygon or command. */

import { nameOfLesion } from "./lesion_list.js";
import { union } from "./mask.js";
import { IS_FINAL, say } from "./messages.js";
import { distanceToLine, largestPart, outlineOf, partAround } from "./outline.js";

// In pixels of the screen:
const OUTLINE_TOLERANCE = 2.5; // of an outline that is made into a polygon
const NEAR_LINE = 6; // a click this close to a polygon's line sets a corner on it
const CLOSES = 12; // a click this close to a polygon's corner means it
const TRACE_STEP = 4; // between two points of a line drawn freehand
const SPACE = { points: "Space sets a point in the lesion, Shift+Space one outside, Shift+B a box." };
const SHORTEST_TRACE = 8; // points: an outline drawn freehand closes by itself, a shorter line stays open

/** All points are [x, y] on the picture. */
export class Pen {
  /**
   * @param {() => void} onMove    called when the guide must be drawn again
   * @param {() => void} onChange  called when the tool, its size, or who moves it changes
   */
  constructor(editor, view, onMove, onChange) {
    Object.assign(this, { editor, view, onMove, onChange });
    this.tool = "brush";
    this.radius = 12; // pixels of the screen: the closer the picture, the finer the brush
    this.hover = null; // where the mouse is
    this.cursor = null; // where the keys have moved the pen; null while the mouse moves it
    this.last = null; // the end of the stroke in progress
    this.isErasing = false; // whether this stroke erases
    this.painted = null; // the rectangle that it has painted on
    this.grabbed = null; // the corner that the pointer holds: {place, at, isErasing, trace}; place -1: a new one
    editor.addEventListener("frame", () => this.#leaveFrame());
  }

  setTool(tool) {
    this.cancelStroke();
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
    return Boolean(this.last || this.grabbed);
  }

  /** Where the pen is, or null. */
  get tip() {
    return this.cursor ?? this.hover;
  }

  // Strokes ----------------------------------------------------------------------------------------------------------

  /** @param {boolean} isErasing  the brush erases, or the polygon cuts out (a modifier is held down) */
  down(point, isErasing = false) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (this.tool === "polygon") {
      this.#grab(point, isErasing);
      return;
    }
    mask.beginStroke();
    this.painted = null;
    this.last = point;
    this.isErasing = isErasing || this.tool === "eraser";
    this.paintTo(point);
  }

  paintTo(point) {
    if (this.grabbed) {
      this.#drag(point);
      return;
    }
    const id = this.isErasing ? 0 : this.editor.lesion;
    const rectangle = this.editor.mask.paintLine(...this.last, ...point, this.radius / this.view.scale, id);
    this.last = point;
    this.painted = union(this.painted, rectangle);
    if (rectangle) this.editor.markPainted(rectangle, { isStrokeDone: false });
  }

  up() {
    if (this.grabbed) {
      this.#letGo();
      return;
    }
    if (!this.last) return;
    this.last = null;
    if (this.painted) {
      this.editor.mask.endStroke(this.painted);
      this.editor.markPainted(this.painted);
    } else {
      this.editor.mask.cancelStroke();
    }
  }

  /** Drop the stroke in progress, and the corner that is held. An open polygon stays. */
  cancelStroke() {
    if (this.last) {
      this.editor.shown.mask.cancelStroke();
      this.editor.markPainted(null, { isStrokeDone: false });
    }
    this.last = null;
    this.grabbed = null;
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
    this.grabbed = null;
    this.onMove();
  }

  // Polygons ---------------------------------------------------------------------------------------------------------

  /** The corners of the frame's open polygon. */
  get points() {
    const { grabbed } = this;
    const points = this.editor.polygon?.points ?? [];
    return points.map((point, i) => (grabbed?.place === i ? grabbed.at : point));
  }

  /** Whether the open polygon is the outline of a part that it will replace. */
  get isOutline() {
    return this.editor.polygon?.replaces !== undefined;
  }

  #setPoints(points, isErasing = false) {
    const before = this.editor.polygon;
    this.editor.polygonSteps.add(before);
    const polygon = before ?? { lesion: this.editor.lesion, isErasing };
    this.#setPolygon(points.length ? { ...polygon, points, isTouched: true } : null);
  }

  #setPolygon(polygon) {
    this.editor.setPolygon(polygon);
    this.onMove();
  }

  /** Make the outline of the chosen lesion's largest part a polygon, to move, add and remove its corners. */
  editOutline() {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (this.points.length) return say("A polygon is open: close it (Enter) or drop it (Esc) first.");
    const { lesion } = this.editor;
    const seed = largestPart(mask, lesion);
    if (seed === null) return say("This frame does not show the chosen lesion.");
    const points = outlineOf(partAround(mask, seed), mask.width, OUTLINE_TOLERANCE / this.view.scale);
    this.setTool("polygon");
    this.editor.polygonSteps.forget();
    this.#setPolygon({ points, lesion, isErasing: false, replaces: seed });
    say("Pull the corners; click the line for a new one, right-click a corner to remove it. Enter: done, Esc: drop it.");
  }

  /** Hold a corner near a point, or one that the pointer is about to set. */
  #grab(point, isErasing) {
    const { points } = this;
    let place = points.findIndex((corner) => this.#distance(corner, point) < CLOSES);
    const { isOutline } = this;
    if (place < 0 && points.length > 2) {
      const ends = points.map((corner, i) => [corner, points[(i + 1) % points.length]]);
      const lines = isOutline ? ends : ends.slice(0, -1);
      const line = lines.findIndex((pair) => distanceToLine(point, ...pair) * this.view.scale < NEAR_LINE);
      if (line >= 0) {
        place = line + 1;
        this.#setPoints([...points.slice(0, place), point, ...points.slice(place)]);
      } else if (isOutline) {
        return;
      }
    }
    this.grabbed = { place, at: place < 0 ? point : this.points[place], isErasing, trace: [point] };
    this.onMove();
  }

  #drag(point) {
    const { grabbed } = this;
    if (this.#distance(grabbed.trace.at(-1), point) < TRACE_STEP) return;
    grabbed.at = point;
    grabbed.trace.push(point);
    this.onMove();
  }

  /** A click sets a corner, or closes the polygon at its first one. A pull moves a corner, or draws a line freehand. */
  #letGo() {
    const { grabbed, points } = this;
    this.grabbed = null;
    const isClick = grabbed.trace.length === 1;
    if (grabbed.place >= 0) {
      if (!isClick) this.#setPoints(points);
      else if (grabbed.place === 0 && points.length > 2 && !this.isOutline) this.closePolygon();
      return;
    }
    this.#setPoints([...points, ...grabbed.trace], points.length ? undefined : grabbed.isErasing);
    if (grabbed.trace.length >= SHORTEST_TRACE) this.closePolygon();
  }

  /** Remove the corner nearest to a point, if one is near. */
  removeCorner(point) {
    this.grabbed = null;
    const { points } = this;
    const distances = points.map((corner) => this.#distance(corner, point));
    const nearest = distances.indexOf(Math.min(...distances));
    if (points.length && distances[nearest] < CLOSES) this.#setPoints(points.filter((_, i) => i !== nearest));
  }

  /** Fill the open polygon, or cut it out; returns whether none is open any more. */
  closePolygon() {
    const { points, editor } = this;
    if (!points.length) return true;
    const mask = this.#maskToEdit();
    if (!mask) return false;
    if (points.length < 3) {
      say("The polygon has fewer than 3 corners: add some, or press Esc to drop it.");
      return false;
    }
    const { lesion, isErasing, replaces, isTouched } = editor.polygon;
    this.dropPolygon();
    editor.polygonSteps.forget();
    if (!isTouched) return true; // an outline whose corners nobody has moved
    this.#paint(mask, () => {
      const isThere = replaces !== undefined && mask.labels[replaces] === lesion;
      const cleared = isThere ? mask.clearPart(partAround(mask, replaces)) : null;
      return union(cleared, mask.fillPolygon(points, isErasing ? 0 : lesion));
    });
    return true;
  }

  /** Drop the open polygon. Ctrl+Z brings it back. */
  dropPolygon() {
    this.grabbed = null;
    this.#setPoints([]);
  }

  /** Pixels of the screen between two points. */
  #distance([x0, y0], [x1, y1]) {
    return Math.hypot(x1 - x0, y1 - y0) * this.view.scale;
  }

  /** End the stroke in progress and close the polygon, before the mask is saved; returns whether that succeeded. */
  finish() {
    this.up();
    return this.closePolygon();
  }

  // Commands ---------------------------------------------------------------------------------------------------------

  /** Clear a lesion from the frame; null: all of them. */
  clear(id) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (id !== null && !mask.ids().includes(id)) return say("This frame does not show the chosen lesion.");
    this.#paint(mask, () => mask.replace(id, 0), { isMeant: id === null });
    say(
      id === null
        ? "No polyp in this frame. Save it, or save and propagate. Ctrl+Z undoes it."
        : `${nameOfLesion(this.editor, id)} is cleared from this frame. Ctrl+Z undoes it.`,
    );
  }

  /** Clear all lesions but one from the frame. */
  keepOnly(id) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    const ids = mask.ids();
    if (!ids.includes(id) || ids.length === 1) return say("The frame shows no other lesion, or not the chosen one.");
    this.#paint(mask, () => mask.keepOnly(id));
    say("All other lesions are cleared from this frame. Ctrl+Z undoes it.");
  }

  /** Undo what was done last in this frame: a stroke, or a step of the polygon, whichever tool is chosen now. */
  undo() {
    const { mask, polygon, polygonSteps } = this.editor;
    const isLast = polygonSteps.lastAt >= (mask?.lastStroke ?? 0);
    if (mask && isLast && polygonSteps.canUndo(polygon)) this.undoPolygon();
    else this.#step("undo");
  }

  redo() {
    const { mask, polygon, polygonSteps } = this.editor;
    if (mask && polygonSteps.nextAt < mask.nextStroke) this.#setPolygon(polygonSteps.redo(polygon));
    else this.#step("redo");
  }

  /** Take back the last step of the polygon. */
  undoPolygon() {
    const { polygon, polygonSteps } = this.editor;
    this.#setPolygon(polygonSteps.undo(polygon));
  }

  #step(direction) {
    const mask = this.#maskToEdit();
    if (!mask) return;
    if (mask[direction]()) this.editor.markPainted(null);
    else say(`There is nothing to ${direction} in this frame.`);
  }

  /** Paint on the mask as one stroke. */
  #paint(mask, paint, reason) {
    let rectangle = null;
    mask.stroke(() => (rectangle = paint()), reason);
    this.editor.markPainted(rectangle);
  }

  /** The mask, or null if it cannot be changed: a message says so, unless it is loading. */
  #maskToEdit() {
    const { mask, video, damaged } = this.editor;
    if (!mask && video?.final) say(IS_FINAL);
    else if (damaged) say(damaged);
    return mask;
  }

  // Moved by the keys ------------------------------------------------------------------------------------------------

  /** Let the arrow keys move the pen, or step through the frames again. */
  toggleCursor() {
    if (!this.canDraw) return;
    this.cancelStroke();
    this.cursor = this.cursor ? null : this.view.middle;
    this.onMove();
    this.onChange();
    say(
      this.cursor
        ? `The arrow keys move the pen (Shift: farther). ${SPACE[this.tool] ?? "Space starts and ends a stroke."} K ends this.`
        : "The arrow keys step through the frames again.",
    );
  }

  moveCursor(dx, dy) {
    const [width, height] = this.view.size;
    const [x, y] = this.cursor;
    this.cursor = [Math.max(0, Math.min(width, x + dx)), Math.max(0, Math.min(height, y + dy))];
    if (this.last || this.grabbed) this.paintTo(this.cursor);
  }
}
