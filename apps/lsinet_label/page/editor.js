/** The state of the work: the open video, the current frame, and all unsaved changes. */

import { doubtfulFrames } from "./doubt.js";
import { reachOf, runOf } from "./frame_ranges.js";
import { FrameMask, newLesion } from "./mask.js";
import { cannotRead } from "./messages.js";
import { decodePng } from "./png.js";
import { saveMask } from "./saving.js";
import { UnsavedWork } from "./unsaved_work.js";
import { FrameWindow, framesAround } from "./window.js";

/** The video. If it has no lesion, a first one is added, which can be drawn. */
function withLesion(video) {
  if (video.lesions.length) return video;
  return { ...video, lesions: [newLesion(video.free_lesion ?? 1)], hasNewLesion: true };
}

/**
 * Events: "video" (a video was opened or updated), "frame" (the current frame changed), "shown" (its picture and mask
 * are loaded), "lesion" (the pen draws another lesion), "mask" (the mask was painted on; detail: rectangle, null: all),
 * "drafts" (a mask or an open polygon was changed, saved or discarded), "selection" (other frames are selected),
 * "previews" (other previews are shown), "problem" (the current frame is damaged).
 */
export class Editor extends EventTarget {
  constructor(api) {
    super();
    this.api = api;
    this.video = null;
    this.frame = 0;
    this.savedAt = -Infinity; // when this page saved a mask last, in milliseconds
    this.shown = null; // {frame, picture, mask} on the stage
    this.damaged = null; // why the current frame cannot be read, as a line; null if it can
    this.lesion = 1; // id of the lesion that the pen draws
    this.chosenAt = -Infinity; // the frame where it was last chosen or drawn
    this.work = new UnsavedWork();
    this.anchor = null; // the frame where the selected stretch begins; it ends at the current one
    this.previews = new Map(); // frame -> FrameMask that a mask which is not saved would spread, see spread_preview.js
    this.changed = []; // frames that the last propagation changed: [{frame, change}], change is 1 - IoU
    this.pictures = new FrameWindow(
      (n, signal) => api.picture(this.video.id, n, signal),
      (picture) => picture.close(),
      3,
    );
    this.masks = new FrameWindow(
      (n, signal) => this.#loadMask(n, signal),
      () => {},
      2,
    );
  }

  get lastFrame() {
    return Math.max(0, (this.video?.frames ?? 1) - 1);
  }

  /** The mask to edit; null while the frame is loading, or if the video is final. */
  get mask() {
    return this.shown?.frame === this.frame && !this.video.final ? this.shown.mask : null;
  }

  get colours() {
    return new Map(this.video?.lesions.map(({ id, colour }) => [id, colour]));
  }

  /** The frames with a mask that a person saved, without those that are only checked. */
  get corrected() {
    return new Set(this.video?.corrections.filter(({ how }) => how !== "checked").map(({ frame }) => frame));
  }

  get checked() {
    return new Set(this.video?.corrections.filter(({ how }) => how === "checked").map(({ frame }) => frame));
  }

  /** The selected frames as {first, last}, or null. The last one is the current one until `endSelection`. */
  get selection() {
    const { anchor, other = this.frame } = this;
    return anchor === null ? null : { first: Math.min(anchor, other), last: Math.max(anchor, other) };
  }

  /** The frames in a row around the current one that show a lesion, as {first, last}; null if this one does not. */
  runOf(lesion) {
    return runOf(lesion, this.frame, this.video.lesions_in);
  }

  /**
   * The frames that a correction of a frame reaches, as {first, last}, or those of them that are selected: not beyond
   * the next ones that are saved or checked, or that have changes of this page, which would else be overwritten.
   */
  reachFrom(frame, selection = this.selection) {
    const people = [...this.video.corrections.map((correction) => correction.frame), ...this.unsaved];
    return reachOf(frame, this.lastFrame, people, selection);
  }

  /** Begin a selection at a frame; null drops it. */
  select(anchor) {
    Object.assign(this, { anchor, other: undefined });
    this.#emit("selection");
  }

  /** Let the selection end at the current frame, wherever people look next. */
  endSelection() {
    if (this.anchor === null) return;
    this.other ??= this.frame;
    this.#emit("selection");
  }

  /** The frame that the last propagation changed most, {frame, change}, or null. */
  get mostChanged() {
    return this.changed.reduce((most, next) => (most && most.change >= next.change ? most : next), null);
  }

