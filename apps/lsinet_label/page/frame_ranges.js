/** Frames without gaps, as {first, last}. */

const REACH = 30; // frames on either side to which a correction spreads, as on the server

/**
 * The frames in a row around one of them that show a lesion; null if this one does not.
 *
 * @param {number[][]} lesionsIn  the lesions that each frame shows
 */
export function runOf(lesion, frame, lesionsIn) {
  const has = (other) => lesionsIn[other]?.includes(lesion);
  if (!has(frame)) return null;
  let [first, last] = [frame, frame];
  while (has(first - 1)) first--;
  while (has(last + 1)) last++;
  return { first, last };
}

/** Frames as runs without gaps, in order: [[first, last], ...]. */
export function runsOf(frames) {
  const runs = [];
  for (const frame of [...frames].sort((a, b) => a - b)) {
    if (runs.length && runs.at(-1)[1] === frame - 1) runs.at(-1)[1] = frame;
    else runs.push([frame, frame]);
  }
  return runs;
}

export const isIn = (frame, { first, last }) => first <= frame && frame <= last;

/**
 * The frames that a correction of a frame reaches: not beyond the next ones with a person's mask, nor the selected ones.
 *
 * @param {number[]} people  the frames that have one, saved or not
 * @param {?{first: number, last: number}} selection  it counts only if the frame is in it
 */
export function reachOf(frame, lastFrame, people, selection) {
  const within = selection && isIn(frame, selection) ? selection : { first: 0, last: lastFrame };
  return {
    first: Math.max(within.first, frame - REACH, ...people.filter((one) => one < frame).map((one) => one + 1)),
    last: Math.min(within.last, frame + REACH, ...people.filter((one) => one > frame).map((one) => one - 1)),
  };
}
