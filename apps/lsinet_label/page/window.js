/** What lies around the frame that is shown: loaded ahead of need, dropped behind it, so its size is bounded. */

export class FrameWindow {
  /**
   * @param {(frame: number, signal: AbortSignal) => Promise} load
   * @param {(value) => void} release  called with what is dropped
   * @param {number} parallel          loads at one time
   */
  constructor(load, release, parallel) {
    Object.assign(this, { load, release, parallel });
    this.entries = new Map();
    this.wanted = [];
  }

  /** Move the window: `wanted` are the frames in it, the most urgent first; all others are dropped. */
  move(wanted) {
    this.wanted = wanted;
    const kept = new Set(wanted);
    for (const frame of [...this.entries.keys()]) if (!kept.has(frame)) this.drop(frame);
    this.#fill();
  }

  /** Drop frames, so that they are loaded anew when next wanted. */
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
    this.drop(...this.entries.keys());
  }

  /** What is loaded of the frame, or undefined. */
  peek(frame) {
    return this.entries.get(frame)?.value;
  }

  /** A promise of the frame; one that is dropped before it is there rejects with an AbortError. */
  get(frame) {
    return (this.entries.get(frame) ?? this.#start(frame)).promise;
  }

  #start(frame) {
    const entry = { abort: new AbortController(), isLoading: true };
    this.entries.set(frame, entry);
    entry.promise = this.load(frame, entry.abort.signal).then(
      (value) => {
        entry.isLoading = false;
        if (entry.abort.signal.aborted) {
          this.release(value);
          throw new DOMException("The frame is not wanted any more", "AbortError");
        }
        entry.value = value;
        this.#fill();
        return value;
      },
      (error) => {
        // Forgotten, so that the next wish for it tries again.
        if (this.entries.get(frame) === entry) this.entries.delete(frame);
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
      if (this.entries.has(frame)) continue;
      this.#start(frame);
      free--;
    }
  }
}
