/** Outlines of parts of a mask: connected pixels of one lesion, also across corners. */

/**
 * The part of a lesion around a pixel.
 *
 * @param {FrameMask} mask
 * @param {number} seed  a pixel, counted row by row
 * @returns {Uint8Array} 1 for the part's pixels
 */
export function partAround({ width, height, labels }, seed) {
  const part = new Uint8Array(labels.length);
  const open = [seed];
  part[seed] = 1;
  while (open.length) {
    const at = open.pop();
    const x = at % width;
    const y = (at - x) / width;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) {
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
        const next = v * width + u;
        if (part[next] || labels[next] !== labels[seed]) continue;
        part[next] = 1;
        open.push(next);
      }
    }
  }
  return part;
}

/** A pixel of the largest part of a lesion, or null if the mask does not show the lesion. */
export function largestPart(mask, lesion) {
  const seen = new Uint8Array(mask.labels.length);
  let [best, size] = [null, 0];
  mask.labels.forEach((id, at) => {
    if (id !== lesion || seen[at]) return;
    const part = partAround(mask, at);
    let count = 0;
    part.forEach((inside, pixel) => {
      if (!inside) return;
      seen[pixel] = 1;
      count++;
    });
    if (count > size) [best, size] = [at, count];
  });
  return best;
}

/** The outer outline of a part as corners [[x, y], ...], each pixel of it within `tolerance` pixels of the lines. */
export function outlineOf(part, width, tolerance) {
  const corners = trace(part, width);
  // Cut the closed line at two corners that lie far apart: each half is simplified by itself.
  const lengths = corners.map((corner) => distance(corner, corners[0]));
  const far = lengths.indexOf(Math.max(...lengths));
  const halves = [corners.slice(0, far + 1), [...corners.slice(far), corners[0]]];
  return halves.flatMap((half) => simplify(half, tolerance).slice(0, -1));
}

/** The edges between the pixels of a part and all others, as lines [x0, y0, x1, y1]. */
export function edgesOf(part, width) {
  const height = part.length / width;
  const isInside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && part[y * width + x] === 1;
  const lines = [];
  const collect = (length, isEdge, lineOf) => {
    for (let from = 0, to = 0; from < length; from = to + 1) {
      for (to = from; to < length && isEdge(to); to++);
      if (to > from) lines.push(lineOf(from, to));
    }
  };
  for (let y = 0; y <= height; y++)
    collect(width, (x) => isInside(x, y) !== isInside(x, y - 1), (from, to) => [from, y, to, y]);
  for (let x = 0; x <= width; x++)
    collect(height, (y) => isInside(x, y) !== isInside(x - 1, y), (from, to) => [x, from, x, to]);
  return lines;
}

/** Walk along the pixels' edges, with the part on the right hand, until the walk is back where it began. */
function trace(part, width) {
  const height = part.length / width;
  const isInside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && part[y * width + x] === 1;
  const first = part.indexOf(1);
  const start = [first % width, Math.floor(first / width)];
  // Right, down, left, up: the step, and the pixels ahead on the left and on the right hand, from the corner.
  const headings = [
    { step: [1, 0], left: [0, -1], right: [0, 0] },
    { step: [0, 1], left: [0, 0], right: [-1, 0] },
    { step: [-1, 0], left: [-1, 0], right: [-1, -1] },
    { step: [0, -1], left: [-1, -1], right: [0, -1] },
  ];
  const corners = [];
  let [x, y] = start;
  let heading = 0;
  do {
    corners.push([x, y]);
    let ahead;
    do {
      const { step } = headings[heading];
      [x, y] = [x + step[0], y + step[1]];
      const { left, right } = headings[heading];
      ahead = isInside(x + left[0], y + left[1]) ? -1 : isInside(x + right[0], y + right[1]) ? 0 : 1;
    } while (ahead === 0);
    heading = (heading + ahead + 4) % 4;
  } while (x !== start[0] || y !== start[1] || heading !== 0);
  return corners;
}

/** Drop the points of a line that lie within `tolerance` of the rest (Douglas and Peucker, 1973). */
function simplify(line, tolerance) {
  const [a, b] = [line[0], line.at(-1)];
  let [farthest, most] = [0, 0];
  line.forEach((point, i) => {
    const away = distanceToLine(point, a, b);
    if (away > most) [farthest, most] = [i, away];
  });
  if (most <= tolerance) return [a, b];
  return [...simplify(line.slice(0, farthest + 1), tolerance).slice(0, -1), ...simplify(line.slice(farthest), tolerance)];
}

const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

/** The distance of a point from the line between two others. */
export function distanceToLine([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
