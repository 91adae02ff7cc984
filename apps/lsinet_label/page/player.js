/** Playing: every frame in its time, later where the server is slower; none is left out. */

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
    // Half a refresh of the screen early is nearer than half a refresh late.
    if (now >= due - 8 && editor.shown?.frame === editor.frame && editor.isLoaded(next)) {
      this.due = Math.max(due, now - 50); // what was lost while loading is not caught up
      editor.seek(next);
    }
    requestAnimationFrame((later) => this.#tick(later));
  }
}
