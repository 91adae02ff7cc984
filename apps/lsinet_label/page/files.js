/** Files: exporting and importing masks, adding and removing videos. */

import * as dialogs from "./dialogs.js";
import { confirmImport } from "./import_dialog.js";
import { complain, plural, say } from "./messages.js";

export class Files {
  /** @param {() => Promise<boolean>} saveAll  saves all that is not saved; resolves to whether nothing is left */
  constructor(api, editor, steps, saveAll) {
    Object.assign(this, { api, editor, steps, saveAll });
  }

  async export() {
    if (!this.steps.isOpen()) return;
    const { editor, api } = this;
    if (!(await this.steps.run(() => editor.refresh()))) return;
    const { unsaved, video } = editor;
    const notes = [
      video.without_mask && `${video.without_mask} of ${plural(video.frames, "frame")} have no mask yet: the file will show no polyp in them.`,
      video.unreadable && `${plural(video.unreadable, "frame")} cannot be read: the file will show no polyp in them.`,
      unsaved.length && `${plural(unsaved.length, "unsaved frame")} will be saved first.`,
    ];
    const choice = await dialogs.askForExport(notes.filter(Boolean).join(" "));
    if (!choice) return;
    await this.steps.run(async () => {
      if (!(await this.saveAll())) return;
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
    if (!this.steps.isOpen({ toEdit: true })) return;
    const choice = await dialogs.askForImport();
    if (!choice) return;
    await this.steps.run(async () => {
      const { editor, api } = this;
      const { id } = editor.video;
      const send = (options) => {
        const place = choice.first_frame ? { first_frame: Number(choice.first_frame) - 1 } : {};
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

  /** Add a video. Other steps go on meanwhile: a large file takes minutes. */
  async upload(file) {
    say(`Sending ${file.name}…`);
    try {
      await this.api.upload(file);
      say(`${file.name} is on the server. Choose it in the list (V).`);
    } catch (error) {
      complain(error);
    }
    this.steps.onStep();
  }

  async removeVideo() {
    if (!this.steps.isOpen()) return;
    const { editor } = this;
    const { video } = editor;
    if (!(await dialogs.confirmRemoval(video))) return;
    await this.steps.run(async () => {
      await this.api.remove(video.id);
      editor.forget(video.id);
      history.replaceState(null, "", " ");
      say(`${video.name} is removed.`);
    });
  }
}
