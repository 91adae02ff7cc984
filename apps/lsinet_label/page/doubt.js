/** Finds the frames that a person should look at. */

const SHARE = 0.25; // of the frames, the most doubtful ones: only these count

/**
 * Find the doubtful frames: of the most doubtful quarter of the video the most doubtful frame, then the next that is
 * more than half a second from it, and so on. So a long stretch of doubt has several. They come in the video's order.
 *
 * @param {(number|null)[]} doubt  per frame; null if it is unknown, or if a person has corrected the frame
 * @param {number} fps  frames per second; 25 if it is unknown
 * @param {number[]} unclear  frames that are blurred or white, where a person sees no more than the network
 */
export function doubtfulFrames(doubt, fps, unclear = []) {
  const isTaken = new Uint8Array(doubt.length);
  for (const frame of unclear) isTaken[frame] = 1;
  const clear = [...doubt.keys()].filter((frame) => doubt[frame] > 0 && !isTaken[frame]);
  clear.sort((a, b) => doubt[b] - doubt[a] || a - b);
  const limit = doubt[clear[Math.floor(SHARE * clear.length)]];
  const reach = Math.max(1, Math.round((fps || 25) / 2));
  const chosen = clear.filter((frame) => {
    if (isTaken[frame] || doubt[frame] <= limit) return false;
    isTaken.fill(1, Math.max(0, frame - reach), frame + reach + 1);
    return true;
  });
  return chosen.sort((a, b) => a - b);
}
