/** Steps that wait for the server: one at a time, so that pressing a key twice does not do a thing twice. */

import { CHOOSE_VIDEO, complain, IS_FINAL, say } from "./messages.js";

export class Steps {
  /** @param {() => void} onStep  called after each step, because the server's videos and jobs may have changed */
  constructor(editor, onStep) {
    Object.assign(this, { editor, onStep, isBusy: false, last: null });
  }

  /**
   * Run a step. If it fails, the page shows why, and unsaved masks stay. Resolves to whether it succeeded.
   *
   * @param {boolean} waits  whether the step waits for the one before it; if not, it is refused meanwhile
   */
  async run(act, { waits = false } = {}) {
    if (this.isBusy && !waits) {
      say("Please wait: the server has not answered the last step yet.");
      return false;
    }
    const before = this.last;
    let finish;
    this.last = new Promise((done) => (finish = done));
    this.isBusy = true;
    await before;
    this.isBusy = true;
    try {
      await act();
      return true;
    } catch (error) {
      complain(error);
      return false;
    } finally {
      this.isBusy = false;
      finish();
      this.onStep();
    }
  }

  /** Whether a video is open and, to edit it, not final; if not, a message says so. */
  isOpen({ toEdit = false } = {}) {
    const { video, problem } = this.editor;
    if (!video) say(problem ?? CHOOSE_VIDEO);
    else if (toEdit && video.final) say(IS_FINAL);
    else return true;
    return false;
  }
}
