/** The mask of one frame: a lesion id per pixel. It can be painted on, undone, and drawn over the picture. */

const HISTORY = 100; // strokes that can be undone, per frame

/** Colours that stand out on mucosa: cyan, yellow and green first. The server has the same ones. */
const PALETTE = ["#00d5ff", "#ffe033", "#2ee66b", "#ff9d2e", "#8c9bff", "#f0623c", "#ff9ad5"];
const [DASH, GAP] = [10, 6]; // of a preview's outline, in thicknesses of the line
const DARK_HALO = [0, 0, 0, 0.7]; // around the outline, for bright tissue
const LIGHT_HALO = [255, 255, 255, 0.45]; // inside it, for dark tissue

const colourOf = (id) => PALETTE[(id - 1) % PALETTE.length];

export const newLesion = (id) => ({ id, name: `Polyp ${id}`, colour: colourOf(id) });

/** The smallest rectangle [x0, y0, x1, y1) around two others; null is an empty rectangle. */
export function union(a, b) {
  if (!a || !b) return a ?? b;
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
}

const paintedBy = (state) => state.painted ?? state;

export class FrameMask {
  /**
   * @param {Uint8Array} labels  lesion id per pixel, row by row; 0 is background
   * @param {number} version     how often this frame was saved on the server, by anybody
   * @param {string} source      "predicted", "corrected" or "none"
   */
  constructor(width, height, labels, version, source) {
    Object.assign(this, { width, height, labels, version, source });
    this.strokes = [];
    this.position = 0; // how many strokes are not undone
    this.base = {}; // the state before the first stroke in `strokes`
    this.saved = this.base; // the state whose pixels are saved
    this.before = null; // the labels before the stroke in progress
    this.stored = null; // of a preview: the frame's mask until people draw on the preview
  }

  /** Whether nobody has drawn on this preview of a spread. */
  get isPreview() {
    return this.stored !== null;
  }

  /** The state of the mask, identified by its last stroke. */
  get state() {
    return this.strokes[this.position - 1] ?? this.base;
  }

  /** The last state that changed a pixel: a click at which the network sees nothing does not. */
  get painted() {
    return paintedBy(this.state);
  }

  /** What people pointed at to get this mask: Map of lesion -> {points, labels, box, start}, see prompts.js. */
  get prompts() {
    return this.state.prompts ?? new Map();
  }

  forgetPrompts() {
    for (const state of [this.base, ...this.strokes]) state.prompts = new Map();
  }

  get isPainting() {
    return this.before !== null;
  }

  /** When the last stroke that is not undone was made, in milliseconds; 0 without one. */
  get lastStroke() {
    return this.state.at ?? 0;
  }

  /** When the stroke was made that redo() does again; Infinity without one. */
  get nextStroke() {
    return this.strokes[this.position]?.at ?? Infinity;
  }

  get isChanged() {
    return this.isPainting || this.painted !== this.saved;
  }

  /** Mark a draft from an earlier visit as changed. */
  markChanged() {
    this.saved = null;
  }

  /** Register that `state` is saved on the server. */
  markSaved(state, version) {
    Object.assign(this, { saved: paintedBy(state), version, source: "corrected" });
    this.forgetPrompts();
  }

  /** The ids of the lesions in the mask, the largest first. */
  ids() {
    const areas = new Uint32Array(256);
    const { labels } = this;
    for (let i = 0; i < labels.length; i++) areas[labels[i]]++; // ten times as fast as for-of
    const present = [...areas.keys()].filter((id) => id && areas[id]);
    return present.sort((a, b) => areas[b] - areas[a]);
  }

  /** The lesion at a point; 0 for background. */
  at([x, y]) {
    const isInside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    return isInside ? this.labels[Math.floor(y) * this.width + Math.floor(x)] : 0;
  }

  /** Where each lesion is: Map of id -> [x0, y0, x1, y1). A stroke in progress does not count yet. */
  boxes() {
    if (this.boxed?.state === this.state) return this.boxed.boxes;
    const boxes = new Map();
    const { labels, width } = this;
    for (let i = 0; i < labels.length; i++) {
      const id = labels[i];
      if (!id) continue;
      const x = i % width;
      const y = (i - x) / width;
      const box = boxes.get(id);
      if (!box) boxes.set(id, [x, y, x + 1, y + 1]);
      else [box[0], box[2], box[3]] = [Math.min(box[0], x), Math.max(box[2], x + 1), y + 1];
    }
    this.boxed = { state: this.state, boxes };
    return boxes;
  }

