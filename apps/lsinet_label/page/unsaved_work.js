/** What is not saved on the server: changed masks and open polygons of all videos. The browser keeps a copy of each. */

import * as drafts from "./drafts.js";
import { FrameMask } from "./mask.js";
import { decodePng } from "./png.js";
import { PolygonSteps } from "./polygon_steps.js";

export class UnsavedWork {
  #masks = new Map(); // video id -> Map of frame -> FrameMask
  #polygons = new Map(); // video id -> Map of frame -> {points, lesion, isErasing, replaces: a pixel of the part whose
  // outline it is, if it is one}
  #steps = new Map(); // video id -> Map of frame -> PolygonSteps, also of polygons that were dropped

  /** The frames of a video with changes that are not saved, in order. */
  frames(id) {
    const changed = [...of(this.#masks, id)].filter(([, mask]) => mask.isChanged).map(([frame]) => frame);
    return [...new Set([...changed, ...of(this.#polygons, id).keys()])].sort((a, b) => a - b);
  }

  /** The mask of a frame, if it was ever changed. */
  mask(id, frame) {
    return of(this.#masks, id).get(frame);
  }

  /** Keep a changed mask; while a stroke goes on, in the page only. */
  setMask(id, frame, mask, isStrokeDone = true) {
    of(this.#masks, id).set(frame, mask);
    if (isStrokeDone) drafts.keepMask(id, frame, mask);
  }

  dropMask(id, frame) {
    of(this.#masks, id).delete(frame);
    drafts.forgetMask(id, frame);
  }

  /** The open polygon of a frame, or null. */
  polygon(id, frame) {
    return of(this.#polygons, id).get(frame) ?? null;
  }

  /** Keep the open polygon of a frame; null: it has none any more. */
  setPolygon(id, frame, polygon) {
    if (polygon) {
      of(this.#polygons, id).set(frame, polygon);
      drafts.keepPolygon(id, frame, polygon);
    } else if (of(this.#polygons, id).delete(frame)) {
      drafts.forgetPolygon(id, frame);
    }
  }

  /** The steps of the frame's polygon. They last as long as the page. */
  polygonSteps(id, frame) {
    const steps = of(this.#steps, id);
    if (!steps.has(frame)) steps.set(frame, new PolygonSteps());
    return steps.get(frame);
  }

  /** Drop the mask and the polygon of a frame. */
  drop(id, frame) {
    this.dropMask(id, frame);
    this.polygonSteps(id, frame).forget();
    this.setPolygon(id, frame, null);
  }

  /** Take over what the browser kept of an earlier visit. What this page has comes first. */
  async restore(id) {
    const { masks, polygons } = await drafts.kept(id);
    for (const { frame, polygon } of polygons)
      if (!this.polygon(id, frame)) of(this.#polygons, id).set(frame, polygon);
    for (const { frame, png, version } of masks) {
      if (this.mask(id, frame)?.isChanged) continue;
      const { width, height, labels } = await decodePng(png);
      const mask = new FrameMask(width, height, labels, version, "corrected");
      mask.markChanged();
      of(this.#masks, id).set(frame, mask);
    }
  }
}

/** The entry of a video, which is made if there is none. */
function of(map, id) {
  if (!map.has(id)) map.set(id, new Map());
  return map.get(id);
}
