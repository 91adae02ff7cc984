/** Steps that wait for the server or for a person: saving, propagating, lesions, jobs, files. */

import * as dialogs from "./dialogs.js";
import { confirmImport } from "./import_dialog.js";
import { newLesion } from "./mask.js";
import { CHOOSE_VIDEO, complain, IS_FINAL, plural, say } from "./messages.js";

/** Whether the network has not gone through a video yet, or not to its end. */
function isUnfinished({ state, without_mask }) {
  return state === "new" || (without_mask > 0 && !["final", "failed", "annotating"].includes(state));
}

export class Workflow {
  /** @param {() => void} onStep  called after each step, because the server's videos and jobs may have changed */
  constructor(api, editor, onStep) {
    Object.assign(this, { api, editor, onStep });
    this.isBusy = false; // one step at a time, so that pressing Enter twice does not save twice
    this.model = null; // as the server's status describes it
  }

  /** Run a step. If it fails, the page shows why, and unsaved masks stay. Resolves to whether it succeeded. */
  async #step(act) {
    if (this.isBusy) {
      say("Please wait: the server has not answered the last step yet.");
      return false;
    }
    this.isBusy = true;
    try {
      await act();
      return true;
    } catch (error) {
      complain(error);
      return false;
    } finally {
      this.isBusy = false;
      this.onStep();
    }
  }

  #isOpen({ toEdit = false } = {}) {
    const { video } = this.editor;
    if (!video) say(CHOOSE_VIDEO);
    else if (toEdit && video.final) say(IS_FINAL);
    else return true;
    return false;
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  #askAboutConflict = async (frame) => {
    await this.editor.refresh();
    const by = this.editor.video.corrections.find((correction) => correction.frame === frame);
    return dialogs.ask(
      `Frame ${frame} was saved by ${by?.user ?? "somebody else"} in the meantime`,
      "Your mask of this frame is not saved yet. Which mask do you want to keep?",
      [
        ["mine", "Keep mine"],
        ["theirs", "Keep theirs"],
        ["", "Decide later"],
      ],
    );
  };

  /** Save frames; returns how many were saved, and the job of the last one. */
  async #saveFrames(frames, propagateLast = false) {
    let saved = 0;
    let job;
    for (const [i, frame] of frames.entries()) {
      const propagate = propagateLast && i === frames.length - 1;
      const answer = await this.editor.save(frame, { propagate, askAboutConflict: this.#askAboutConflict });
      if (answer) saved += 1;
      job = answer?.job;
    }
    return { saved, job };
  }

  /** Save all unsaved frames. If there are none, save the current frame unchanged: that marks it as checked. */
  save() {
    if (!this.#isOpen({ toEdit: true })) return null;
    return this.#step(async () => {
      const { editor } = this;
      const { unsaved, frame } = editor;
      if (unsaved.length) {
        const { saved } = await this.#saveFrames(unsaved);
        if (saved) say(`Saved ${saved === 1 ? `frame ${unsaved[0]}` : `${saved} frames`}.`);
      } else if (editor.mask) {
        const { saved } = await this.#saveFrames([frame]);
        if (saved) say(`Saved frame ${frame} unchanged: it is marked as checked.`);
      }
    });
  }

  /** Save all unsaved frames and the current one, and propagate the current one to the frames around it. */
  propagate() {
    if (!this.#isOpen({ toEdit: true })) return null;
    if (!this.editor.mask) return say("The frame is still loading.");
    if (!this.editor.unsaved.includes(this.editor.frame) && !this.editor.corrected.has(this.editor.frame))
      return say("You have not changed this frame: correct it first, or press S to save it as it is.");
    return this.#step(async () => {
      const { editor } = this;
      const { unsaved, frame } = editor;
      if (!this.model?.available) {
        await this.#saveFrames([...unsaved.filter((other) => other !== frame), frame]);
        return complain(`Saved, but not propagated: ${this.#whyNoModel}`);
      }
      if (!unsaved.includes(frame) && editor.corrected.has(frame)) {
        await this.#saveFrames(unsaved);
        await this.api.startJob(editor.video.id, "propagate", frame);
      } else {
        const { saved } = await this.#saveFrames([...unsaved.filter((other) => other !== frame), frame], true);
        if (!saved) return null;
      }
      return say(`Saved. Frame ${frame} is being propagated to the frames around it; you can continue meanwhile.`);
    });
  }

  /** Discard the unsaved changes of the current frame. If there are none, remove its saved correction. */
  async revert() {
    if (!this.#isOpen({ toEdit: true })) return;
    const { editor, api } = this;
    const { frame, video } = editor;
    const isDraft = editor.unsaved.includes(frame);
    if (!isDraft && !editor.corrected.has(frame)) {
      say("This frame has no correction.");
      return;
    }
    const [title, text, yes] = isDraft
      ? [`Discard your changes to frame ${frame}?`, "The frame goes back to its last saved mask.", "Discard"]
      : [
          `Remove the correction of frame ${frame}?`,
          "The frame goes back to the mask that the network predicts.",
          "Remove",
        ];
    if (
      (await dialogs.ask(title, text, [
        ["yes", yes],
        ["", "Keep it"],
      ])) !== "yes"
    )
      return;
    await this.#step(async () => {
      if (!isDraft) {
        await api.removeCorrection(video.id, frame);
        await editor.refresh();
      }
      await editor.discard(frame);
      say(
        isDraft
          ? `The changes to frame ${frame} are discarded.`
          : `The correction of frame ${frame} is removed; the frames around it follow.`,
      );
    });
  }

  final() {
    if (!this.#isOpen()) return null;
    return this.#step(async () => {
      const { editor, api } = this;
      const { id, final } = editor.video;
      const { unsaved } = editor;
      if (!final && unsaved.length && (await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      await editor.refresh();
      if (!final && !(await dialogs.confirmFinal(editor.video, editor.doubtful))) return;
      await api.markFinal(id, !final, editor.video.without_mask > 0);
      await editor.refresh();
      say(final ? "The video can be worked on again." : "The video is final: its masks cannot be changed.");
    });
  }

  // Lesions ----------------------------------------------------------------------------------------------------------

  newLesion() {
    if (!this.#isOpen({ toEdit: true })) return null;
    return this.#step(async () => {
      const { editor, api } = this;
      await editor.refresh();
      const { id: video, lesions, free_lesion: id } = editor.video;
      if (id === null) throw new Error("This video has no free lesion number: all 255 are used.");
      await api.saveLesions(video, [...lesions, newLesion(id)]);
      await editor.refresh();
      editor.chooseLesion(id);
      say(`Lesion ${id} is new. Draw it, or press R to name it.`);
    });
  }

  /** Ask for the name and colour of the chosen lesion. */
  async rename() {
    if (!this.#isOpen({ toEdit: true })) return;
    const { id, lesions } = this.editor.video;
    const lesion = lesions.find((other) => other.id === this.editor.lesion);
    const answer = lesion && (await dialogs.askForLesion(lesion));
    if (!answer) return;
    await this.#step(async () => {
      const renamed = { ...lesion, name: answer.name.trim() || lesion.name, colour: answer.colour };
      await this.api.saveLesions(
        id,
        lesions.map((other) => (other === lesion ? renamed : other)),
      );
      await this.editor.refresh();
      say(`Lesion ${lesion.id} is now called ${renamed.name}.`);
    });
  }

  chooseLesion(id) {
    if (!this.#isOpen()) return;
    const lesion = this.editor.video.lesions.find((other) => other.id === id);
    if (lesion) {
      this.editor.chooseLesion(id);
      say(`Drawing lesion ${id}, ${lesion.name}.`);
    } else {
      say(`There is no lesion ${id}. Press L to add one.`);
    }
  }

  async merge() {
    if (!this.#isOpen({ toEdit: true })) return;
    const { editor, api } = this;
    const { id, lesions } = editor.video;
    if (lesions.length < 2) {
      say("This video has only one lesion: there is nothing to merge.");
      return;
    }
    const choice = await dialogs.askForMerge(lesions, editor.lesion);
    if (!choice) return;
    await this.#step(async () => {
      // Save first: an unsaved mask may still have the merged lesion.
      const { unsaved } = editor;
      if ((await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      await api.mergeLesions(id, choice.from, choice.into);
      await editor.refresh();
      editor.chooseLesion(choice.into);
      editor.reload(null);
      say(`Lesion ${choice.from} is now part of lesion ${choice.into}.`);
    });
  }

  // Jobs -------------------------------------------------------------------------------------------------------------

  async findPolyps() {
    const { video } = this.editor;
    if (!this.#isOpen({ toEdit: true })) return null;
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
    return this.#step(async () => {
      for (const { id } of videos) await this.api.startJob(id, "annotate");
      say(`Looking for polyps in ${plural(videos.length, "video")}. Corrected frames stay as they are.`);
    });
  }

  get #whyNoModel() {
    return this.model?.how ?? "the server has no model";
  }

  cancel(job) {
    return this.#step(async () => {
      await this.api.cancelJob(job.job);
      say("The job is cancelled.");
    });
  }

  /** Report a job that has just ended, and show what it changed. */
  async reportEnd(job, nameOf) {
    const { editor } = this;
    const isHere = job.image === editor.video?.id;
    if (job.state === "failed") complain(`${nameOf(job.image)}: ${job.message}`);
    if (!isHere || job.kind === "label") return;
    const changed = ((await this.api.job(job.job)).changed ?? []).filter(({ change }) => change > 0);
    editor.changed = job.kind === "propagate" ? changed : [];
    await editor.refresh();
    editor.reload(null);
    if (job.state !== "done") return;
    if (job.kind === "annotate") {
      say("The polyps are found. Press N for the next doubtful frame.");
    } else if (!changed.length) {
      say("No other mask has changed: they already agreed with yours.");
    } else {
      const most = editor.mostChanged;
      say(
        `${plural(changed.length, "frame")} changed, most of all frame ${most.frame} (by ${Math.round(100 * most.change)}%). Press J to see it.`,
      );
    }
  }

  // Files ------------------------------------------------------------------------------------------------------------

  async export() {
    if (!this.#isOpen()) return;
    const { editor, api } = this;
    if (!(await this.#step(() => editor.refresh()))) return;
    const { unsaved, video } = editor;
    const notes = [
      video.without_mask && `${video.without_mask} of ${plural(video.frames, "frame")} have no mask yet: the file will show no polyp in them.`,
      unsaved.length && `${plural(unsaved.length, "unsaved frame")} will be saved first.`,
    ];
    const choice = await dialogs.askForExport(notes.filter(Boolean).join(" "));
    if (!choice) return;
    await this.#step(async () => {
      if (unsaved.length && (await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      say("Writing the file…");
      const { blob, name } = await api.export(video.id, {
        format: choice.format,
        original: Boolean(choice.original),
        partial: video.without_mask > 0,
      });
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      say(`Exported ${name}.`);
    });
  }

  async import() {
    if (!this.#isOpen({ toEdit: true })) return;
    const choice = await dialogs.askForImport();
    if (!choice) return;
    await this.#step(async () => {
      const { editor, api } = this;
      const { id } = editor.video;
      const send = (options) => {
        const place = choice.first_frame ? { first_frame: choice.first_frame } : {};
        return api.import(id, choice.format, choice.file, { ...place, ...options });
      };
      say("Reading the file…");
      const answer = await confirmImport((options) => send({ ...options, dry_run: true }), choice.format);
      if (!answer) return say("Nothing is imported.");
      if (answer.isSame) return say("Nothing has changed: the file has the same masks.");
      say("Importing…");
      const { frames } = await send({ ...answer, empty: true });
      await editor.refresh();
      editor.reload(null);
      return say(`Imported: ${plural(frames, "frame")} corrected. Propagating to the frames around them.`);
    });
  }
}