  get doubtful() {
    return this.video ? doubtfulFrames(this.video.doubt, this.video.fps, this.video.unclear) : [];
  }

  /** Show what a propagation changed: [{frame, change}]. */
  showChanged(changed) {
    this.changed = changed;
    this.#emit("drafts");
  }

  /** The frames of the open video with changes that are not saved. */
  get unsaved() {
    return this.video ? this.unsavedOf(this.video.id) : [];
  }

  unsavedOf(id) {
    return this.work.frames(id);
  }

  /** The open polygon of the current frame, or null. */
  get polygon() {
    return this.polygonAt(this.frame);
  }

  polygonAt(frame) {
    return this.work.polygon(this.video?.id, frame);
  }

  /** The steps of the current frame's polygon, see polygon_steps.js. */
  get polygonSteps() {
    return this.work.polygonSteps(this.video?.id, this.frame);
  }

  /** When people changed the current frame last, or saved one, in milliseconds. */
  get changedAt() {
    return Math.max(this.mask?.lastStroke ?? 0, this.polygonSteps.lastAt, this.savedAt);
  }

  /** Keep the open polygon of the current frame; null: it has none any more. */
  setPolygon(polygon) {
    this.work.setPolygon(this.video.id, this.frame, polygon);
    this.#emit("drafts");
  }

  /** The time of a frame in seconds. */
  secondsAt(frame) {
    return this.video.seconds?.[frame] ?? frame / (this.video.fps || 25);
  }

  // Videos and frames ------------------------------------------------------------------------------------------------

  async open(id, frame = 0) {
    this.opening = id;
    const video = withLesion(await this.api.video(id));
    if (this.opening !== id) return; // another one was chosen meanwhile
    this.pictures.clear();
    this.masks.clear();
    Object.assign(this, { video, problem: null, shown: null, changed: [], frame: 0, anchor: null, other: undefined });
    this.lesion = video.lesions[0].id;
    this.chosenAt = -Infinity;
    await this.work.restore(id);
    this.#emit("video");
    this.#emit("selection");
    this.#emit("drafts");
    this.seek(frame);
  }

  /** Show no video. `problem`: why the chosen one could not be opened. */
  close(problem = null) {
    this.opening = null;
    this.pictures.clear();
    this.masks.clear();
    Object.assign(this, { video: null, problem, shown: null, damaged: null, changed: [], frame: 0, anchor: null, other: undefined });
    this.#emit("shown");
    this.#emit("video");
    this.#emit("selection");
  }

  /** Close a video that was removed, and drop its drafts. */
  forget(id) {
    for (const frame of this.unsavedOf(id)) this.work.drop(id, frame);
    if (this.video?.id === id) this.close();
  }

  /** Load the video again, and the masks that others have changed. */
  async refresh() {
    const id = this.video?.id;
    if (!id) return;
    const video = withLesion(await this.api.video(id));
    if (this.video?.id !== id) return;
    const stamp = ({ frame, user, time, version }) => `${frame} ${user} ${time} ${version}`;
    const before = new Set(this.video.corrections.map(stamp));
    const after = new Set(video.corrections.map(stamp));
    const differs = [
      ...video.corrections.filter((correction) => !before.has(stamp(correction))),
      ...this.video.corrections.filter((correction) => !after.has(stamp(correction))),
    ];
    this.video = video;
    if (!video.lesions.some(({ id }) => id === this.lesion)) this.lesion = video.lesions[0].id;
    this.#emit("video");
    this.reload(differs.map(({ frame }) => frame));
  }

  /** Load the masks of these frames (null: all) again, except those with unsaved changes. */
  reload(frames) {
    this.masks.drop(...(frames ?? this.masks.entries.keys()));
    if (this.video?.frames !== 0) this.seek(this.frame);
  }

  async seek(frame) {
    const { video } = this;
    if (!video) return;
    const target = Math.max(0, Math.min(this.lastFrame, Math.round(frame)));
    const step = target < this.frame ? -1 : 1;
    this.frame = target;
    this.damaged = null;
    this.#emit("frame");
    if (this.anchor !== null) this.#emit("selection");
    const wanted = framesAround(target, step, this.lastFrame, 5 * (video.width || 1280) * (video.height || 1024));
    // The current frame loads first, then those around it.
    const loads = [this.pictures.get(target), this.masks.get(target)];
    this.pictures.move(wanted);
    this.masks.move(wanted);
    try {
      const [picture, mask] = await Promise.all(loads);
      if (this.video !== video && this.video?.id !== video.id) return;
      if (this.frame === target) this.#show(picture, mask);
    } catch (error) {
      if (error.name === "AbortError" || this.frame !== target || this.video?.id !== video.id) return;
      Object.assign(this, { shown: null, damaged: cannotRead(error) });
      this.#emit("shown");
      this.#emit("problem");
    }
  }

