/** The texts about the open video and its current frame. */

import { element, make, setPressed, setText } from "./dom.js";
import { drawLesions, lesionRows } from "./lesion_list.js";
import { plural, shownNumber } from "./messages.js";
import { stateOf } from "./video_list.js";

export class Readings {
  /** @param {(id: number) => void} onChooseLesion */
  constructor(editor, onChooseLesion) {
    Object.assign(this, { editor, onChooseLesion });
    this.hasSignIn = false; // without sign-in, all people have the same name
    this.isAccepted = false; // whether people have accepted the preview
  }

  drawVideo() {
    const { video, lastFrame } = this.editor;
    if (!video) {
      setText("video-name", "LSI-Net label");
      setText("video-state", "");
      element("spread").hidden = true;
      // Nothing of the video before may seem to be this one's.
      for (const id of ["frame-count", "reading", "frame-state", "spreads"]) setText(id, "");
      element("frame-number").value = "";
      element("take-back").hidden = true;
      element("warnings").replaceChildren();
      document.title = "LSI-Net label";
      drawLesions([], null, [], this.onChooseLesion);
      return;
    }
    setText("video-name", video.name);
    setText("video-state", stateOf(video));
    setPressed("final", video.final);
    setText("frame-count", video.frames === null ? "(counting)" : `of ${shownNumber(lastFrame)}`);
    element("frame-number").max = shownNumber(lastFrame);
    document.querySelector("#legend .waiting").hidden = !video.without_mask;
    element("warnings").replaceChildren(...(video.warnings ?? []).map((line) => make("li", { textContent: line })));
    if (video.error) setText("stage-state", video.error);
    const [spread, ...others] = video.spreads;
    element("spread").hidden = !spread || video.final;
    if (spread) {
      const { frame, frames } = spread;
      setText("spread-title", "Keep the propagation?");
      const [first, last] = [frames[0], frames.at(-1)].map(shownNumber);
      const waiting = others.length ? ` ${plural(others.length, "earlier one")} not kept or undone yet.` : "";
      setText(
        "spread-frames",
        `From frame ${shownNumber(frame)}, it changed ${plural(frames.length, "frame")}: ${first} to ${last}.${waiting}`,
      );
    }
    document.title = `${video.name} – LSI-Net label`;
    this.drawFrame();
  }

  drawFrame() {
    const { video, frame, shown, lesion, damaged } = this.editor;
    if (!video) return;
    if (document.activeElement !== element("frame-number")) element("frame-number").value = shownNumber(frame);
    setText("reading", this.#scores());
    const state = this.#state();
    setText("frame-state", state);
    element("frame-state").className = this.editor.unsaved.length ? "unsaved" : "";
    element("take-back").hidden = video.final || !video.corrections.some((correction) => correction.frame === frame);
    const { first, last } = this.editor.reachFrom(frame);
    const reach = `Propagate saves this frame, and reaches the frames ${shownNumber(first)} to ${shownNumber(last)}.`;
    setText("spreads", this.#showsPreview || damaged ? "" : reach);

    const inFrame = shown?.frame === frame ? shown.mask.ids() : [];
    drawLesions(lesionRows(this.editor), lesion, inFrame, this.onChooseLesion);
    const names = inFrame.map((id) => video.lesions.find((other) => other.id === id)?.name ?? `lesion ${id}`);
    const label = `Frame ${shownNumber(frame)}: ${names.join(", ") || "no lesion"}. ${state}`;
    element("stage").setAttribute("aria-label", label);
  }

  /** The preview of a spread, and the buttons for it. */
  drawPreview({ isOpen, line }) {
    element("preview").hidden = !line;
    setText("preview-frames", line);
    element("preview").querySelector("button").hidden = !isOpen;
    this.isAccepted = Boolean(line) && !isOpen;
    this.drawFrame();
  }

  /** What is selected, and the buttons for it. */
  drawSelection() {
    const { selection } = this.editor;
    element("selection").hidden = !selection || this.editor.video.final;
    setPressed("select", Boolean(selection));
    this.drawFrame();
    if (!selection) return;
    const { first, last } = selection;
    const [from, to] = [first, last].map(shownNumber);
    setText("selection-title", `${from === to ? `Frame ${from}` : `Frames ${from} to ${to}`} selected`);
  }

  /** The time and the scores of the frame. */
  #scores() {
    const { video, frame } = this.editor;
    const readings = [clock(this.editor.secondsAt(frame))];
    for (const [name, values] of [
      ["polyp likely", video.scores],
      ["may be wrong", video.doubt],
    ]) {
      const value = values?.[frame] ?? null;
      if (value !== null) readings.push(`${name} ${Math.round(100 * value)}%`);
    }
    return readings.join(" · ");
  }

  /** Whether the current frame's mask is a preview. */
  get #showsPreview() {
    const { shown, frame } = this.editor;
    return shown?.frame === frame && shown.mask.isPreview;
  }

  /** The source of the current mask, and what is not saved. */
  #state() {
    const { video, frame, shown, unsaved, polygon, damaged } = this.editor;
    const source = shown?.frame === frame ? shown.mask.source : "";
    let state = { predicted: "Predicted by the network", none: "No mask yet" }[source] ?? damaged ?? "";
    if (source === "predicted" && video.propagated.includes(frame)) state = "Propagated from a correction";
    const correction = video.corrections.find((other) => other.frame === frame);
    if (correction) {
      const time = new Date(correction.time).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
      const what = correction.how === "checked" ? "Checked" : correction.empty ? "No polyp" : "Corrected";
      const by = this.hasSignIn && correction.user ? ` by ${correction.user}` : "";
      state = `${what}${by}, ${time}`;
    }
    if (this.#showsPreview) state = this.isAccepted ? "Preview: it is being stored" : "Preview: not saved";
    if (video.final) state = "The video is final";
    const isUnsaved = unsaved.includes(frame);
    if (isUnsaved) state = `Frame ${shownNumber(frame)} is not saved`;
    if (polygon) state = "The polygon is open: Enter closes it";
    const others = unsaved.length - Number(isUnsaved);
    if (others) state += `${state ? "; " : ""}${plural(others, "other")} not saved`;
    return state;
  }
}

/** Seconds as "1:02.50". */
function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
