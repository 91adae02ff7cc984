/** Plays the video at its frame rate. If the server is slower, frames are shown later, but none is skipped. */

export class Player {
  constructor(editor, onChange) {
    Object.assign(this, { editor, onChange, isPlaying: false });
  }

  toggle() {
    if (this.isPlaying) return this.stop();
    const { editor } = this;
    if (!editor.video?.frames) return;
    if (editor.frame === editor.lastFrame) editor.seek(0);
    this.isPlaying = true;
    this.due = performance.now();
    this.onChange();
    requestAnimationFrame((now) => this.#tick(now));
  }

  stop() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.onChange();
  }

  #tick(now) {
    if (!this.isPlaying) return;
    const { editor } = this;
    const next = editor.frame + 1;
    if (next > editor.lastFrame) return this.stop();
    const due = this.due + 1000 * (editor.secondsAt(next) - editor.secondsAt(editor.frame));
    // The screen refreshes every 16 ms: half of that too early is as exact as half of it too late.
    if (now >= due - 8 && editor.shown?.frame === editor.frame && editor.isLoaded(next)) {
      this.due = Math.max(due, now - 50); // do not catch up on time lost while loading
      editor.seek(next);
    }
    requestAnimationFrame((later) => this.#tick(later));
  }
}
