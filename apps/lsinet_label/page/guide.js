/** The guide over the picture: names of lesions, the brush, the open polygon, and a cross while keys move the pen. */

const NAME = 22; // height of a lesion's name with its distance from the lesion, in pixels of the screen
const CROSS = 9; // half the length of its lines, in pixels of the screen

/** Draw the guide on its canvas, which has the size of the stage. */
export function drawGuide(canvas, view, pen) {
  const sharpness = window.devicePixelRatio || 1;
  const [width, height] = [view.element.clientWidth * sharpness, view.element.clientHeight * sharpness];
  if (canvas.width !== Math.floor(width) || canvas.height !== Math.floor(height))
    Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (view.editor.shown && view.style.names && !view.style.hidden && !view.alternate) drawNames(context, view);
  if (!pen.canDraw) return;

  const path = new Path2D();
  if (pen.tip && pen.tool !== "polygon") {
    const [x, y] = view.toStage(pen.tip);
    path.arc(x, y, Math.max(2, pen.radius), 0, 2 * Math.PI);
  }
  if (pen.cursor) {
    const [x, y] = view.toStage(pen.cursor);
    for (const [dx, dy] of [
      [CROSS, 0],
      [0, CROSS],
    ]) {
      path.moveTo(x - dx, y - dy);
      path.lineTo(x + dx, y + dy);
    }
  }
  const { grabbed } = pen;
  const line = grabbed && grabbed.place < 0 ? [...pen.points, ...grabbed.trace] : pen.points;
  const corners = line.map((point) => view.toStage(point));
  if (corners.length) {
    path.moveTo(...corners[0]);
    for (const corner of corners.slice(1)) path.lineTo(...corner);
    if (pen.isOutline) path.closePath();
    else if (pen.tip && pen.tool === "polygon" && !grabbed) path.lineTo(...view.toStage(pen.tip));
    if (!grabbed || grabbed.trace.length === 1) for (const [x, y] of corners) path.rect(x - 3, y - 3, 6, 6);
  }
  // Light on dark stands out on any tissue.
  for (const [lineWidth, strokeStyle] of [
    [3.5, "#000000a0"],
    [1.5, "#ffffff"],
  ]) {
    Object.assign(context, { lineWidth, strokeStyle });
    context.stroke(path);
  }
}

/** Write the name of each lesion above its box, or below it where there is no room above. */
function drawNames(context, view) {
  const { shown, video, colours } = view.editor;
  context.font = "600 12px system-ui, sans-serif";
  for (const [id, [x0, y0, x1, y1]] of shown.mask.boxes()) {
    const text = video.lesions.find((lesion) => lesion.id === id)?.name ?? `Lesion ${id}`;
    const [left, top] = view.toStage([x0, y0]);
    const [right, bottom] = view.toStage([x1, y1]);
    const wide = context.measureText(text).width + 10;
    const x = Math.max(2, Math.min(view.element.clientWidth - wide - 2, (left + right - wide) / 2));
    const y = top > NAME ? top - NAME : bottom + 4;
    context.fillStyle = "#000000b0";
    context.fillRect(x, y, wide, NAME - 4);
    context.fillStyle = colours.get(id) ?? "#ffffff";
    context.fillText(text, x + 5, y + 13);
  }
}
