/** Saving the mask of a frame on the server, where somebody else may have saved it meanwhile. */

import { ServerError } from "./api.js";
import { decodePng, encodePng } from "./png.js";

/**
 * Save the mask of a frame as it is now.
 *
 * If the server's mask has changed since it was loaded, `askAboutConflict(frame)` is called if the new mask is a
 * person's. The mask is then saved if the answer is "mine". A new prediction is overwritten.
 *
 * @returns {Promise<{job: string|undefined}|null>} null if the mask was not saved
 */
export async function saveMask(editor, frame, { propagate = false, askAboutConflict }) {
  const { api } = editor;
  const { id, lesions, hasNewLesion } = editor.video;
  if (hasNewLesion) await api.saveLesions(id, lesions);
  editor.video.hasNewLesion = false;
  const mask = editor.work.mask(id, frame) ?? editor.shown.mask;
  const { state } = mask;
  const labels = mask.labels.slice();
  const png = await encodePng(labels, mask.width, mask.height);
  let { version } = mask;
  for (;;) {
    try {
      const answer = await api.saveMask(id, frame, png, version, propagate);
      editor.markSaved(id, frame, mask, state, answer);
      return { job: answer.job };
    } catch (error) {
      if (!(error instanceof ServerError) || error.status !== 409 || error.body?.version === undefined) throw error;
    }
    const theirs = await api.mask(id, frame);
    const saved = (await decodePng(theirs.png)).labels;
    const isPersons = theirs.source === "corrected" || theirs.source === "checked";
    if (theirs.source === "corrected" && saved.every((value, i) => value === labels[i])) {
      // Our own earlier save, whose answer was lost.
      editor.markSaved(id, frame, mask, state, { version: theirs.version });
      return { job: propagate ? (await api.startJob(id, "propagate", frame)).job : undefined };
    }
    const choice = isPersons ? await askAboutConflict(frame) : "mine";
    if (choice === "theirs") await editor.discard(frame);
    if (choice !== "mine") return null;
    ({ version } = theirs);
  }
}
