/** The lists: videos, jobs, lesions. Each is drawn from data and keeps none of its own. */

function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Put `rows` in place of a list's children; the control that has the focus (by its `key`) keeps it. */
function refill(list, rows) {
  const { key } = list.contains(document.activeElement) ? document.activeElement.dataset : {};
  const { scrollTop } = list;
  list.replaceChildren(...rows);
  list.scrollTop = scrollTop;
  if (key) [...list.querySelectorAll("[data-key]")].find((control) => control.dataset.key === key)?.focus();
}

/** Whether a button of the list is held down: replaced now, it would lose its click. The next news come soon. */
const isPressed = (list) => list.matches(":active");

const STATES = {
  new: "New",
  annotating: "Working",
  annotated: "Polyps found",
  corrected: "Corrected",
  final: "✓ Final",
  failed: "Failed",
};

export function stateOf(video) {
  if (video.state === "annotating" && video.progress !== null) return `Working, ${Math.round(100 * video.progress)}%`;
  if (video.state === "corrected") return `${video.corrected} corrected`;
  return STATES[video.state] ?? video.state;
}

/** @param {(video) => number} unsavedOf  how many frames of a video are not saved */
export function drawVideos(list, videos, current, unsavedOf, onChoose) {
  if (isPressed(list)) return;
  const rows = videos.map((video) => {
    const unsaved = unsavedOf(video);
    const right = make("span", { className: "doubt-bar" });
    if (video.rank !== null && video.state !== "final") {
      const share = make("span");
      share.style.width = `${Math.round(100 * Math.min(1, Math.max(0, video.rank)))}%`;
      right.append(share);
      right.title = `Doubt: ${video.rank.toFixed(2)}`;
    } else {
      right.classList.remove("doubt-bar");
    }
    const button = make(
      "button",
      { type: "button", attributes: { "data-key": video.id, "aria-current": String(video.id === current) } },
      make("span", { className: "name", textContent: video.name }),
      make(
        "span",
        { className: "line" },
        make("span", { className: video.state, textContent: stateOf(video), title: video.error ?? "" }),
        right,
      ),
    );
    if (unsaved) button.append(make("span", { className: "line unsaved", textContent: `${unsaved} not saved` }));
    if (video.progress !== null && video.state === "annotating")
      button.append(make("progress", { value: video.progress }));
    button.addEventListener("click", () => onChoose(video));
    return make("li", {}, button);
  });
  refill(list, rows.length ? rows : [make("li", { className: "none", textContent: "No video here." })]);
}

const KINDS = { annotate: "Finding polyps", propagate: "Propagating", label: "Writing the label" };

/** Seconds as "40 s" or "3 min". */
export function duration(seconds) {
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;
}

export function drawJobs(list, jobs, nameOf, onCancel, onDismiss) {
  if (isPressed(list)) return;
  const rows = jobs.map((job) => {
    const where = job.frame !== null ? ` from frame ${job.frame}` : "";
    const title = `${KINDS[job.kind] ?? job.kind}${where}`;
    const failed = job.state === "failed";
    const wait =
      job.state === "queued" ? "waits" : job.seconds_left === null ? "" : `${duration(job.seconds_left)} left`;
    const button = make("button", {
      type: "button",
      textContent: failed ? "Dismiss" : "Cancel",
      attributes: {
        "data-key": job.job,
        "aria-label": `${failed ? "Dismiss" : "Cancel"}: ${title}, ${nameOf(job.image)}`,
      },
    });
    button.addEventListener("click", () => (failed ? onDismiss(job) : onCancel(job)));
    const row = make(
      "li",
      {},
      make("span", { className: "name", textContent: `${title}: ${nameOf(job.image)}` }),
      button,
    );
    if (failed) row.append(make("span", { className: "problem", textContent: job.message }));
    else
      row.append(
        make("progress", { value: job.progress, attributes: { "aria-label": title } }),
        make("span", { textContent: wait }),
      );
    return row;
  });
  refill(list, rows);
}

/** @param {number[]} here  ids of the lesions that the frame shows */
export function drawLesions(list, lesions, active, here, onChoose) {
  // Asked for with every frame that is played, and seldom any different.
  const drawn = JSON.stringify([lesions, active, here]);
  if (list.dataset.drawn === drawn) return;
  list.dataset.drawn = drawn;
  const rows = lesions.map(({ id, name, colour }) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = colour;
    const mark = make("span", { className: "here", textContent: here.includes(id) ? "●" : "", title: "In this frame" });
    const button = make(
      "button",
      { type: "button", attributes: { "data-key": id, "aria-pressed": String(id === active) } },
      make("kbd", { textContent: id }),
      swatch,
      make("span", { className: "name", textContent: name }),
      mark,
    );
    button.addEventListener("click", () => onChoose(id));
    return make("li", {}, button);
  });
  refill(list, rows);
  list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
}
