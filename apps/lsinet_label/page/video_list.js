/** The list of videos: filter, order, and going to the next one. */

import { element, isHeldDown, make, refill } from "./dom.js";
import { plural } from "./messages.js";

const STATES = {
  new: "New",
  annotating: "Working",
  "partly annotated": "Partly done",
  annotated: "Polyps found",
  corrected: "Corrected",
  final: "✓ Final",
  failed: "Failed",
};

export function stateOf(video) {
  if (video.state === "annotating" && video.progress !== null) return `Working, ${Math.round(100 * video.progress)}%`;
  const counts = [video.corrected && `${video.corrected} corrected`, video.checked && `${video.checked} checked`];
  const state = video.state === "corrected" ? counts.filter(Boolean).join(", ") : (STATES[video.state] ?? video.state);
  const isPartial = video.without_mask && !["new", "failed"].includes(video.state);
  const masks = isPartial ? `${state}, ${video.without_mask} without a mask` : state;
  return video.unreadable ? `${masks}; ${plural(video.unreadable, "frame")} cannot be read` : masks;
}

const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
const urgency = (video) => (video.state === "final" || video.state === "failed" ? -1 : (video.rank ?? 0));
const byUrgency = (a, b) => urgency(b) - urgency(a) || byName(a, b);

export class VideoList {
  /** @param {(video) => void} onChoose */
  constructor(editor, watch, onChoose) {
    Object.assign(this, { editor, watch, onChoose });
    element("video-filter").addEventListener("input", () => this.draw());
    element("video-order").addEventListener("change", () => this.draw());
  }

  /** The videos in the list, in its order. */
  get videos() {
    const filter = element("video-filter").value.trim().toLowerCase();
    const order = element("video-order").value === "name" ? byName : byUrgency;
    return this.watch.videos.filter(({ name }) => name.toLowerCase().includes(filter)).sort(order);
  }

  draw() {
    const list = element("video-list");
    if (isHeldDown(list)) return;
    const rows = this.videos.map((video) => make("li", {}, this.#button(video)));
    refill(list, rows.length ? rows : [make("li", { className: "none", textContent: "No videos found." })]);
  }

  #button(video) {
    const isOpen = video.id === this.editor.video?.id;
    const state = make("span", { className: video.state, textContent: stateOf(video), title: video.error ?? "" });
    const button = make(
      "button",
      { type: "button", attributes: { "data-key": video.id, "aria-current": String(isOpen) } },
      make("span", { className: "name", textContent: video.name }),
      make("span", { className: "line" }, state, doubtBar(video)),
    );
    const unsaved = this.editor.unsavedOf(video.id).length;
    if (unsaved) button.append(make("span", { className: "line unsaved", textContent: `${unsaved} not saved` }));
    if (video.progress !== null && video.state === "annotating")
      button.append(make("progress", { value: video.progress }));
    button.addEventListener("click", () => this.onChoose(video));
    return button;
  }

  /** Open the next video of the list (direction 1) or the one before (-1). */
  step(direction) {
    const { videos } = this;
    const now = videos.findIndex(({ id }) => id === this.editor.video?.id);
    const next = videos[now + direction] ?? (now < 0 ? videos[0] : null);
    if (next) this.onChoose(next);
  }

  /** Show or hide the list. */
  toggle(isShown = element("videos").hidden) {
    element("videos").hidden = !isShown;
    document.querySelector('[data-action="videos"]').setAttribute("aria-expanded", isShown);
    if (isShown) (element("video-list").querySelector("[aria-current=true]") ?? element("video-filter")).focus();
  }
}

function doubtBar({ rank, state }) {
  const bar = make("span");
  if (rank === null || state === "final") return bar;
  const share = make("span");
  share.style.width = `${Math.round(100 * Math.min(1, Math.max(0, rank)))}%`;
  bar.append(share);
  return Object.assign(bar, { className: "doubt-bar", title: `Doubt: ${rank.toFixed(2)}` });
}
