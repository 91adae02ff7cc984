/** What waits for the server or for a person: saving, propagating, lesions, jobs. */

import * as dialogs from "./dialogs.js";
import { isIn } from "./frame_ranges.js";
import { newLesion } from "./mask.js";
import { areNotSaved, complain, nameFrames, plural, say, shownNumber } from "./messages.js";

const SAVING = "Saving…";
const PAUSE = 1000; // milliseconds after an answer in which another press still means the same propagation

/** Whether the network has not gone through a video yet, or not to its end. */
function isUnfinished({ state, without_mask }) {
  return state === "new" || (without_mask > 0 && !["final", "failed", "annotating"].includes(state));
}

export class Workflow {
  /**
   * @param {() => Promise<boolean>} finishDrawing  ends what is being drawn; resolves to whether nothing is left open
   * @param {SpreadPreview} preview
   * @param {SeenFrames} seen
   * @param {() => object[]} jobs  the server's
   */
  constructor(api, editor, steps, finishDrawing, preview, seen, jobs) {
    Object.assign(this, { api, editor, steps, finishDrawing, preview, seen, jobs });
    this.hasSignIn = false; // without sign-in, all people have the same name
    this.lastSpread = null; // the last propagation: {job, video, frame, version of the mask, within}
    this.model = null; // as the server's status describes it
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  #keepsFrom = 0; // the time from which on a press keeps the next propagation

  #askAboutConflict = async (frame) => {
    await this.editor.refresh();
    const by = this.editor.video.corrections.find((correction) => correction.frame === frame);
    return dialogs.ask(
      `Frame ${shownNumber(frame)} was saved ${this.hasSignIn && by?.user ? `by ${by.user} ` : ""}in the meantime`,
      "Your mask of this frame is not saved yet. Which mask do you want to keep?",
      [
        ["mine", "Keep mine"],
        ["theirs", "Keep theirs"],
        ["", "Decide later"],
      ],
    );
  };

