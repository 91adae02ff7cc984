/** Reports to people what jobs have changed. */

import { complain, inPeoplesWords, plural, say, shownNumber } from "./messages.js";

const BETWEEN_PEOPLE = "the frames next to it are people's own (saved, checked, or not saved yet)";

export class JobReports {
  /**
   * @param {SpreadPreview} preview
   * @param {() => object[]} jobs  the server's
   */
  constructor(api, editor, preview, jobs) {
    Object.assign(this, { api, editor, preview, jobs });
  }

  /** Recall what the last propagation changed, after the video was opened. */
  async recallChanges() {
    const { id } = this.editor.video;
    const isSpread = (job) => job.image === id && job.kind === "propagate" && job.state === "done";
    const last = this.jobs().findLast(isSpread);
    const { changed } = last ? await this.api.job(last.job) : {};
    if (this.editor.video?.id === id) this.editor.showChanged((changed ?? []).filter(({ change }) => change > 0));
  }

  /** Keep what a job propagated, because people saw and accepted it before; resolves to whether anything changed. */
  async #keepSeen({ job, image, frame }) {
    const { changed } = await this.api.job(job);
    const spread = (await this.api.video(image)).spreads.find((other) => other.frame === frame);
    if (!spread || !changed?.length) return false;
    await this.api.keepSpread(image, spread.act);
    return true;
  }

  /** Whether a propagation could reach no other frame. */
  #isAlone({ kind, frame }) {
    if (kind !== "propagate" || frame === null) return false;
    const { first, last } = this.editor.reachFrom(frame, null);
    return first === last;
  }

  /** Report a job that has just ended, and show what it changed. */
  async reportEnd(job, nameOf) {
    const { editor } = this;
    const isHere = job.image === editor.video?.id;
    if (job.state === "failed") complain(`${nameOf(job.image)}: ${inPeoplesWords(job.message)}`);
    const isKept = job.state === "done" && this.preview.wasSeen(job.job) && (await this.#keepSeen(job));
    if (!isHere || job.kind === "label") return;
    const changed = ((await this.api.job(job.job)).changed ?? []).filter(({ change }) => change > 0);
    editor.changed = job.kind === "propagate" ? changed : [];
    await editor.refresh();
    this.preview.end(job.job);
    editor.reload(null);
    if (job.state === "cancelled" && changed.length) {
      const canUndo = job.kind === "propagate" && job.frame !== null && editor.video.spreads[0]?.frame === job.frame;
      say(
        `The job is cancelled; ${plural(changed.length, "frame")} had changed already.${canUndo ? " Shift+U undoes it." : ""}`,
      );
    }
    if (job.state !== "done") return;
    if (job.kind === "annotate") {
      const { unreadable } = editor.video;
      const damaged = unreadable ? ` ${plural(unreadable, "frame")} cannot be read.` : "";
      say(`The polyps are found.${damaged} Press N for the next doubtful frame.`);
    } else if (!changed.length) {
      say(`No other mask has changed: ${this.#isAlone(job) ? BETWEEN_PEOPLE : "they agree with yours, or their frames show something else"}.`);
    } else {
      const most = editor.mostChanged;
      say(
        `${plural(changed.length, "frame")} changed${isKept ? ", as the preview showed" : ""}, most of all frame ${shownNumber(most.frame)} (by ${Math.round(100 * most.change)}%). Press J to see it.`,
      );
    }
  }
}
