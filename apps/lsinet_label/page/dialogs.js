/** The page's dialogs: each function opens one and resolves to the answer. */

import { element, make } from "./dom.js";
import { areNotSaved, nameAct, plural, shownNumber } from "./messages.js";

/** Open a dialog; resolves to the values of its form, or null if it was closed without an answer. */
export function open(dialog) {
  const form = dialog.querySelector("form");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue ? Object.fromEntries(new FormData(form)) : null), {
      once: true,
    });
  });
}

/** Ask a question; `answers` is [[value, text], ...], the last one the safest. Resolves to a value or null. */
export async function ask(title, text, answers) {
  element("question-title").textContent = title;
  element("question-text").textContent = text;
  const buttons = answers.map(([value, textContent]) => make("button", { value, textContent }));
  element("question-answers").replaceChildren(...buttons);
  const dialog = element("question-dialog");
  const answer = open(dialog);
  buttons.at(-1).focus();
  await answer;
  return dialog.returnValue || null;
}

/** Say how far a video is, and ask whether it is final. */
export async function confirmFinal(video, { seen, corrected, checked, doubtful, unsaved }) {
  const { name, frames, without_mask, unreadable, spreads, unclear } = video;
  const spreadTo = new Set(spreads.flatMap((spread) => spread.frames)).size;
  const counts = [
    `${seen} seen in this browser`,
    `${corrected} corrected`,
    `${checked} checked`,
    `${plural(doubtful, "doubtful place")} (key N) not looked after`,
    unclear.length && `${unclear.length} blurred or white, at which key N does not stop`,
    spreadTo && `${plural(spreadTo, "frame")} changed by ${plural(spreads.length, "propagation")} that nobody has kept or undone`,
    without_mask && `${without_mask} without a mask, which count as frames without a polyp`,
    unreadable && `${plural(unreadable, "frame")} that cannot be read, which count as frames without a polyp`,
  ];
  const isSavedFirst = unsaved.length ? `${areNotSaved(unsaved)} yet: “Mark as final” saves first. ` : "";
  const answer = await ask(
    `Mark ${name} as final?`,
    `Of its ${plural(frames, "frame")}: ${counts.filter(Boolean).join("; ")}. ${isSavedFirst}Final masks cannot be changed until the video is opened again.`,
    [
      ["yes", "Mark as final"],
      ["", "Not yet"],
    ],
  );
  return answer === "yes";
}

/** Ask whether a propagation that this page has not just made shall be undone. */
export async function confirmUndoingSpread(frame) {
  const answer = await ask(
    `Undo the propagation from frame ${shownNumber(frame)}?`,
    "The frames around it get back the masks that they had before. The mask of the frame itself stays.",
    [
      ["yes", "Undo it"],
      ["", "Keep it"],
    ],
  );
  return answer === "yes";
}

/** Ask whether frames shall be marked as checked though nobody has looked at some of them here. */
export async function confirmCheckingUnseen(unseen, count) {
  const answer = await ask(
    "Mark frames as checked that nobody has seen here?",
    `${unseen} of these ${plural(count, "frame")} ${unseen > 1 ? "have" : "has"} not been shown here: mark them as checked all the same?`,
    [
      ["yes", "Mark as checked"],
      ["", "Not yet"],
    ],
  );
  return answer === "yes";
}

/** Ask whether a step on frames that people do not look at, or an earlier one, shall be undone. */
export async function confirmUndoingAct(name, frames) {
  const back =
    name === "unlist"
      ? "The lesion is back in the list."
      : `${frames.length ? "The frames" : "All frames"} get back what they had before.`;
  const answer = await ask(
    "Undo this step?",
    `The step: ${nameAct(name, frames)}. ${back}`,
    [
      ["yes", "Undo it"],
      ["", "Leave it"],
    ],
  );
  return answer === "yes";
}

/** Ask whether masks that people drew shall be replaced or changed: `verb` is what happens to them. */
export async function confirmReplacing(verb, { first, last }, count) {
  const answer = await ask(
    `${verb} ${plural(count, "drawn mask")}?`,
    `Among the frames ${shownNumber(first)} to ${shownNumber(last)}, people drew ${plural(count, "mask")}.`,
    [
      ["yes", `${verb} ${count > 1 ? "them" : "it"}`],
      ["", "Leave all frames as they are"],
    ],
  );
  return answer === "yes";
}

/** Ask whether a video shall be removed from the server. */
export async function confirmRemoval({ name, corrected, checked }) {
  const answer = await ask(
    `Remove ${name} from the server?`,
    `The video's file, its masks and ${plural(corrected + checked, "frame")} saved or checked by people are deleted. This cannot be undone.`,
    [
      ["yes", "Remove for good"],
      ["", "Keep it"],
    ],
  );
  return answer === "yes";
}

/** Ask whether the network shall go through a video again. */
export async function confirmFindingAgain({ name }) {
  const answer = await ask(
    `Find the polyps in ${name} again?`,
    "The present masks stay until the new ones are complete, and are then replaced. Your corrections stay; new ids of lesions in other masks do not.",
    [
      ["yes", "Find polyps"],
      ["", "Keep the masks"],
    ],
  );
  return answer === "yes";
}

export function showHelp() {
  return open(element("help-dialog"));
}

/** @returns {Promise<{format: string, original?: string}|null>} */
export function askForExport(note) {
  element("export-note").textContent = note;
  return open(element("export-dialog"));
}

/** @returns {Promise<{format: string, file: File, first_frame: string}|null>} */
export function askForImport() {
  const dialog = element("import-dialog");
  const form = dialog.querySelector("form");
  form.reset();
  const { format } = form.elements;
  const showFields = () => {
    element("import-first-frame").hidden = format.value !== "nifti" && format.value !== "nrrd";
  };
  format.onchange = showFields;
  showFields();
  return open(dialog);
}

/** @returns {Promise<{name: string, colour: string}|null>} */
export function askForLesion({ id, name, colour }) {
  const dialog = element("lesion-dialog");
  element("lesion-title").textContent = `Lesion ${id}`;
  const fields = dialog.querySelector("form").elements;
  fields.name.value = name;
  fields.colour.value = colour;
  const answer = open(dialog);
  fields.name.select();
  return answer;
}

/** @returns {Promise<{from: number, into: number}|null>} two different ids */
export async function askForMerge(lesions, active, selection) {
  const dialog = element("merge-dialog");
  element("merge-where").textContent = selection
    ? `This changes the frames ${shownNumber(selection.first)} to ${shownNumber(selection.last)}.`
    : "This changes every frame of the video.";
  const options = () => lesions.map(({ id, name }) => new Option(`${id} – ${name}`, id));
  const [from, into] = dialog.querySelectorAll("select");
  from.replaceChildren(...options());
  into.replaceChildren(...options());
  into.value = active;
  from.value = lesions.find(({ id }) => id !== active).id;
  // The two always differ: choosing one lesion in both swaps them.
  let before = [from.value, into.value];
  from.onchange = into.onchange = () => {
    if (from.value === into.value) [from.value, into.value] = [before[1], before[0]];
    before = [from.value, into.value];
  };
  const answer = await open(dialog);
  return answer && { from: Number(answer.from), into: Number(answer.into) };
}

/** @returns {Promise<{username: string, password: string}>} stays open until it is answered */
export async function askToSignIn(problem) {
  const dialog = element("sign-in-dialog");
  element("sign-in-problem").textContent = problem;
  dialog.querySelector("[type=password]").value = "";
  for (;;) {
    const answer = await open(dialog);
    if (answer) return answer;
  }
}
