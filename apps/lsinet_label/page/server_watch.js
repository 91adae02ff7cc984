/** Asks the server regularly for its status, videos and jobs, and finds the jobs that have ended. */

import { complain } from "./messages.js";

const BUSY_PAUSE = 1; // seconds between two looks at the server while a job runs
const IDLE_PAUSE = 5;

const isActive = (job) => job.state === "queued" || job.state === "running";

/** Events: "status" (detail: the server's status), "videos" (videos and jobs were loaded). */
export class ServerWatch extends EventTarget {
  /** @param {(job) => Promise<void>} onJobEnd  called once for each job that ends while the page is open */
  constructor(api, editor, onJobEnd) {
    super();
    Object.assign(this, { api, editor, onJobEnd });
    this.videos = [];
    this.jobs = [];
    this.dismissed = new Set(); // ids of failed jobs that a person dismissed
    this.isFirstLook = true;
    this.nextLook = null;
  }

  nameOf = (id) => this.videos.find((video) => video.id === id)?.name ?? id;

  /** The jobs that run or wait, and the failed ones that nobody has dismissed. */
  get shownJobs() {
    return this.jobs.filter((job) => isActive(job) || (job.state === "failed" && !this.dismissed.has(job.job)));
  }

  async look() {
    clearTimeout(this.nextLook);
    const { api } = this;
    try {
      const [videos, jobs, status] = await Promise.all([api.videos(), api.jobs(), api.status()]);
      this.dispatchEvent(new CustomEvent("status", { detail: status }));
      await this.#update(videos, jobs);
      this.dispatchEvent(new Event("videos"));
    } catch (error) {
      complain(error);
    }
    clearTimeout(this.nextLook);
    this.nextLook = setTimeout(() => this.look(), 1000 * (this.jobs.some(isActive) ? BUSY_PAUSE : IDLE_PAUSE));
  }

  async #update(videos, jobs) {
    const { editor } = this;
    const before = new Map(this.jobs.map((job) => [job.job, job]));
    const over = jobs.filter((job) => !isActive(job));
    // Jobs that ended before the page was opened are not reported.
    const ended = this.isFirstLook ? [] : over.filter(({ job }) => !before.has(job) || isActive(before.get(job)));
    if (this.isFirstLook) this.dismissed = new Set(over.map(({ job }) => job));
    this.isFirstLook = false;
    const findOpen = () => this.videos.find(({ id }) => id === editor.video?.id);
    const old = findOpen();
    Object.assign(this, { videos, jobs });
    for (const job of ended) await this.onJobEnd(job);
    const now = findOpen();
    const differs = old && now && ["state", "saves", "frames"].some((key) => old[key] !== now[key]);
    if (differs && !ended.length) await editor.refresh();
    else if (now && editor.video) Object.assign(editor.video, { state: now.state, progress: now.progress });
  }
}
