/** The steps of the work that need the server's answer or a person's: save, propagate, final, export, import, jobs. */

import { ServerError } from "./api.js";
import * as dialogs from "./dialogs.js";
import { newLesion } from "./mask.js";

const plural = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

export class Workflow {
  /**
   * @param {{say: (text: string) => void, complain: (error: Error|string) => void}} voice
   * @param {() => void} watch  called when the server has a new job, or news of the videos
   */
  constructor(api, editor, voice, watch) {
    Object.assign(this, { api, editor, watch }, voice);
    this.isBusy = false; // one step at a time: a second Enter does not save twice
    this.model = null; // the server's news of it
  }

  /** Run a step that may fail; the person is told, and nothing is lost. */
  async #step(act) {
    if (this.isBusy) return this.say("The step before is still on its way to the server.");
    this.isBusy = true;
    try {
      await act();
    } catch (error) {
      this.complain(error);
    } finally {
      this.isBusy = false;
      this.watch();
    }
  }

  #isOpen({ toEdit = false } = {}) {
    const { video } = this.editor;
    if (!video) this.say("Choose a video first.");
    else if (toEdit && video.final) this.say("This video is marked as final. Press F to work on it again.");
    else return true;
    return false;
  }

  // Saving -----------------------------------------------------------------------------------------------------------

  #askAboutConflict = async (frame) => {
    await this.editor.refresh();
    const by = this.editor.video.corrections.find((correction) => correction.frame === frame);
    return dialogs.ask(
      `Frame ${frame} was saved by ${by?.user ?? "somebody else"} meanwhile`,
      `Your mask of this frame is still here, and not saved. Whose mask is to stay?`,
      [
        ["mine", "Save mine over it"],
        ["theirs", "Take theirs, drop mine"],
        ["", "Decide later"],
      ],
    );
  };

  /** Save some frames; returns how many were, and the last one's job. */
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

  /** Save all that is not saved; where there is nothing, the frame that is shown, as it is: a person approves it. */
  save() {
    if (!this.#isOpen({ toEdit: true })) return null;
    return this.#step(async () => {
      const { editor } = this;
      const { unsaved, frame } = editor;
      if (unsaved.length) {
        const { saved } = await this.#saveFrames(unsaved);
        if (saved) this.say(`Saved ${saved === 1 ? `frame ${unsaved[0]}` : `${saved} frames`}.`);
      } else if (editor.mask) {
        const { saved } = await this.#saveFrames([frame]);
        if (saved) this.say(`Saved frame ${frame} as it is: it counts as looked at.`);
      }
    });
  }

  /** Save all that is not saved and the frame that is shown, and let the frames around it follow. */
  propagate() {
    if (!this.#isOpen({ toEdit: true })) return null;
    if (!this.editor.mask) return this.say("The frame is still loading.");
    return this.#step(async () => {
      const { editor } = this;
      const { unsaved, frame } = editor;
      if (!this.model?.available) {
        await this.#saveFrames([...unsaved.filter((other) => other !== frame), frame]);
        return this.complain(`Saved. There is no model to propagate with: ${this.model?.how ?? "the server has none"}`);
      }
      if (!unsaved.includes(frame) && editor.corrected.has(frame)) {
        await this.#saveFrames(unsaved);
        await this.api.startJob(editor.video.id, "propagate", frame);
      } else {
        const { saved } = await this.#saveFrames([...unsaved.filter((other) => other !== frame), frame], true);
        if (!saved) return null;
      }
      return this.say(`Saved. The frames around frame ${frame} follow it now; you can go on meanwhile.`);
    });
  }

  /** Give up the draft of the frame; where there is none, take the saved correction back. */
  async revert() {
    if (!this.#isOpen({ toEdit: true })) return;
    const { editor, api } = this;
    const { frame, video } = editor;
    const isDraft = editor.unsaved.includes(frame);
    if (!isDraft && !editor.corrected.has(frame)) {
      this.say("This frame has no correction.");
      return;
    }
    const [title, text, yes] = isDraft
      ? [`Discard your changes to frame ${frame}?`, "The mask becomes what the server has.", "Discard"]
      : [`Take the correction of frame ${frame} back?`, "The mask becomes what the network predicts.", "Take back"];
    if (
      (await dialogs.ask(title, text, [
        ["yes", yes],
        ["", "Keep it"],
      ])) !== "yes"
    )
      return;
    await this.#step(async () => {
      if (!isDraft) {
        await api.takeBackMask(video.id, frame);
        await editor.refresh();
      }
      await editor.discard(frame);
      this.say(isDraft ? `Frame ${frame} is as the server has it.` : `The correction of frame ${frame} is taken back; the frames around it follow.`);
    });
  }

  final() {
    if (!this.#isOpen()) return null;
    return this.#step(async () => {
      const { editor, api } = this;
      const { id, final } = editor.video;
      const { unsaved } = editor;
      if (!final && unsaved.length && (await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      await api.markFinal(id, !final);
      await editor.refresh();
      this.say(final ? "The video can be worked on again." : "The video is final: its masks are kept as they are.");
    });
  }

  // Lesions ----------------------------------------------------------------------------------------------------------

  newLesion() {
    if (!this.#isOpen({ toEdit: true })) return null;
    return this.#step(async () => {
      const { editor, api } = this;
      await editor.refresh();
      const { id: video, lesions, free_lesion: id } = editor.video;
      if (id === null) throw new Error("A video holds up to 255 lesions, and all were given.");
      await api.saveLesions(video, [...lesions, newLesion(id)]);
      await editor.refresh();
      editor.chooseLesion(id);
      this.say(`Lesion ${id} is new: draw it; R gives it a name.`);
    });
  }

  /** Ask for another name and colour of the chosen lesion. */
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
      this.say(`Lesion ${lesion.id} is ${renamed.name} now.`);
    });
  }

  chooseLesion(id) {
    if (!this.#isOpen()) return;
    const lesion = this.editor.video.lesions.find((other) => other.id === id);
    if (lesion) {
      this.editor.chooseLesion(id);
      this.say(`Drawing lesion ${id}, ${lesion.name}.`);
    } else {
      this.say(`There is no lesion ${id}. L adds one.`);
    }
  }

  async merge() {
    if (!this.#isOpen({ toEdit: true })) return;
    const { editor, api } = this;
    const { id, lesions } = editor.video;
    if (lesions.length < 2) {
      this.say("There are no two lesions to merge.");
      return;
    }
    const choice = await dialogs.askForMerge(lesions, editor.lesion);
    if (!choice) return;
    await this.#step(async () => {
      // Saved first: a draft would bring the lesion back that is merged away.
      const { unsaved } = editor;
      if ((await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      await api.mergeLesions(id, choice.from, choice.into);
      await editor.refresh();
      editor.chooseLesion(choice.into);
      editor.reload(null);
      this.say(`Lesion ${choice.from} is a part of lesion ${choice.into} now.`);
    });
  }

  // Jobs -------------------------------------------------------------------------------------------------------------

  annotate(videos = [this.editor.video]) {
    if (!videos[0]) return this.say("There is no video to find polyps in: choose one, or all are done.");
    if (!this.model?.available) return this.complain(`There is no model: ${this.model?.how ?? "the server has none"}`);
    return this.#step(async () => {
      for (const { id } of videos) await this.api.startJob(id, "annotate");
      this.say(`The network looks for polyps in ${plural(videos.length, "video")}; corrected frames stay as they are.`);
    });
  }

  cancel(job) {
    return this.#step(async () => {
      await this.api.cancelJob(job.job);
      this.say("The job is cancelled.");
    });
  }

  /** Tell what a job that has just ended did. */
  async finished(job, nameOf) {
    const { editor } = this;
    const isHere = job.image === editor.video?.id;
    if (job.state === "failed") this.complain(`${nameOf(job.image)}: ${job.message}`);
    if (!isHere || job.kind === "label") return;
    const changed = ((await this.api.job(job.job)).changed ?? []).filter(({ change }) => change > 0);
    editor.changed = job.kind === "propagate" ? changed : [];
    await editor.refresh();
    editor.reload(null);
    if (job.state !== "done") return;
    if (job.kind === "annotate") {
      this.say("The polyps are found. N goes to the next frame that is worth a look.");
    } else if (!changed.length) {
      this.say("No other frame had to change: they agreed already.");
    } else {
      const most = this.mostChanged();
      this.say(
        `${plural(changed.length, "frame")} changed, most of all frame ${most.frame} (${Math.round(100 * most.change)}% of it). J goes there.`,
      );
    }
  }

  mostChanged() {
    return this.editor.changed.reduce((most, next) => (most && most.change >= next.change ? most : next), null);
  }

  // Files ------------------------------------------------------------------------------------------------------------

  async export() {
    if (!this.#isOpen()) return;
    const { editor, api } = this;
    const { unsaved, video } = editor;
    const note = unsaved.length ? `${plural(unsaved.length, "frame")} not saved yet will be saved first.` : "";
    const choice = await dialogs.askForExport(note);
    if (!choice) return;
    await this.#step(async () => {
      if (unsaved.length && (await this.#saveFrames(unsaved)).saved < unsaved.length) return;
      this.say("The server writes the file…");
      const { blob, name } = await api.export(video.id, choice.format, Boolean(choice.original));
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.say(`Exported ${name}.`);
    });
  }

  async import() {
    if (!this.#isOpen({ toEdit: true })) return;
    const choice = await dialogs.askForImport();
    if (!choice) return;
    await this.#step(async () => {
      const { editor, api } = this;
      this.say("The server reads the file…");
      const { frames } = await api.import(editor.video.id, choice.format, choice.file);
      await editor.refresh();
      editor.reload(null);
      this.say(
        frames
          ? `Imported: ${plural(frames, "frame")} corrected; those around follow.`
          : "The file's masks are those that are here already.",
      );
    });
  }
}

/** One line for a person about what went wrong. */
export function explain(error) {
  if (typeof error === "string") return error;
  if (error instanceof ServerError && error.status === 507)
    return `The server's disk is full; your change is still here. ${error.message}`;
  return error.message;
}
