/**
 * The timeline: shows the network's scores, the lesions, and where each mask comes from along the video. A click goes
 * to a frame, a pull with Shift selects frames; the wheel or two fingers zoom. The visible part then follows the
 * current frame.
 */

import { shownNumber } from "./messages.js";

const FEWEST = 30; // visible frames at the largest zoom
// The rows from top to bottom, in pixels; the curves take what is left.
const ROWS = { lane: 5, lanes: 6, marks: 12, sources: 8, axis: 15 };
const GAP = 3; // between the rows
const TICK = 90; // pixels between the times on the axis, at least
const STEPS = [0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800]; // seconds between them

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export class Timeline {
  constructor(canvas, editor) {
    Object.assign(this, { canvas, editor, hover: null, zoom: 1, first: 0 });
    this.pointers = new Map(); // id -> x on the element, as a share of its width
    this.findings = document.createElement("canvas"); // everything except the flags, which are drawn with every frame
    this.isStale = true;
    const redraw = () => {
      this.isStale = true;
      this.draw();
    };
    new ResizeObserver(redraw).observe(canvas);
    for (const type of ["drafts", "previews"]) editor.addEventListener(type, redraw);
    editor.addEventListener("selection", () => this.draw());
    editor.addEventListener("video", () => {
      if (editor.video?.id !== this.id) Object.assign(this, { id: editor.video?.id, zoom: 1, first: 0 });
      redraw();
    });
    editor.addEventListener("frame", () => {
      const { frame } = editor;
      if (frame < this.first || frame >= this.first + this.#count) this.#show(frame - Math.floor(this.#count / 2));
      this.draw();
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.#share(event));
      this.isDragged = this.pointers.size === 1;
      const frame = this.#frameAt(this.#share(event));
      if (!this.isDragged) return;
      editor.seek(frame);
      this.isSelecting = event.shiftKey;
      if (event.shiftKey) editor.select(frame);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.pointers.size > 1) return this.#pinch(event.pointerId, this.#share(event));
      this.hover = this.#frameAt(this.#share(event));
      if (this.isDragged && this.hover !== editor.frame) editor.seek(this.hover);
      this.draw();
    });
    const letGo = ({ pointerId }) => {
      this.pointers.delete(pointerId);
      if (this.isSelecting) editor.endSelection();
      this.isSelecting = false;
      this.isDragged = false;
      this.hover = null;
      this.draw();
    };
    for (const type of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(type, letGo);
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY / 400), this.#share(event));
        if (event.deltaX) this.#show(this.first + (event.deltaX / canvas.clientWidth) * this.#count);
      },
      { passive: false },
    );
  }

  /** How many frames are visible. */
  get #count() {
    const { frames } = this.editor.video ?? {};
    return frames ? Math.min(frames, Math.max(FEWEST, Math.round(frames / this.zoom))) : 1;
  }

  /** Make a frame the first visible one. */
  #show(first) {
    const { lastFrame } = this.editor;
    this.first = Math.round(Math.max(0, Math.min(lastFrame + 1 - this.#count, first)));
    this.isStale = true;
    this.draw();
  }

  /** Zoom by a factor around a place, a share of the width; by default the current frame. */
  zoomBy(factor, at = (this.editor.frame + 0.5 - this.first) / this.#count) {
    const { editor } = this;
    if (!editor.video?.frames) return;
    const frame = this.first + at * this.#count;
    this.zoom = Math.max(1, Math.min(this.zoom * factor, Math.max(1, editor.video.frames / FEWEST)));
    this.#show(frame - at * this.#count);
  }

  /** Keep the frames under the two fingers. */
  #pinch(moved, at) {
    const between = () => {
      const [a, b] = [...this.pointers.values()];
      return { at: (a + b) / 2, size: Math.max(0.01, Math.abs(a - b)) };
    };
    const before = between();
    this.pointers.set(moved, at);
    const after = between();
    this.zoomBy(after.size / before.size, before.at);
    this.#show(this.first - (after.at - before.at) * this.#count);
  }

  #share(event) {
    const box = this.canvas.getBoundingClientRect();
    return (event.clientX - box.left) / box.width;
  }

  #frameAt(share) {
    const last = this.first + this.#count - 1;
    return Math.max(this.first, Math.min(last, this.first + Math.floor(share * this.#count)));
  }

  /** Draw once before the next refresh of the screen, however often this is called. */
  draw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#draw();
    });
  }

  #draw() {
    const { canvas, editor, findings, hover } = this;
    const sharpness = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (this.isStale) {
      for (const one of [canvas, findings])
        Object.assign(one, { width: width * sharpness, height: height * sharpness });
      const context = findings.getContext("2d");
      context.scale(sharpness, sharpness);
      if (editor.video?.frames) this.#drawFindings(context, width, height);
      this.isStale = false;
    }
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (findings.width && findings.height) context.drawImage(findings, 0, 0);
    context.scale(sharpness, sharpness);
    this.#describe();
    if (!editor.video?.frames) return;
    if (this.#count < editor.video.frames) {
      // The visible part of the video.
      context.fillStyle = colour("muted");
      const wide = (frames) => (frames / editor.video.frames) * width;
      context.fillRect(wide(this.first), 0, Math.max(6, wide(this.#count)), 3);
    }
    const { selection } = editor;
    if (selection) {
      const from = this.#x(selection.first - 0.5, width);
      context.fillStyle = colour("selection");
      context.fillRect(from, 0, this.#x(selection.last + 0.5, width) - from, height);
    }
    if (hover !== null) this.#flag(context, hover, colour("muted"), width, height);
    this.#flag(context, editor.frame, colour("text"), width, height);
  }

  #x(frame, width) {
    return ((frame + 0.5 - this.first) / this.#count) * width;
  }

  /** The bottom of the curves. */
  #floor(height) {
    const lanes = Math.min(ROWS.lanes, this.editor.video.lesions.length) * ROWS.lane;
    return height - ROWS.axis - ROWS.sources - ROWS.marks - lanes - 2 * GAP;
  }

  #drawFindings(context, width, height) {
    const { editor, first } = this;
    const { video, changed } = editor;
    const shown = this.#count;
    const floor = this.#floor(height);

    // At most one value per pixel, the highest, so that no peak of a long video is lost.
    const count = Math.min(Math.ceil(width), shown);
    const wide = width / count;
    const columns = (values) => {
      const highest = new Array(count).fill(null);
      values?.slice(first, first + shown).forEach((value, n) => {
        const column = Math.floor((n * count) / shown);
        if (value !== null && !(highest[column] > value)) highest[column] = value;
      });
      return highest;
    };
    const bars = (values, from, to, style) => {
      context.fillStyle = style;
      columns(values).forEach((value, i) => {
        // A little wider, to leave no gaps between neighbours.
        if (value) context.fillRect(i * wide, to - value * (to - from), wide + 0.5, value * (to - from));
      });
    };
    const perFrame = (frames, value = 1) => {
      const values = new Array(video.frames).fill(null);
      for (const frame of frames) values[frame] = value;
      return values;
    };

    if (video.without_mask) {
      const waits = video.scores.map((score) => (score === null ? 1 : null));
      bars(waits, 0, height, colour("waiting"));
    }
    bars(video.scores, 4, floor, colour("score"));
    Object.assign(context, { strokeStyle: colour("doubt"), lineWidth: 1.75 });
    context.beginPath();
    let isDown = false;
    columns(video.doubt).forEach((value, i) => {
      if (value !== null) context[isDown ? "lineTo" : "moveTo"]((i + 0.5) * wide, floor - value * (floor - 4));
      isDown = value !== null;
    });
    context.stroke();

    // A lane for each lesion, the most frequent first.
    let top = floor + GAP;
    const frequency = new Map();
    for (const found of video.lesions_in) for (const id of found) frequency.set(id, (frequency.get(id) ?? 0) + 1);
    const lesions = [...video.lesions].sort((a, b) => (frequency.get(b.id) ?? 0) - (frequency.get(a.id) ?? 0));
    for (const { id, colour: style } of lesions.slice(0, ROWS.lanes)) {
      const values = video.lesions_in.map((found) => (found.includes(id) ? 1 : null));
      bars(values, top, top + ROWS.lane - 1, style);
      top += ROWS.lane;
    }

    top += GAP;
    const marks = [top, top + ROWS.marks];
    const changes = new Array(video.frames).fill(null);
    for (const { frame, change } of changed) changes[frame] = Math.max(0.25, change);
    bars(changes, ...marks, colour("changed"));
    context.fillStyle = colour("doubt");
    for (const frame of editor.doubtful) context.fillRect(this.#x(frame, width) - 1, top, 2, ROWS.marks);
    for (const frame of editor.corrected) this.#diamond(context, this.#x(frame, width), marks, "corrected", true);
    for (const frame of editor.unsaved) this.#diamond(context, this.#x(frame, width), marks, "unsaved", false);

    // Where the masks come from.
    top += ROWS.marks;
    const sources = [top, top + ROWS.sources];
    bars(video.scores.map((score) => (score === null ? null : 1)), ...sources, colour("predicted"));
    bars(perFrame(video.propagated), ...sources, colour("propagated"));
    bars(perFrame(editor.previews.keys()), ...sources, colour("preview"));
    bars(perFrame(editor.checked), ...sources, colour("checked"));
    bars(perFrame(editor.corrected), ...sources, colour("corrected"));
    this.#drawAxis(context, width, height);
  }

  #diamond(context, x, [from, to], name, isFull) {
    const half = (to - from) / 2 - 1;
    const style = colour(name);
    context.beginPath();
    for (const [dx, dy] of [
      [0, -half],
      [half, 0],
      [0, half],
      [-half, 0],
    ])
      context.lineTo(x + dx, from + half + 1 + dy);
    context.closePath();
    Object.assign(context, { fillStyle: style, strokeStyle: style, lineWidth: 1.75 });
    context[isFull ? "fill" : "stroke"]();
  }

  /** Times below the rows. */
  #drawAxis(context, width, height) {
    const { editor, first } = this;
    const last = Math.min(editor.lastFrame, first + this.#count - 1);
    const [from, to] = [editor.secondsAt(first), editor.secondsAt(last)];
    const step = STEPS.find((one) => (one / Math.max(1e-6, to - from)) * width >= TICK) ?? STEPS.at(-1);
    Object.assign(context, { fillStyle: colour("muted"), font: "11px system-ui, sans-serif" });
    let frame = first;
    for (let tick = Math.ceil(from / step - 1e-6); tick * step <= to + 1e-6; tick++) {
      while (frame < last && editor.secondsAt(frame) < tick * step - 1e-6) frame++;
      const x = this.#x(frame, width);
      context.fillRect(x - 0.5, height - ROWS.axis, 1, 4);
      const text = asTime(tick * step, step);
      const wide = context.measureText(text).width;
      context.fillText(text, Math.max(1, Math.min(width - wide - 1, x - wide / 2)), height - 2);
    }
  }

  /** A line across all rows, with the frame's number. */
  #flag(context, frame, style, width, height) {
    const x = this.#x(frame, width);
    const bottom = Math.max(18, this.#floor(height));
    const text = shownNumber(frame);
    context.fillStyle = style;
    context.fillRect(x - 1, 0, 2, height);
    context.font = "600 12px system-ui, sans-serif";
    const wide = context.measureText(text).width + 8;
    const left = x + wide + 2 > width ? x - wide - 2 : x + 2;
    context.fillRect(left, bottom - 17, wide, 16);
    context.fillStyle = colour("background");
    context.fillText(text, left + 4, bottom - 4.5);
  }

  #describe() {
    const { canvas, editor } = this;
    const [number, last] = [editor.frame, editor.lastFrame].map(shownNumber);
    canvas.setAttribute("aria-valuemax", last);
    canvas.setAttribute("aria-valuenow", number);
    const notes = [
      editor.corrected.has(editor.frame) && "corrected",
      editor.checked.has(editor.frame) && "checked",
      editor.unsaved.includes(editor.frame) && "not saved",
      editor.previews.has(editor.frame) && "preview",
    ].filter(Boolean);
    canvas.setAttribute("aria-valuetext", [`Frame ${number} of ${last}`, ...notes].join(", "));
  }
}

/** Seconds as "1:05", or "1:05.2" if the steps are shorter than a second. */
function asTime(seconds, step) {
  const minutes = Math.floor(seconds / 60 + 1e-6);
  const rest = Math.max(0, seconds - 60 * minutes);
  return `${minutes}:${step < 1 ? rest.toFixed(1).padStart(4, "0") : String(Math.round(rest)).padStart(2, "0")}`;
}
