/** What people do to many frames at once, or to a lesion in all of its frames; and its undoing. */

import * as dialogs from "./dialogs.js";
import { isIn } from "./frame_ranges.js";
import { allLesionRows, nameOfLesion } from "./lesion_list.js";
import { nameAct, plural, say, shownNumber } from "./messages.js";

const OF_LESIONS = ["merge", "unlist"]; // acts that are done even if no mask's file changes
const NO_FRAME = { first: 0, last: -1 };
const REPLACES = ["empty", "copy", "clear", "remove"]; // acts that replace what people drew, or a part of it

export class ManyFrames {
  /**
   * @param {() => Promise<boolean>} finishDrawing  ends what is being drawn; resolves to whether nothing is left open
   * @param {SpreadPreview} preview
   * @param {SeenFrames} seen
   */
  constructor(api, editor, steps, finishDrawing, preview, seen) {
    Object.assign(this, { api, editor, steps, finishDrawing, preview, seen });
    this.acts = []; // what was done, for undoing: [{act, video, name, frames, at}]
    this.refused = new Set(); // acts that the server will not undo: masks have changed since
  }

  /** Begin to select frames at the current one, or let a selection that has begun end here. */
  select() {
    const { editor } = this;
    if (!this.steps.isOpen({ toEdit: true })) return;
    if (editor.anchor !== null && editor.other === undefined) {
      editor.endSelection();
      say("The frames are selected: choose what to do with them. Esc drops the selection.");
    } else {
      editor.select(editor.frame);
      say("Go to the last frame of the stretch, then choose what to do with it. Q ends the stretch, Esc drops it.");
    }
  }

