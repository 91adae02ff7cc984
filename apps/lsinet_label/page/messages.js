/** Messages: the line below the picture, and the banner for lasting states. */

import { ServerError } from "./api.js";
import { element, setText } from "./dom.js";
import { runsOf } from "./frame_ranges.js";

export const IS_FINAL = "This video is marked as final. Press F to work on it again.";
export const CHOOSE_VIDEO = "Choose a video first.";

let saidAt = 0;

export function say(text) {
  saidAt = performance.now();
  element("message").className = "";
  setText("message", text);
}

/** Remove a message that is older than something that made it untrue. */
export function forgetBefore(time) {
  if (saidAt < time) say("");
}

/** @param {Error|string} error */
export function complain(error) {
  if (error.name === "AbortError") return;
  element("message").className = "problem";
  setText("message", explain(error));
}

export function showBanner(text, kind = "") {
  if (element("banner").textContent !== text)
    Object.assign(element("banner"), { hidden: !text, className: kind, textContent: text });
}

// What the server tells programs to do, and what people do on the page.
const WORDS = [
  [/\bGive first_frame, the index of the stack's first frame/, "Enter the number of its first frame"],
  [/, or add partial=true$/, ""],
  [/; with labels=NAME:1, all shapes of that label are lesion 1$/, ""],
  [/: choose labels=NAME, from .*/, ": choose them below"],
];

/** A line of the server as people read it on the page: no names of the calls' options, and frames count from 1. */
export function inPeoplesWords(text) {
  const plain = WORDS.reduce((line, [words, others]) => line.replace(words, others), text);
  return plain.replace(/\bframes? \d+(?:(?:, | to )\d+)*/g, (frames) =>
    frames.replace(/\d+/g, (frame) => shownNumber(Number(frame))),
  );
}

/** Explain in one line what went wrong. */
export function explain(error) {
  if (typeof error === "string") return error;
  const line = inPeoplesWords(error.message);
  if (error instanceof ServerError && error.status === 507)
    return `The server's disk is full; your change is still here. ${line}`;
  return line;
}

/** Why the frame in sight cannot be read. */
export const cannotRead = (error) =>
  `This frame cannot be read: ${explain(error).replace(/^frame \d+ of '.*' is damaged or missing.*/, "it is damaged or missing.")}`;

/** The number of a frame as people see it. Files and the server count from 0. */
export const shownNumber = (frame) => frame + 1;

/** Frames as people read them: "frame 80", "frames 80 and 84", "frames 3, 5 to 8 and 12". */
export function nameFrames(frames) {
  const names = runsOf(frames).flatMap(([first, last]) =>
    last - first > 1 ? `${shownNumber(first)} to ${shownNumber(last)}` : [...new Set([first, last])].map(shownNumber),
  );
  const end = names.pop();
  return `${frames.length > 1 ? "frames" : "frame"} ${names.length ? `${names.join(", ")} and ` : ""}${end}`;
}

/** That frames are not saved, as the beginning of a sentence: "Frames 80 and 84 are not saved". */
export const areNotSaved = (frames, still = "") =>
  `${nameFrames(frames).replace("f", "F")} ${frames.length > 1 ? "are" : "is"} ${still}not saved`;

const ACTS = {
  check: (frames) => `marking ${frames} as checked`,
  empty: (frames) => `no polyp in ${frames}`,
  clear: (frames) => `taking back the saved masks of ${frames}`,
  copy: (frames) => `the same mask in ${frames}`,
  remove: (frames) => `deleting a lesion from ${frames}`,
  relabel: (frames) => `changing a lesion in ${frames}`,
  merge: () => "merging two lesions in the whole video",
  unlist: () => "deleting a lesion that no frame showed",
};
const MOST_RUNS = 4; // of frames that a line names one by one

/** What people did to frames: "no polyp in frames 84 to 86". */
export function nameAct(name, frames) {
  if (runsOf(frames).length <= MOST_RUNS) return ACTS[name](frames.length ? nameFrames(frames) : "");
  return ACTS[name](`${frames.length} frames from ${shownNumber(frames[0])} to ${shownNumber(frames.at(-1))}`);
}

export const plural = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;
