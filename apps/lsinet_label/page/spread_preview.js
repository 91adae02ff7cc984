/**
 * The preview of a spread: the masks that the frames around one would get if its mask were saved and propagated. It
 * comes by itself after each click of the point tool, the nearest frames first, and is drawn with a dashed outline.
 *
 * It is not a change: nothing of it is saved, kept as a draft, or exported until people accept it. If they draw on a
 * frame of it, what they see becomes their own mask of this frame.
 */

import { FrameMask } from "./mask.js";
import { complain, explain, say, shownNumber } from "./messages.js";
import { decodePng, encodePng, fromBase64, toBase64 } from "./png.js";

export class SpreadPreview {
  /** @param {() => boolean} isBusy  whether people draw or point at the moment: then no mask under them is replaced */
  constructor(api, editor, isBusy) {
    Object.assign(this, { api, editor, isBusy });
    this.from = null; // where it spreads from: {video, frame, mask, painted, people, reach}
    this.isComplete = false;
    this.hasFailed = false; // whether the server has ended it before it was complete
    this.call = null; // resolves when the server has begun to answer the last call
    this.job = null; // after it was accepted, the job that stores it; undefined until that is known
    this.isWhole = false; // whether people have seen all that this job will store
    this.seen = new Set(); // the jobs for which that was so
    editor.addEventListener("mask", () => this.#follow());
    editor.addEventListener("drafts", () => {
      if (this.isOpen && !this.from.mask.isChanged) this.drop(); // it was saved, discarded or undone
    });
    editor.addEventListener("video", () => this.#checkVideo());
  }

  /** Whether there is a preview that nobody has accepted yet. */
  get isOpen() {
    return this.from !== null && this.job === null;
  }

  /** The frame from which the preview at a frame spreads; the frame itself if it shows none. */
  origin(frame) {
    const { shown } = this.editor;
    return this.isOpen && shown?.frame === frame && shown.mask.isPreview ? this.from.frame : frame;
  }

  /** What the preview is, for people; empty without one. */
  get line() {
    if (!this.from) return "";
    const { isOpen, isComplete, from, editor } = this;
    const frames = [...editor.previews.keys(), from.frame];
    const [first, last] = [Math.min(...frames), Math.max(...frames)].map(shownNumber);
    if (!isOpen) return `Accepted: the frames ${first} to ${last} are being stored.`;
    const range = first === last ? "no frame" : `frames ${first} to ${last}`;
    if (this.hasFailed)
      return `The preview has ended early; it shows ${range}. Propagate (Enter) saves frame ${shownNumber(from.frame)} and propagates it.`;
    return `Preview, not saved: ${range}${isComplete ? "" : " so far"}. Propagate (Enter) accepts it.`;
  }

  // When it begins and ends ------------------------------------------------------------------------------------------

  /** A mask was changed. */
  #follow() {
    const { mask, frame, video } = this.editor;
    if (!mask || mask.isPainting) return;
    const { from } = this;
    const isHere = from?.mask === mask;
    if (isHere && from.painted === mask.painted) return;
    const isLeft = this.isOpen && !isHere;
    if (mask.isChanged && (isHere || mask.prompts.size)) this.#start({ video: video.id, frame, mask });
    else if (isLeft && mask.isChanged) this.drop();
    else return;
    if (!isLeft) return;
    const line = `The preview from frame ${shownNumber(from.frame)} has ended; that frame is not saved yet.`;
    setTimeout(() => say(line)); // after what the change itself says
  }

  /** Another video was opened, or people's masks have changed, on which the preview depends. */
  #checkVideo() {
    const { from, editor } = this;
    if (from && (editor.video?.id !== from.video || editor.video.final)) this.drop();
    else if (this.isOpen && this.#people(from.frame) !== from.people) this.#start(from);
  }

  /** People's masks of other frames, as text. */
  #people(frame) {
    const others = this.editor.video.corrections.filter((correction) => correction.frame !== frame);
    return JSON.stringify(others.map((correction) => [correction.frame, correction.version, correction.how]));
  }

  /** Drop a preview that people do not want. */
  dropByPeople() {
    if (!this.isOpen) return;
    say(`The preview is dropped; frame ${shownNumber(this.from.frame)} is not saved yet.`);
    this.drop();
  }

  drop() {
    if (!this.from) return;
    this.abort.abort();
    Object.assign(this, { from: null, job: null, isComplete: false, hasFailed: false });
    this.editor.showPreviews(new Map());
  }

  /** Ask the server how a mask would spread, and show what comes. */
  async #start({ video, frame, mask }) {
    this.drop();
    const { api, editor } = this;
    const { signal } = (this.abort = new AbortController());
    const reach = editor.reachFrom(frame, null);
    const from = { video, frame, mask, painted: mask.painted, people: this.#people(frame), reach };
    this.from = from;
    editor.showPreviews(new Map());
    try {
      const png = toBase64(await encodePng(mask.labels.slice(), mask.width, mask.height));
      const before = this.call;
      this.call = (async () => {
        await before?.catch(() => {});
        return signal.aborted ? [] : api.spread(video, frame, { mask: await png, ...reach }, signal);
      })();
      for await (const { frame: other, mask: found, complete, detail } of await this.call) {
        if (signal.aborted) return;
        if (detail) throw new Error(detail);
        if (complete) this.isComplete = true;
        if (found) {
          const { width, height, labels } = await decodePng(fromBase64(found));
          if (signal.aborted) return;
          editor.previews.set(other, new FrameMask(width, height, labels, 0, "none"));
        }
        editor.showPreviews(editor.previews, !this.isBusy());
      }
    } catch (error) {
      if (signal.aborted) return;
      this.hasFailed = true;
      editor.showPreviews(editor.previews, !this.isBusy());
      complain(`The preview has ended early: ${explain(error)}`);
    }
  }

  // Accepting it -----------------------------------------------------------------------------------------------------

  /** Accept the preview from a frame, which is about to be saved and propagated; returns its mask, or null. */
  accept(frame) {
    if (!this.isOpen || this.from.frame !== frame) return null;
    const { from, editor } = this;
    if (editor.selection || this.hasFailed) {
      this.drop(); // the selected frames alone change, or others than it shows
      return from.mask;
    }
    const { first, last } = editor.reachFrom(frame);
    const isSameReach = first === from.reach.first && last === from.reach.last;
    this.abort.abort();
    this.job = undefined;
    this.isWhole = this.isComplete && isSameReach && from.painted === from.mask.painted;
    editor.showPreviews(editor.previews);
    return from.mask;
  }

  /** The job that stores the accepted preview, which is shown until it ends; none: nothing is stored after all. */
  storedBy(job) {
    if (this.job !== undefined) return;
    this.job = job;
    if (job && this.isWhole) this.seen.add(job);
    if (!job) this.drop();
  }

  /** Whether people saw all that a job has stored before they accepted it; said once of each job. */
  wasSeen(job) {
    return this.seen.delete(job);
  }

  /** A job has ended. If it stored the preview, that is shown no longer. */
  end(job) {
    if (this.job === job) this.drop();
  }
}