  /** Save a frame; resolves to {job}, or to null if it was not saved. */
  #saveFrame(frame, propagate = false) {
    return this.editor.save(frame, { propagate, askAboutConflict: this.#askAboutConflict });
  }

  /** Save all unsaved frames; resolves to those that were saved. Open polygons stay open. */
  async #saveFrames() {
    const saved = [];
    for (const frame of this.editor.unsaved)
      if (!this.editor.polygonAt(frame) && (await this.#saveFrame(frame))) saved.push(frame);
    return saved;
  }

  /** Save all unsaved frames. */
  async save() {
    if (!this.steps.isOpen({ toEdit: true })) return null;
    say(SAVING); // a click may still wait for its answer
    if (!(await this.finishDrawing())) return null;
    const { editor } = this;
    const { unsaved, frame } = editor;
    if (!unsaved.length)
      return say(
        editor.corrected.has(frame) || editor.checked.has(frame)
          ? "This frame is saved already."
          : (editor.damaged ?? "You have not changed this frame. If its mask is right, press Y to mark it as checked."),
      );
    const note = this.preview.isOpen ? " The preview is dropped: Enter propagates the frame." : "";
    return this.steps.run(async () => {
      say(SAVING);
      const saved = await this.#saveFrames();
      say(`${saved.length ? `Saved ${nameFrames(saved)}.${note}` : ""} ${this.#openPolygons()}`.trim());
    });
  }

  /** Save all that is not saved, within a step; resolves to whether nothing is left. */
  async saveAll() {
    await this.#saveFrames();
    if (this.#openPolygons()) say(this.#openPolygons());
    return !this.editor.unsaved.length;
  }

  /** Which of these frames have an open polygon, as a sentence; empty if none has. */
  #openPolygons(frames = this.editor.unsaved) {
    const open = frames.filter((frame) => this.editor.polygonAt(frame));
    return open.length ? `Frame ${shownNumber(open[0])} has an open polygon: close it (Enter) or drop it (Esc) there.` : "";
  }

  /**
   * Save the current frame, and propagate it to the frames around it, or to the selected ones. In a frame that shows a
   * preview, propagate the one from which that spreads. Other frames with changes stay as they are, and end it.
   */
  async propagate() {
    if (!this.steps.isOpen({ toEdit: true }) || !(await this.finishDrawing())) return null;
    const { editor } = this;
    if (!editor.mask) return say(editor.damaged ?? "The frame is still loading.");
    const { unsaved, selection } = editor;
    const frame = this.preview.origin(editor.frame);
    if (selection && !isIn(frame, selection))
      return say("This frame is not selected: go to a selected one, or drop the selection (Esc).");
    // A mask that many frames got together spreads once it is saved as this frame's own.
    const isFilled = editor.video.corrections.some((other) => other.frame === frame && other.how === "filled");
    const isUnsaved = unsaved.includes(frame) || isFilled;
    if (!isUnsaved && !editor.corrected.has(frame))
      return say("You have not changed this frame: correct it first. If its mask is right, press Y.");
    if (editor.polygonAt(frame)) return say(this.#openPolygons([frame]));
    const { id } = editor.video;
    const isBounded = selection || unsaved.some((other) => other !== frame);
    const within = isBounded ? editor.reachFrom(frame) : null;
    if (!isUnsaved && !selection && this.#hasSpread(id, frame, within)) return null;
    return this.steps.run(async () => {
      const accepted = this.preview.accept(frame);
      let job;
      try {
        job = await this.#startSpread(id, frame, isUnsaved, within);
      } finally {
        this.preview.storedBy(job);
      }
      if (!job) return;
      this.lastSpread = { job, video: id, frame, version: (accepted ?? editor.mask)?.version, within };
      editor.select(null);
      const where = selection
        ? `the frames ${shownNumber(selection.first)} to ${shownNumber(selection.last)}`
        : "the frames around it";
      const what = frame === editor.frame ? "The frame" : `Frame ${shownNumber(frame)}`;
      const left = editor.unsaved.length ? ` ${areNotSaved(editor.unsaved, "still ")}.` : "";
      say(`Saved. ${what} is being propagated to ${where}; you can continue meanwhile.${left}`);
    });
  }

  /**
   * Save a frame if it has changes, and begin to propagate it, within a step; resolves to the job, or to undefined if
   * there is none.
   */
  async #startSpread(id, frame, isUnsaved, within) {
    const { editor, api } = this;
    const isServed = Boolean(this.model?.available);
    const answer = isUnsaved ? await this.#saveFrame(frame, isServed && !within) : null;
    if (editor.unsaved.includes(frame)) return undefined;
    if (!isServed) complain(`Saved, but not propagated: ${this.#whyNoModel}`);
    else if (within || !isUnsaved) return (await api.startJob(id, "propagate", frame, within)).job;
    return answer?.job;
  }

  /** Whether the saved mask of a frame is the one that was propagated last, to the same frames; if so, say it. */
  #hasSpread(video, frame, within) {
    const { lastSpread: last, editor } = this;
    const isSame = last?.video === video && last.frame === frame && last.version === editor.mask.version;
    if (!isSame || JSON.stringify(last.within) !== JSON.stringify(within)) return false;
    const job = this.jobs().find((one) => one.job === last.job); // the list may not have it yet
    if (job && !["queued", "running", "done"].includes(job.state)) return false;
    say(
      job?.state === "done"
        ? "This correction has spread already. Press J for the frame that changed most."
        : "This correction is being propagated already.",
    );
    return true;
  }

  /** Discard the unsaved changes of the current frame. */
  async revert() {
    if (!this.steps.isOpen({ toEdit: true })) return;
    const { editor } = this;
    const { frame } = editor;
    if (!editor.unsaved.includes(frame)) {
      const isSaved = editor.corrected.has(frame) || editor.checked.has(frame);
      say(isSaved ? "Nothing to discard. Press Shift+Del to take the saved mask back." : "Nothing to discard.");
      return;
    }
    const answer = await dialogs.ask(
      `Discard your changes to frame ${shownNumber(frame)}?`,
      "The frame goes back to its last saved mask.",
      [
        ["yes", "Discard"],
        ["", "Keep them"],
      ],
    );
    if (answer !== "yes") return;
    await editor.discard(frame);
    say(`The changes to frame ${shownNumber(frame)} are discarded.`);
  }

  /** The last propagation that waits for an answer; without one, a message says that there is none to keep or undo. */
  #spreadTo(answer) {
    if (!this.steps.isOpen({ toEdit: true })) return null;
    const [spread] = this.editor.video.spreads;
    if (!spread) say(`There is no propagation to ${answer}.`);
    return spread;
  }

  /** Keep what the last propagation changed. */
  async keepSpread() {
    const { editor, api } = this;
    if (Date.now() < this.#keepsFrom) return; // the second press of two: nobody has seen the next one yet
    const spread = this.#spreadTo("keep");
    if (!spread) return;
    const { id } = editor.video;
    await this.steps.run(async () => {
      const { frames } = await api.keepSpread(id, spread.act);
      this.#keepsFrom = Date.now() + PAUSE;
      await editor.refresh();
      say(`The masks of ${plural(frames.length, "frame")} around frame ${shownNumber(spread.frame)} are kept.`);
    });
  }

  /** Undo the last propagation. The mask from which it spread stays. */
  async undoSpread() {
    const { editor, api } = this;
    const spread = this.#spreadTo("undo");
    if (!spread) return;
    const { id } = editor.video;
    const isOwn = this.lastSpread?.video === id && this.lastSpread.frame === spread.frame;
    if (!isOwn && !(await dialogs.confirmUndoingSpread(spread.frame))) return;
    await this.steps.run(async () => {
      const { frames } = await api.undoAct(id, spread.act);
      this.lastSpread = null;
      await editor.refresh();
      editor.showChanged(editor.changed.filter(({ frame }) => !frames.includes(frame)));
      editor.reload(frames);
      say(`${plural(frames.length, "frame")} as before; your mask of frame ${shownNumber(spread.frame)} stays.`);
    });
  }

  final() {
    if (!this.steps.isOpen()) return null;
    return this.steps.run(async () => {
      const { editor, api } = this;
      const { id, final } = editor.video;
      const isWorking = this.jobs().some(({ image, state }) => image === id && ["queued", "running"].includes(state));
      if (!final && isWorking) return say("A job is working on this video: wait until it is done, or cancel it.");
      if (!final && this.#openPolygons()) return say(this.#openPolygons());
      await editor.refresh();
      const counts = {
        seen: this.seen.frames.size,
        corrected: editor.corrected.size,
        checked: editor.checked.size,
        doubtful: editor.doubtful.length,
        unsaved: editor.unsaved,
      };
      if (!final && !(await dialogs.confirmFinal(editor.video, counts))) return;
      if (!final && !(await this.saveAll())) return;
      await api.markFinal(id, !final, editor.video.without_mask > 0);
      await editor.refresh();
      say(final ? "The video can be worked on again." : "The video is final: its masks cannot be changed.");
    });
  }

  // Lesions ----------------------------------------------------------------------------------------------------------

  newLesion() {
    if (!this.steps.isOpen({ toEdit: true })) return null;
    return this.steps.run(async () => {
      const { editor, api } = this;
      await editor.refresh();
      const { id: video, free_lesion: id } = editor.video;
      if (id === null) throw new Error("This video has no free lesion number: all 255 are used.");
      const lesion = newLesion(id);
      await api.saveLesions(video, [lesion]);
      await editor.refresh();
      editor.chooseLesion(id);
      say(`${lesion.name} is new. Draw it, or press R to name it.`);
    });
  }

  /** Ask for the name and colour of the chosen lesion. */
  async rename() {
    if (!this.steps.isOpen({ toEdit: true })) return;
    const { id, lesions } = this.editor.video;
    const lesion = lesions.find((other) => other.id === this.editor.lesion);
    const answer = lesion && (await dialogs.askForLesion(lesion));
    if (!answer) return;
    await this.steps.run(async () => {
      const renamed = { ...lesion, name: answer.name.trim() || lesion.name, colour: answer.colour };
      await this.api.saveLesions(id, [renamed]);
      await this.editor.refresh();
      say(`${lesion.name} is now called ${renamed.name}.`);
    });
  }

  chooseLesion(id) {
    if (!this.steps.isOpen()) return;
    const lesion = this.editor.video.lesions.find((other) => other.id === id);
    if (lesion) {
      this.editor.chooseLesion(id);
      say(`Drawing ${lesion.name}.`);
    } else {
      say(`There is no lesion ${id}. Press L to add one.`);
    }
  }

  // Jobs -------------------------------------------------------------------------------------------------------------

  async findPolyps() {
    const { video } = this.editor;
    if (!this.steps.isOpen({ toEdit: true })) return null;
    const isAsked = this.model?.available && video.state !== "annotating" && !isUnfinished(video);
    if (isAsked && !(await dialogs.confirmFindingAgain(video))) return null;
    return this.#findPolypsIn([video]);
  }

  findPolypsInNew(videos) {
    const waiting = videos.filter(isUnfinished);
    return waiting.length ? this.#findPolypsIn(waiting) : say("There are no videos without masks.");
  }

  #findPolypsIn(videos) {
    if (!this.model?.available) return complain(`The network cannot find polyps: ${this.#whyNoModel}`);
    return this.steps.run(async () => {
      for (const { id } of videos) await this.api.startJob(id, "annotate");
      say(`Looking for polyps in ${plural(videos.length, "video")}. Corrected frames stay as they are.`);
    });
  }

  get #whyNoModel() {
    return this.model?.how ?? "the server has no model";
  }

  cancel(job) {
    return this.steps.run(async () => {
      await this.api.cancelJob(job.job);
      say("The job is cancelled.");
    });
  }
}
