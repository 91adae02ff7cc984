/** The list of jobs: those that wait or run, and those that failed. */

import { element, isHeldDown, make, refill } from "./dom.js";
import { inPeoplesWords, shownNumber } from "./messages.js";

const KINDS = { annotate: "Finding polyps", propagate: "Propagating", label: "Saving the final masks" };

/** Seconds as "40 s" or "3 min". */
function duration(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

/**
 * @param {(job) => boolean} isTakenBack  whether the correction from which a job propagates is not there any more
 * @param {(job) => void} onCancel   called for a job that waits or runs
 * @param {(job) => void} onDismiss  called for a job that has failed
 */
export function drawJobs(jobs, nameOf, isTakenBack, onCancel, onDismiss) {
  const list = element("job-list");
  if (isHeldDown(list)) return;
  const rows = jobs.map((job) => {
    const from = job.frame !== null ? ` from frame ${shownNumber(job.frame)}` : "";
    const what = isTakenBack(job) ? `Taking back what came${from}` : `${KINDS[job.kind] ?? job.kind}${from}`;
    const hasFailed = job.state === "failed";
    const act = hasFailed ? "Dismiss" : "Cancel";
    const button = make("button", {
      type: "button",
      textContent: act,
      attributes: { "data-key": job.job, "aria-label": `${act}: ${what}, ${nameOf(job.image)}` },
    });
    button.addEventListener("click", () => (hasFailed ? onDismiss(job) : onCancel(job)));
    const name = make("span", { className: "name", textContent: `${what}: ${nameOf(job.image)}` });
    return make("li", {}, name, button, ...(hasFailed ? [problem(job)] : progress(job, what)));
  });
  refill(list, rows);
}

const problem = ({ message }) => make("span", { className: "problem", textContent: inPeoplesWords(message) });

function progress(job, what) {
  const left = job.seconds_left === null ? "" : `${duration(job.seconds_left)} left`;
  return [
    make("progress", { value: job.progress, attributes: { "aria-label": what } }),
    make("span", { textContent: job.state === "queued" ? "waiting" : left }),
  ];
}