  /** Whether the player can show a frame at once. */
  isLoaded(frame) {
    return this.pictures.peek(frame) !== undefined && this.masks.peek(frame) !== undefined;
  }

  /** Whether a frame could not be loaded. */
  hasFailed(frame) {
    return this.pictures.failed.has(frame) || this.masks.failed.has(frame);
  }

  #show(picture, mask) {
    this.shown = { frame: this.frame, picture, mask: this.#asShown(mask) };
    // The pen draws the largest lesion of the frame, unless a person has just chosen another one.
    const [largest, ...others] = this.shown.mask.ids();
    const isFar = Math.abs(this.frame - this.chosenAt) > (this.video.fps || 25);
    if (largest && isFar && ![largest, ...others].includes(this.lesion)) this.lesion = largest;
    this.#emit("shown");
  }

  /** The mask to show of a frame: its preview, unless people have changed the frame. */
  #asShown(mask) {
    const preview = this.previews.get(this.frame);
    if (!preview || mask.isChanged) return mask;
    return Object.assign(preview, { stored: mask, version: mask.version });
  }

  /**
   * Show previews in place of the masks of frames that nobody has changed: Map of frame -> FrameMask.
   *
   * @param {boolean} now  also on the stage; if not, the current frame's mask stays there until people come back to it
   */
  showPreviews(previews, now = true) {
    this.previews = previews;
    const { shown, frame } = this;
    const mask = this.masks.peek(frame);
    const isHere = now && mask && shown?.frame === frame && !shown.mask.isChanged;
    if (isHere && this.#asShown(mask) !== shown.mask) this.#show(shown.picture, mask);
    this.#emit("previews");
  }

  async #loadMask(frame, signal) {
    const { id } = this.video;
    const draft = this.work.mask(id, frame);
    if (draft?.isChanged) return draft;
    const { png, version, source } = await this.api.mask(id, frame, signal);
    const { width, height, labels } = await decodePng(png);
    return new FrameMask(width, height, labels, version, source);
  }

  chooseLesion(id) {
    this.lesion = id;
    this.chosenAt = this.frame;
    this.#emit("lesion");
  }

  // Painting ---------------------------------------------------------------------------------------------------------

  /** Register that the mask on the stage was painted on. */
  markPainted(rectangle, { isStrokeDone = true } = {}) {
    const { mask, frame } = this.shown;
    this.chosenAt = frame;
    if (mask.isChanged) this.work.setMask(this.video.id, frame, mask, isStrokeDone);
    else this.work.dropMask(this.video.id, frame);
    const wasPreview = isStrokeDone && mask.isChanged && this.masks.peek(frame) !== mask;
    if (wasPreview) this.masks.drop(frame); // from now on it is the frame's mask
    if (isStrokeDone) this.#emit("drafts");
    this.#emit("mask", rectangle);
  }

  /** Drop the unsaved changes of a frame, and load its mask from the server. */
  async discard(frame) {
    this.work.drop(this.video.id, frame);
    this.reload([frame]);
    this.#emit("drafts");
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  /** Save the mask of a frame, see saving.js. */
  save(frame, options) {
    return saveMask(this, frame, options);
  }

  /** Register that the state of a mask is saved. `answer` is the server's; without its time, the video is as before. */
  markSaved(id, frame, mask, state, { version, user, time }) {
    mask.markSaved(state, version);
    this.savedAt = performance.now();
    if (mask.isChanged) this.work.setMask(id, frame, mask); // painted on while it was being saved
    else this.work.dropMask(id, frame);
    if (this.video.id === id && time) {
      const others = this.video.corrections.filter((correction) => correction.frame !== frame);
      const correction = { frame, user, time, empty: !mask.ids().length, how: "drawn", version };
      this.video.corrections = [...others, correction].sort((a, b) => a.frame - b.frame);
      this.video.doubt[frame] = null;
      this.#emit("video");
    }
    this.#emit("drafts");
  }

  #emit(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
