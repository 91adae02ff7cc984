/** The guide over the picture: the brush, the polygon in progress, and a cross while the keys move the pen. */

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