  /** Change the labels in one stroke: `paint(labels)` returns the rectangle that it painted on. */
  stroke(paint, reason = {}) {
    this.beginStroke();
    this.endStroke(paint(this.labels), reason);
  }

  beginStroke() {
    this.before = this.labels.slice();
  }

  /**
   * A stroke that changes no pixel is no change, unless people mean it: "no polyp". If it has points, it can be undone.
   *
   * @param {{isMeant?: boolean, pointed?: {lesion: number, prompts: object}}} reason
   */
  endStroke(rectangle, { isMeant = false, pointed } = {}) {
    const [x0, y0, x1, y1] = rectangle ?? [0, 0, 0, 0];
    const cut = (labels) => {
      const piece = new Uint8Array((x1 - x0) * (y1 - y0));
      for (let y = y0; y < y1; y++)
        piece.set(labels.subarray(y * this.width + x0, y * this.width + x1), (y - y0) * (x1 - x0));
      return piece;
    };
    const [before, after] = [cut(this.before), cut(this.labels)];
    const isChange = isMeant || before.some((id, i) => id !== after[i]);
    if (!isChange && !pointed) {
      this.before = null;
      return;
    }
    if (this.isPreview && isChange) this.#adopt();
    const prompts = new Map(this.prompts); // without those of the lesions that this stroke changes
    before.forEach((id, i) => {
      if (id === after[i]) return;
      prompts.delete(id);
      prompts.delete(after[i]);
    });
    if (pointed) prompts.set(pointed.lesion, pointed.prompts);
    const { painted } = this;
    this.strokes.length = this.position;
    const at = performance.now();
    this.strokes.push({ rectangle: [x0, y0, x1, y1], before, after, at, prompts, painted: isChange ? null : painted });
    if (this.strokes.length > HISTORY) this.base = this.strokes.shift();
    this.position = this.strokes.length;
    this.before = null;
  }