  /** Mark the selected frames, or the current one, as checked. */
  check() {
    return this.#actOn("check", {}, (count) =>
      count
        ? `${plural(count, "frame")} marked as checked.`
        : "There is nothing to check here: it is saved already, or has no mask.",
    );
  }

  /** Say that the selected frames show no polyp. */
  noPolyp() {
    return this.#actOn("empty", {}, (count) => `No polyp in ${plural(count, "frame")}, by you.`);
  }

  /** Give the selected frames the mask of the current one. */
  copyMask() {
    if (!this.editor.selection) return say("Select frames first: press Q at the first one, and go to the last one.");
    return this.#actOn("copy", { frame: this.editor.frame }, (count) => `${plural(count, "frame")} got this mask.`);
  }

  /** Take people's masks of the selected frames back, or that of the current one. */
  takeBack() {
    return this.#actOn("clear", {}, (count) =>
      count ? `The saved masks of ${plural(count, "frame")} are taken back.` : "There is no saved mask here.",
    );
  }

  /**
   * Delete the chosen lesion from the selected frames, or from all frames in a row around this one that show it. One that
   * no frame shows is taken from the list.
   */
  deleteLesion() {
    const { editor } = this;
    const { lesion } = editor;
    if (!this.steps.isOpen({ toEdit: true })) return null;
    const name = nameOfLesion(editor, lesion);
    if (this.#isEmpty(lesion)) {
      if (editor.video.lesions.length < 2) return say("A video has at least one lesion: there is nothing to delete.");
      return this.#actOn("unlist", { lesion }, () => `${name} is deleted: no frame showed it.`, NO_FRAME);
    }
    const stretch = editor.selection ?? editor.runOf(lesion);
    if (!stretch) return say("This frame does not show the chosen lesion.");
    return this.#actOn("remove", { lesion }, (count) => `${name} is deleted from ${plural(count, "frame")}.`, stretch);
  }

  /** Whether no frame shows a lesion, saved or not. */
  #isEmpty(lesion) {
    const { video, unsaved, work } = this.editor;
    const isDrawnIn = (frame) =>
      work.polygon(video.id, frame)?.lesion === lesion || work.mask(video.id, frame)?.ids().includes(lesion);
    return !video.lesions_in.some((found) => found.includes(lesion)) && !unsaved.some(isDrawnIn);
  }

  /** Make the chosen lesion a new one from this frame on. */
  splitLesion() {
    const { editor } = this;
    const { lesion, frame, video } = editor;
    if (!this.steps.isOpen({ toEdit: true })) return null;
    const run = editor.selection ?? editor.runOf(lesion);
    if (!run) return say("This frame does not show the chosen lesion.");
    return this.#actOn(
      "relabel",
      { lesion },
      (count, into) => {
        editor.chooseLesion(into);
        return `From here on it is ${nameOfLesion(editor, into)}, in ${plural(count, "frame")}.`;
      },
      editor.selection ? run : { first: frame, last: video.frames - 1 },
    );
  }

  /** Make a lesion part of another one, in the selected frames or in the whole video. */
  async merge() {
    const { editor } = this;
    if (!this.steps.isOpen({ toEdit: true })) return;
    const { selection, video } = editor;
    if (video.lesions.length < 2) {
      say("This video has only one lesion: there is nothing to merge.");
      return;
    }
    const choice = await dialogs.askForMerge(allLesionRows(editor), editor.lesion, selection);
    if (!choice) return;
    const { from: lesion, into } = choice;
    const names = [lesion, into].map((id) => nameOfLesion(editor, id));
    const describe = () => {
      editor.chooseLesion(into);
      return `${names[0]} is now part of ${names[1]}.`;
    };
    if (selection) await this.#actOn("relabel", { lesion, into }, describe);
    else await this.#actOn("merge", { lesion, into }, describe, { first: 0, last: editor.lastFrame });
  }

  /** Undo the last act on a stretch of frames, if it is newer than the last stroke; returns whether there was one. */
  undo() {
    const { editor } = this;
    const last = this.acts.at(-1);
    if (!last || last.video !== editor.video?.id || editor.changedAt >= last.at) return false;
    this.#undo(last, last.frames.length > 0 && !last.frames.includes(editor.frame));
    return true;
  }

  /**
   * If the frame has nothing to undo, offer to undo the last act on many frames of this video, however long ago it
   * was, and whoever did it; returns whether there is one.
   */
  undoEarlier() {
    const { editor } = this;
    const { id, final, last_act: last } = editor.video ?? {};
    if (!last || final || this.refused.has(`${id} ${last.act}`)) return false;
    if (editor.polygonSteps.canUndo(editor.polygon) || editor.mask?.canUndo) return false;
    this.#undo({ ...last, video: id }, true);
    return true;
  }

  /** Undo an act; if people may not expect it here, after a question. */
  #undo({ act, video, name, frames }, asks) {
    const { editor, api } = this;
    const forget = () => (this.acts = this.acts.filter((other) => other.act !== act || other.video !== video));
    return this.steps.run(async () => {
      if (asks && !(await dialogs.confirmUndoingAct(name, frames))) return;
      let back;
      try {
        back = (await api.undoAct(video, act)).frames;
      } catch (error) {
        if (error.status === 404 || error.status === 409) {
          this.refused.add(`${video} ${act}`);
          forget();
        }
        throw error;
      }
      forget();
      if (editor.video?.id !== video) return;
      await editor.refresh();
      // What followed the act is undone, too.
      if (REPLACES.includes(name)) editor.showChanged(editor.changed.filter(({ frame }) => !back.includes(frame)));
      editor.reload(back.length ? back : null);
      say(`Undone: ${nameAct(name, frames)}.`);
    });
  }

  /** Let the server act on a stretch of frames; by default the selected ones, or the current one. */
  async #actOn(act, options, describe, stretch = this.editor.selection) {
    const { editor, api } = this;
    if (!this.steps.isOpen({ toEdit: true }) || !(await this.finishDrawing())) return null;
    if (!stretch && editor.damaged && act !== "clear") return say(editor.damaged); // a saved mask can be taken back
    const { first, last } = stretch ?? { first: editor.frame, last: editor.frame };
    const isConcerned = (frame) => isIn(frame, { first, last }) || frame === options.frame;
    const previewed = this.preview.isOpen ? [...editor.previews.keys()].find(isConcerned) : undefined;
    if (previewed !== undefined)
      return say(`Frame ${shownNumber(previewed)} shows a preview: accept it (Enter) or drop it (Esc) first.`);
    const blocked = editor.unsaved.find(isConcerned);
    if (blocked !== undefined)
      return say(
        `Frame ${shownNumber(blocked)} has changes that are not saved: save (S) or discard (Del) them first.`,
      );
    const { id } = editor.video;
    const step = async () => {
      if (stretch && REPLACES.includes(act)) {
        const { corrections, lesions_in } = editor.video;
        const isReplaced = (frame) => isIn(frame, stretch) && (act !== "remove" || lesions_in[frame].includes(options.lesion));
        const drawn = corrections.filter(({ frame, how }) => how === "drawn" && isReplaced(frame));
        const verb = act === "remove" ? "Change" : "Replace";
        if (drawn.length && !(await dialogs.confirmReplacing(verb, stretch, drawn.length))) return;
      }
      if (act === "check") {
        const people = new Set(editor.video.corrections.map(({ frame }) => frame)); // these stay as they are
        const frames = Array.from({ length: last - first + 1 }, (_, i) => first + i);
        const unseen = frames.filter((frame) => !people.has(frame) && !this.seen.frames.has(frame));
        if (unseen.length && !(await dialogs.confirmCheckingUnseen(unseen.length, frames.length))) return;
      }
      editor.select(null);
      const done = await api.actOn(id, { first, last, act, ...options });
      const isDone = OF_LESIONS.includes(act) || done.frames.length > 0;
      if (isDone) this.acts.push({ act: done.act, video: id, name: act, frames: done.frames, at: performance.now() });
      if (editor.video?.id !== id) return;
      await editor.refresh();
      editor.reload(act === "merge" ? null : done.frames);
      say(`${describe(done.frames.length, done.into)}${isDone ? " Ctrl+Z undoes it." : ""}`);
    };
    return this.steps.run(step, { waits: true });
  }
}
