/** Which frames of a video this browser has shown on its stage, for what is asked before it is final or checked. */

import { runsOf } from "./frame_ranges.js";

const PREFIX = "lsinet.seen";
const PAUSE = 1000; // milliseconds between two writes

export class SeenFrames {
  constructor(editor) {
    this.editor = editor;
    this.frames = new Set();
    this.writing = null;
    editor.addEventListener("shown", () => {
      const { video, shown } = editor;
      if (!shown) return;
      if (video.id !== this.id) {
        if (this.writing) this.#write(); // of the video before
        Object.assign(this, { id: video.id, frames: read(video.id) });
      }
      this.frames.add(shown.frame);
      this.writing ??= setTimeout(() => this.#write(), PAUSE);
    });
  }

  #write() {
    clearTimeout(this.writing);
    this.writing = null;
    try {
      localStorage.setItem(nameOf(this.id), asText(this.frames));
    } catch {
      localStorage.removeItem(nameOf(this.id)); // the storage is full: drafts matter more
    }
  }
}

const nameOf = (id) => JSON.stringify([PREFIX, id]);

/** Frames as text: "0-12,15-15". */
const asText = (frames) =>
  runsOf(frames)
    .map((run) => run.join("-"))
    .join(",");

function read(id) {
  const runs = (localStorage.getItem(nameOf(id)) ?? "").split(",").filter(Boolean);
  return new Set(
    runs.flatMap((run) => {
      const [first, last] = run.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    }),
  );
}
