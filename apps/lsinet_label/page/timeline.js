/**
 * The timeline: shows the network's scores and people's corrections along the video. A click goes to a frame; the wheel
 * or two fingers zoom. The visible part then follows the current frame.
 */

const FEWEST = 30; // visible frames at the largest zoom
// Each row's top and bottom, as shares of the height; the curves begin 4 pixels below the edge.
const ROW = { curves: [0, 0.56], polyps: [0.61, 0.7], changed: [0.74, 0.83], marks: [0.87, 1] };

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
    editor.addEventListener("drafts", redraw);
    editor.addEventListener("video", () => {
      if (editor.video.id !== this.id) Object.assign(this, { id: editor.video.id, zoom: 1, first: 0 });
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
      if (this.isDragged) this.editor.seek(this.#frameAt(this.#share(event)));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (this.pointers.size > 1) return this.#pinch(event.pointerId, this.#share(event));
      this.hover = this.#frameAt(this.#share(event));
      if (this.isDragged && this.hover !== editor.frame) editor.seek(this.hover);
      this.draw();
    });
    const letGo = ({ pointerId }) => {
      this.pointers.delete(pointerId);
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
      context.fillRect(wide(this.first), height - 3, Math.max(6, wide(this.#count)), 3);
    }
    if (hover !== null) this.#flag(context, hover, colour("muted"), width, height);
    this.#flag(context, editor.frame, colour("text"), width, height);
  }

  #x(frame, width) {
    return ((frame + 0.5 - this.first) / this.#count) * width;
  }

  #drawFindings(context, width, height) {
    const { editor } = this;
    const { video, changed } = editor;
    const top = 4;
    const bottom = ROW.curves[1] * height;

    // At most one value per pixel, the highest, so that no peak of a long video is lost.
    const { first } = this;
    const shown = this.#count;
    const count = Math.min(Math.ceil(width), shown);
    const wide = width / count;
    const columns = (values) => {
      const highest = new Array(count).fill(null);
      values?.slice(first, first + shown).forEach((value, n) => {
        const column = Math.floor((n / shown) * count);
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
    const row = ([from, to]) => [from * height, to * height];

    if (video.without_mask) {
      const waits = video.scores.map((score) => (score === null ? 1 : null));
      bars(waits, 0, height, colour("waiting"));
    }
    bars(video.scores, top, bottom, colour("score"));
    bars(video.has_polyp?.map(Number), ...row(ROW.polyps), colour("polyp"));
    const changes = new Array(video.frames).fill(null);
    for (const { frame, change } of changed) changes[frame] = Math.max(0.25, change);
    bars(changes, ...row(ROW.changed), colour("changed"));

    Object.assign(context, { strokeStyle: colour("doubt"), lineWidth: 1.75 });
    context.beginPath();
    let isDown = false;
    columns(video.uncertainty).forEach((value, i) => {
      if (value !== null) context[isDown ? "lineTo" : "moveTo"]((i + 0.5) * wide, bottom - value * (bottom - top));
      isDown = value !== null;
    });
    context.stroke();

    const [from, to] = row(ROW.marks);
    context.fillStyle = colour("doubt");
    for (const frame of editor.doubtful) context.fillRect(this.#x(frame, width) - 1, from, 2, to - from);
    const diamond = (frame, style, isFull) => {
      const half = (to - from) / 2 - 1;
      context.beginPath();
      for (const [dx, dy] of [
        [0, -half],
        [half, 0],
        [0, half],
        [-half, 0],
      ])
        context.lineTo(this.#x(frame, width) + dx, from + half + dy);
      context.closePath();
      Object.assign(context, { fillStyle: style, strokeStyle: style, lineWidth: 1.75 });
      context[isFull ? "fill" : "stroke"]();
    };
    for (const { frame } of video.corrections) diamond(frame, colour("corrected"), true);
    for (const frame of editor.unsaved) diamond(frame, colour("unsaved"), false);
  }

  /** A line across all rows, with the frame's number. */
  #flag(context, frame, style, width, height) {
    const x = this.#x(frame, width);
    const bottom = ROW.curves[1] * height;
    context.fillStyle = style;
    context.fillRect(x - 1, 0, 2, height);
    context.font = "600 12px system-ui, sans-serif";
    const wide = context.measureText(frame).width + 8;
    const left = x + wide + 2 > width ? x - wide - 2 : x + 2;
    context.fillRect(left, bottom - 17, wide, 16);
    context.fillStyle = colour("background");
    context.fillText(frame, left + 4, bottom - 4.5);
  }

  #describe() {
    const { canvas, editor } = this;
    canvas.setAttribute("aria-valuemax", editor.lastFrame);
    canvas.setAttribute("aria-valuenow", editor.frame);
    const notes = [
      editor.corrected.has(editor.frame) && "corrected",
      editor.unsaved.includes(editor.frame) && "not saved",
    ].filter(Boolean);
    canvas.setAttribute("aria-valuetext", [`Frame ${editor.frame} of ${editor.lastFrame}`, ...notes].join(", "));
  }
}
