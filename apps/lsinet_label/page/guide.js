/**
 * The guide over the picture: names of lesions, the brush, the open polygon, points and boxes, and a cross while keys
 * move the pen.
 */

const NAME = 22; // height of a lesion's name with its distance from the lesion, in pixels of the screen
const CROSS = 9; // half the length of its lines, in pixels of the screen
const DOT = 6; // radius of a point, in pixels of the screen

/** Draw the guide on its canvas, which has the size of the stage. */
export function drawGuide(canvas, view, pen, pointTool) {
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
  if (pen.tip && (pen.tool === "brush" || pen.tool === "eraser")) {
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
  drawLines(context, path);
  if (pen.tool === "points" && !view.style.hidden) drawPrompts(context, view, pointTool);
}

/** Light on dark stands out on any tissue. */
function drawLines(context, path, width = 1.5) {
  for (const [lineWidth, strokeStyle] of [
    [width + 2, "#000000a0"],
    [width, "#ffffff"],
  ]) {
    Object.assign(context, { lineWidth, strokeStyle, lineCap: "round" });
    context.stroke(path);
  }
}

/** Draw the points and the box of the chosen lesion, and the outline that a further click would give. */
function drawPrompts(context, view, { prompts, box: drawn }) {
  const outline = new Path2D();
  for (const [x0, y0, x1, y1] of prompts.previewEdges ?? []) {
    outline.moveTo(...view.toStage([x0, y0]));
    outline.lineTo(...view.toStage([x1, y1]));
  }
  drawLines(context, outline, 1);

  const { points, labels, box: set } = prompts.shown;
  const box = drawn ?? set;
  if (box) {
    const [left, top] = view.toStage(box.slice(0, 2));
    const [right, bottom] = view.toStage(box.slice(2));
    const rectangle = new Path2D();
    rectangle.rect(left, top, right - left, bottom - top);
    Object.assign(context, { lineWidth: 1, strokeStyle: "#000000" });
    context.stroke(rectangle);
    Object.assign(context, { strokeStyle: "#ffffff", lineCap: "butt" });
    context.setLineDash([5, 5]);
    context.stroke(rectangle);
    context.setLineDash([]);
  }
  points.forEach((point, i) => drawPoint(context, view.toStage(point), labels[i] === 1));
}

/** A dark plus on white for a point in the lesion, a white minus on black for one outside of it. */
function drawPoint(context, [x, y], isInside) {
  const [ink, ground] = isInside ? ["#000000", "#ffffff"] : ["#ffffff", "#000000"];
  context.beginPath();
  context.arc(x, y, DOT, 0, 2 * Math.PI);
  Object.assign(context, { fillStyle: ground, strokeStyle: ink, lineWidth: 1.5 });
  context.fill();
  context.stroke();
  context.beginPath();
  context.moveTo(x - DOT / 2, y);
  context.lineTo(x + DOT / 2, y);
  if (isInside) {
    context.moveTo(x, y - DOT / 2);
    context.lineTo(x, y + DOT / 2);
  }
  context.stroke();
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
