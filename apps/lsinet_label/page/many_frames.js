/** What people do to many frames at once, or to a lesion in all of its frames; and its undoing. */

import * as dialogs from "./dialogs.js";
import { isIn } from "./frame_ranges.js";
import { allLesionRows } from "./lesion_list.js";
import { plural, say, shownNumber } from "./messages.js";

const REPLACES = ["empty", "copy", "clear"]; // acts that replace what people drew

export class ManyFrames {
  /**
   * @param {() => Promise<boolean>} finishDrawing  ends what is being drawn; resolves to whether nothing is left open
   * @param {SpreadPreview} preview
   */
  constructor(api, editor, steps, finishDrawing, preview) {
    Object.assign(this, { api, editor, steps, finishDrawing, preview });
    this.acts = []; // what was done, for undoing: [{act, video, at}]
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

  /** Delete the chosen lesion from the selected frames, or from all frames in a row around this one that show it. */
  deleteLesion() {
    const { editor } = this;
    const { lesion } = editor;
    if (!this.steps.isOpen({ toEdit: true })) return null;
    const stretch = editor.selection ?? editor.runOf(lesion);
    if (!stretch) return say("This frame does not show the chosen lesion.");
    const name = this.#nameOf(lesion);
    return this.#actOn("remove", { lesion }, (count) => `${name} is deleted from ${plural(count, "frame")}.`, stretch);
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
        return `From here on it is lesion ${into}, in ${plural(count, "frame")}.`;
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
    const names = [lesion, into].map((id) => this.#nameOf(id));
    const describe = () => {
      editor.chooseLesion(into);
      return `${names[0]} is now part of ${names[1]}.`;
    };
    if (selection) await this.#actOn("relabel", { lesion, into }, describe);
    else await this.#actOn("merge", { lesion, into }, describe, { first: 0, last: editor.lastFrame });
  }

  /** Undo the last act on a stretch of frames, if it is newer than the last stroke; returns whether there was one. */
  undo() {
    const { editor, api } = this;
    const last = this.acts.at(-1);
    const newer = Math.max(editor.mask?.lastStroke ?? 0, editor.savedAt);
    const isNewest = last && last.video === editor.video?.id && newer < last.at;
    if (!isNewest || editor.polygon) return false;
    this.steps.run(async () => {
      let frames;
      try {
        ({ frames } = await api.undoAct(last.video, last.act));
      } catch (error) {
        if (error.status) this.acts.pop(); // the server will not undo it
        throw error;
      }
      this.acts.pop();
      await this.#showUndone(frames);
    });
    return true;
  }

  /**
   * If the frame has no stroke to undo, offer to undo the last act on many frames of this video, however long ago it
   * was, and whoever did it; returns whether there is one.
   */
  undoEarlier() {
    const { editor, api } = this;
    const { id, final, last_act: last } = editor.video ?? {};
    if (!last || final || this.refused.has(`${id} ${last.act}`) || editor.polygon || editor.mask?.canUndo) return false;
    this.steps.run(async () => {
      if (!(await dialogs.confirmUndoingAct(last))) return;
      let frames;
      try {
        ({ frames } = await api.undoAct(id, last.act));
      } catch (error) {
        if (error.status) this.refused.add(`${id} ${last.act}`);
        throw error;
      }
      this.acts = this.acts.filter(({ act, video }) => act !== last.act || video !== id);
      if (editor.video?.id === id) await this.#showUndone(frames);
    });
    return true;
  }

  async #showUndone(frames) {
    const { editor } = this;
    await editor.refresh();
    editor.reload(frames.length ? frames : null);
    say(frames.length ? `Undone: ${plural(frames.length, "frame")} as before.` : "Undone.");
  }

  #nameOf(lesion) {
    return this.editor.video.lesions.find(({ id }) => id === lesion)?.name ?? `Lesion ${lesion}`;
  }

  /** Let the server act on a stretch of frames; by default the selected ones, or the current one. */
  async #actOn(act, options, describe, stretch = this.editor.selection) {
    const { editor, api } = this;
    if (!this.steps.isOpen({ toEdit: true }) || !(await this.finishDrawing())) return null;
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
        const drawn = editor.video.corrections.filter(({ frame, how }) => how === "drawn" && isIn(frame, stretch));
        if (drawn.length && !(await dialogs.confirmReplacing(stretch, drawn.length))) return;
      }
      editor.select(null);
      const done = await api.actOn(id, { first, last, act, ...options });
      const isDone = act === "merge" || done.frames.length > 0;
      if (isDone) this.acts.push({ act: done.act, video: id, at: performance.now() });
      if (editor.video?.id !== id) return;
      await editor.refresh();
      editor.reload(act === "merge" ? null : done.frames);
      say(`${describe(done.frames.length, done.into)}${isDone ? " Ctrl+Z undoes it." : ""}`);
    };
    return this.steps.run(step, { waits: true });
  }
}
