/** The picture and its mask on the stage: zoom, position, and how the mask is drawn. */

const LARGEST_ZOOM = 16;
const OUTLINE = 1.6; // thickness of the mask's outline, in pixels of the screen

export class View {
  /**
   * @param {HTMLElement} element  the stage
   * @param {() => void} onRedraw  called when the guide over the mask must be drawn again
   * @param {() => void} onChange  called when the style changes
   */
  constructor(element, editor, onRedraw, onChange) {
    Object.assign(this, { element, editor, onRedraw, onChange });
    this.sheet = element.querySelector(".sheet");
    [this.picture, this.overlay] = this.sheet.querySelectorAll("canvas");
    this.style = { opacity: 0.18, outline: true, names: true, hidden: false };
    this.zoom = 1;
    this.centre = [0.5, 0.5]; // of the visible part, as shares of the picture
    this.alternate = null; // a mask to draw in place of the frame's own

    new ResizeObserver(() => this.#layOut()).observe(element);
    editor.addEventListener("shown", () => this.#show());
    editor.addEventListener("mask", ({ detail }) => {
      this.#drawMask(detail);
      this.onRedraw();
    });
  }

  /** @param {{opacity?: number, outline?: boolean, names?: boolean, hidden?: boolean}} style  of the mask */
  setStyle(style) {
    Object.assign(this.style, style);
    this.redraw();
    this.onChange();
  }

  /** Zoom by a factor around a point of the stage (its centre by default); 0 fits the picture into the stage. */
  zoomBy(factor, at = [this.element.clientWidth / 2, this.element.clientHeight / 2]) {
    this.move(at, at, factor);
  }

  /** Zoom by a factor (0: fit), and move the picture so that the point at `from` on the stage is then at `to`. */
  move(from, to, factor = 1) {
    const point = this.toPicture(from);
    this.zoom = factor ? Math.max(1, Math.min(LARGEST_ZOOM, this.zoom * factor)) : 1;
    this.#layOut();
    const now = this.toPicture(to);
    const { width, height } = this.overlay;
    this.centre = [this.centre[0] + (point[0] - now[0]) / width, this.centre[1] + (point[1] - now[1]) / height];
    this.#layOut();
  }

  redraw() {
    this.#drawMask(null);
    this.onRedraw();
  }

  /** The size of the mask in pixels, [width, height]. */
  get size() {
    return [this.overlay.width, this.overlay.height];
  }

  /** The point of the picture in the middle of the stage. */
  get middle() {
    return this.size.map((length, i) => this.centre[i] * length);
  }

  toPicture([x, y]) {
    return [(x - this.origin[0]) / this.scale, (y - this.origin[1]) / this.scale];
  }

  toStage([x, y]) {
    return [x * this.scale + this.origin[0], y * this.scale + this.origin[1]];
  }

  #show() {
    const { shown } = this.editor;
    this.sheet.hidden = !shown;
    if (!shown) return this.onRedraw();
    const { picture, mask } = shown;
    let isOtherSize = false;
    for (const [canvas, { width, height }] of [
      [this.picture, picture],
      [this.overlay, mask],
    ]) {
      if (canvas.width === width && canvas.height === height) continue;
      Object.assign(canvas, { width, height });
      isOtherSize = true;
    }
    this.picture.getContext("2d").drawImage(picture, 0, 0);
    if (isOtherSize) this.#layOut();
    else this.redraw();
  }

  #layOut() {
    const { clientWidth, clientHeight } = this.element;
    const [width, height] = this.size;
    this.scale = this.zoom * Math.min(clientWidth / width, clientHeight / height);
    this.origin = [
      [clientWidth, width * this.scale, this.centre[0]],
      [clientHeight, height * this.scale, this.centre[1]],
    ].map(([room, size, centre]) =>
      size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - centre * size)),
    );
    this.centre = [clientWidth / 2, clientHeight / 2].map(
      (half, i) => (half - this.origin[i]) / (this.scale * [width, height][i]),
    );
    Object.assign(this.sheet.style, {
      width: `${width}px`,
      height: `${height}px`,
      transform: `translate(${this.origin[0]}px, ${this.origin[1]}px) scale(${this.scale})`,
    });
    this.redraw();
  }

  #drawMask(rectangle) {
    const context = this.overlay.getContext("2d");
    if (!rectangle) context.clearRect(0, 0, ...this.size);
    if (!this.editor.shown || this.style.hidden) return;
    const line = this.style.outline ? Math.max(1, Math.round(OUTLINE / this.scale)) : 0;
    const mask = this.alternate ?? this.editor.shown.mask;
    mask.draw(context, rectangle, this.editor.colours, this.style.opacity, line);
  }
}
