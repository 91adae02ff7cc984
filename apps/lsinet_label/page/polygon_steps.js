/** The steps by which people made the open polygon of a frame, to undo them and do them again. */

export class PolygonSteps {
  constructor() {
    this.forget();
  }

  forget() {
    this.done = []; // {polygon before the step, or null; at, in milliseconds}
    this.undone = []; // {polygon after the step, or null; at}
  }

  /** When the last step was made; 0 without one, as after a reload. */
  get lastAt() {
    return this.done.at(-1)?.at ?? 0;
  }

  /** When the step was made that can be done again; Infinity without one. */
  get nextAt() {
    return this.undone.at(-1)?.at ?? Infinity;
  }

  /** @param {?object} polygon  the open polygon */
  canUndo(polygon) {
    return Boolean(polygon) || this.done.length > 0;
  }

  /** Note a step. @param {?object} before  the polygon before it */
  add(before) {
    this.done.push({ polygon: before, at: performance.now() });
    this.undone = [];
  }

  /** Take the last step back; returns the polygon before it. A reload forgets the steps: then the last corner goes. */
  undo(polygon) {
    const { polygon: before, at } = this.done.pop() ?? { polygon: withoutLast(polygon), at: 0 };
    this.undone.push({ polygon, at });
    return before;
  }

  /** Do a step again; returns the polygon after it. */
  redo(polygon) {
    const { polygon: after, at } = this.undone.pop();
    this.done.push({ polygon, at });
    return after;
  }
}

/** A polygon without its last corner; null if none is left, or if it is an outline, which has no last one. */
function withoutLast(polygon) {
  const points = polygon.points.slice(0, -1);
  return points.length && polygon.replaces === undefined ? { ...polygon, points } : null;
}