  /** Make the preview a change of the frame's mask, which can be undone like a stroke. */
  #adopt() {
    const { width, height, stored, before, prompts } = this;
    const rectangle = [0, 0, width, height];
    const at = performance.now();
    const adopting = { rectangle, before: stored.labels.slice(), after: before.slice(), at, prompts };
    Object.assign(this, { strokes: [adopting], position: 1, source: stored.source, stored: null });
  }

  /** Drop the stroke in progress. */
  cancelStroke() {
    this.labels.set(this.before);
    this.before = null;
  }

  get canUndo() {
    return this.position > 0;
  }

  undo() {
    if (!this.canUndo) return false;
    const { rectangle, before } = this.strokes[--this.position];
    this.#put(rectangle, before);
    return true;
  }

  redo() {
    if (this.position === this.strokes.length) return false;
    const { rectangle, after } = this.strokes[this.position++];
    this.#put(rectangle, after);
    return true;
  }

  #put([x0, y0, x1, y1], piece) {
    const wide = x1 - x0;
    for (let y = y0; y < y1; y++)
      this.labels.set(piece.subarray((y - y0) * wide, (y - y0 + 1) * wide), y * this.width + x0);
  }

  /** Paint `id` along the line from (x0, y0) to (x1, y1), with a round brush; returns the rectangle painted on. */
  paintLine(x0, y0, x1, y1, radius, id) {
    const rectangle = [
      Math.max(0, Math.floor(Math.min(x0, x1) - radius)),
      Math.max(0, Math.floor(Math.min(y0, y1) - radius)),
      Math.min(this.width, Math.ceil(Math.max(x0, x1) + radius) + 1),
      Math.min(this.height, Math.ceil(Math.max(y0, y1) + radius) + 1),
    ];
    if (rectangle[0] >= rectangle[2] || rectangle[1] >= rectangle[3]) return null;
    const dx = x1 - x0;
    const dy = y1 - y0;
    const length = dx * dx + dy * dy || 1;
    for (let y = rectangle[1]; y < rectangle[3]; y++) {
      for (let x = rectangle[0]; x < rectangle[2]; x++) {
        const px = x + 0.5 - x0;
        const py = y + 0.5 - y0;
        const along = Math.max(0, Math.min(1, (px * dx + py * dy) / length));
        if ((px - along * dx) ** 2 + (py - along * dy) ** 2 <= radius * radius) this.labels[y * this.width + x] = id;
      }
    }
    return rectangle;
  }

  /** Fill the polygon [[x, y], ...] with `id`: pixels whose centre is inside (even-odd); returns their rectangle. */
  fillPolygon(points, id) {
    let rectangle = null;
    for (let y = 0; y < this.height; y++) {
      const crossings = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length];
        if (ay <= y + 0.5 !== by <= y + 0.5) crossings.push(ax + ((y + 0.5 - ay) / (by - ay)) * (bx - ax));
      });
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const from = Math.max(0, Math.ceil(crossings[i] - 0.5));
        const to = Math.min(this.width, Math.ceil(crossings[i + 1] - 0.5));
        if (from >= to) continue;
        this.labels.fill(id, y * this.width + from, y * this.width + to);
        rectangle = union(rectangle, [from, y, to, y + 1]);
      }
    }
    return rectangle;
  }

  /** Give a lesion these pixels (1) in place of its own, but none of another lesion; returns the rectangle changed. */
  putLesion(id, pixels) {
    let [x0, y0, x1, y1] = [this.width, this.height, 0, 0];
    for (let y = 0, i = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++, i++) {
        const old = this.labels[i];
        if ((old && old !== id) || (old === id) === (pixels[i] === 1)) continue;
        this.labels[i] = pixels[i] ? id : 0;
        [x0, y0, x1, y1] = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
      }
    }
    return x0 < x1 ? [x0, y0, x1, y1] : null;
  }

  /** Clear the pixels of a part, see outline.js; returns the rectangle of the whole mask. */
  clearPart(part) {
    part.forEach((inside, i) => {
      if (inside) this.labels[i] = 0;
    });
    return [0, 0, this.width, this.height];
  }

  /** Clear every lesion but one; returns the rectangle of what is cleared. */
  keepOnly(id) {
    const others = this.ids().filter((other) => other !== id);
    return others.reduce((rectangle, other) => union(rectangle, this.replace(other, 0)), null);
  }

  /** Turn every pixel of lesion `from` (null: any lesion) into `to`; returns their rectangle. */
  replace(from, to) {
    let rectangle = null;
    this.labels.forEach((id, i) => {
      if (!id || (from !== null && id !== from)) return;
      this.labels[i] = to;
      const x = i % this.width;
      const y = (i - x) / this.width;
      rectangle = union(rectangle, [x, y, x + 1, y + 1]);
    });
    return rectangle;
  }

  /**
   * Draw the mask into a 2D context of the mask's size.
   *
   * @param {number[]|null} rectangle  the part to draw; null: all
   * @param {Map<number, string>} colours  "#rrggbb" by lesion id
   * @param {number} opacity  of the filling, 0 to 1
   * @param {number} line     thickness of the outline, and of each halo, in pixels of the mask; 0: no outline
   *
   * The outline of a preview is dashed.
   */
  draw(context, rectangle, colours, opacity, line) {
    const { width, height, labels } = this;
    const [x0, y0, x1, y1] = rectangle
      ? [
          Math.max(0, rectangle[0] - 2 * line),
          Math.max(0, rectangle[1] - 2 * line),
          Math.min(width, rectangle[2] + 2 * line),
          Math.min(height, rectangle[3] + 2 * line),
        ]
      : [0, 0, width, height];
    if (x0 >= x1 || y0 >= y1) return;
    const image = context.createImageData(x1 - x0, y1 - y0);
    const pixels = new Uint32Array(image.data.buffer);
    const asPixel = ([r, g, b, alpha]) => ((Math.round(alpha * 255) << 24) | (b << 16) | (g << 8) | r) >>> 0;
    const colour = (id, alpha) => {
      const parts = [1, 3, 5].map((at) => parseInt((colours.get(id) ?? colourOf(id)).slice(at, at + 2), 16));
      return asPixel([...parts, alpha]);
    };
    const [dark, light] = [asPixel(DARK_HALO), asPixel(LIGHT_HALO)];
    const filling = new Uint32Array(256);
    const outline = new Uint32Array(256);
    for (let id = 1; id < 256; id++) {
      filling[id] = colour(id, opacity);
      outline[id] = colour(id, 1);
    }
    for (let y = y0, to = 0; y < y1; y++) {
      for (let x = x0, at = y * width + x0; x < x1; x++, at++, to++) {
        const id = labels[at];
        const isGap = this.isPreview && line && (x + y) % ((DASH + GAP) * line) >= DASH * line;
        const isEdge = (far) =>
          (x >= far && labels[at - far] !== id) ||
          (x + far < width && labels[at + far] !== id) ||
          (y >= far && labels[at - far * width] !== id) ||
          (y + far < height && labels[at + far * width] !== id);
        if (!id) {
          if (line && isEdge(line)) pixels[to] = dark;
        } else if (line && isEdge(line)) {
          pixels[to] = isGap ? dark : outline[id];
        } else {
          pixels[to] = line && isEdge(2 * line) ? light : filling[id];
        }
      }
    }
    context.putImageData(image, x0, y0);
  }
}
