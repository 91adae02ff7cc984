/** Pictures or masks around the current frame: loaded ahead, and dropped when far, to bound the memory. */

const MEMORY = 192e6; // bytes of pictures and masks around the current frame
const BEHIND = 0.25; // share of them behind the current frame, seen in the direction of play

/**
 * The frames to load around one, the most urgent first.
 *
 * @param {number} step   1 or -1: where people go
 * @param {number} bytes  of the picture and mask of a frame
 */
export function framesAround(frame, step, lastFrame, bytes) {
  const size = Math.max(12, Math.min(100, Math.floor(MEMORY / bytes)));
  const behind = Math.ceil(BEHIND * size);
  const ahead = Array.from({ length: size - behind }, (_, i) => frame + i * step);
  const past = Array.from({ length: behind }, (_, i) => frame - (i + 1) * step);
  return [...ahead, ...past].filter((n) => n >= 0 && n <= lastFrame);
}

export class FrameWindow {
  /**
   * @param {(frame: number, signal: AbortSignal) => Promise} load
   * @param {(value) => void} release  called with each value that is dropped
   * @param {number} parallel          how many load at one time
   */
  constructor(load, release, parallel) {
    Object.assign(this, { load, release, parallel });
    this.entries = new Map();
    this.failed = new Set(); // frames that could not be loaded; only `get` tries again
    this.wanted = [];
  }

  /** Move the window to the `wanted` frames, the most urgent first; drop all others. */
  move(wanted) {
    this.wanted = wanted;
    const kept = new Set(wanted);
    for (const frame of [...this.entries.keys()]) if (!kept.has(frame)) this.drop(frame);
    this.#fill();
  }

  /** Drop frames: the next request loads them again. */
  drop(...frames) {
    for (const frame of frames) {
      const entry = this.entries.get(frame);
      if (!entry) continue;
      this.entries.delete(frame);
      entry.abort.abort();
      if (entry.value !== undefined) this.release(entry.value);
    }
  }

  clear() {
    this.wanted = [];
    this.failed.clear();
    this.drop(...this.entries.keys());
  }

  /** The value of a frame if it is loaded, or undefined. */
  peek(frame) {
    return this.entries.get(frame)?.value;
  }

  /** Resolves to the value of a frame; rejects with an AbortError if it is dropped before it has loaded. */
  get(frame) {
    return (this.entries.get(frame) ?? this.#start(frame)).promise;
  }

  #start(frame) {
    const entry = { abort: new AbortController(), isLoading: true };
    this.entries.set(frame, entry);
    this.failed.delete(frame);
    entry.promise = this.load(frame, entry.abort.signal).then(
      (value) => {
        entry.isLoading = false;
        if (entry.abort.signal.aborted) {
          this.release(value);
          throw new DOMException("The frame is no longer wanted", "AbortError");
        }
        entry.value = value;
        this.#fill();
        return value;
      },
      (error) => {
        if (this.entries.get(frame) === entry) {
          this.entries.delete(frame);
          this.failed.add(frame);
          this.#fill();
        }
        throw error;
      },
    );
    entry.promise.catch(() => {});
    return entry;
  }

  #fill() {
    let free = this.parallel - [...this.entries.values()].filter((entry) => entry.isLoading).length;
    for (const frame of this.wanted) {
      if (free <= 0) return;
      if (this.entries.has(frame) || this.failed.has(frame)) continue;
      this.#start(frame);
      free--;
    }
  }
}
