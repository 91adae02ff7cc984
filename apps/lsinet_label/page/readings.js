/** The texts about the open video and its current frame. */

import { element, make, setPressed, setText } from "./dom.js";
import { drawLesions } from "./lesion_list.js";
import { plural } from "./messages.js";
import { stateOf } from "./video_list.js";

export class Readings {
  /** @param {(id: number) => void} onChooseLesion */
  constructor(editor, onChooseLesion) {
    Object.assign(this, { editor, onChooseLesion });
  }

  drawVideo() {
    const { video, lastFrame } = this.editor;
    if (!video) return;
    setText("video-name", video.name);
    setText("video-state", stateOf(video));
    setPressed("final", video.final);
    setText("frame-count", video.frames === null ? "(counting)" : `of ${lastFrame}`);
    element("frame-number").max = lastFrame;
    document.querySelector("#legend .waiting").hidden = !video.without_mask;
    element("warnings").replaceChildren(...(video.warnings ?? []).map((line) => make("li", { textContent: line })));
    if (video.error) setText("stage-state", video.error);
    document.title = `${video.name} – LSI-Net label`;
    this.drawFrame();
  }

  drawFrame() {
    const { video, frame, shown, lesion } = this.editor;
    if (!video) return;
    if (document.activeElement !== element("frame-number")) element("frame-number").value = frame;
    setText("reading", this.#scores());
    const state = this.#state();
    setText("frame-state", state);
    element("frame-state").className = this.editor.unsaved.length ? "unsaved" : "";

    const inFrame = shown?.frame === frame ? shown.mask.ids() : [];
    drawLesions(video.lesions, lesion, inFrame, this.onChooseLesion);
    const names = inFrame.map((id) => video.lesions.find((other) => other.id === id)?.name ?? `lesion ${id}`);
    element("stage").setAttribute("aria-label", `Frame ${frame}: ${names.join(", ") || "no lesion"}. ${state}`);
  }

  /** The time and the scores of the frame. */
  #scores() {
    const { video, frame } = this.editor;
    const readings = [clock(this.editor.secondsAt(frame))];
    for (const [name, values] of [
      ["score", video.scores],
      ["uncertainty", video.uncertainty],
    ]) {
      const value = values?.[frame] ?? null;
      if (value !== null) readings.push(`${name} ${value.toFixed(2)}`);
    }
    return readings.join(" · ");
  }

  /** The source of the current mask, and what is not saved. */
  #state() {
    const { video, frame, shown, unsaved } = this.editor;
    const source = shown?.frame === frame ? shown.mask.source : "";
    let state = { predicted: "Predicted by the network", none: "No mask yet" }[source] ?? "";
    const correction = video.corrections.find((other) => other.frame === frame);
    if (correction) {
      const time = new Date(correction.time).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
      state = `${correction.empty ? "No polyp, by" : "Corrected by"} ${correction.user ?? "a person"}, ${time}`;
    }
    if (video.final) state = "The video is final";
    const isUnsaved = unsaved.includes(frame);
    if (isUnsaved) state = `Frame ${frame} is not saved`;
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
