/** Finds the frames that a person should look at. */

const SHARE = 0.25; // of the frames, the most doubtful ones: only peaks among these count

/**
 * Find the doubtful frames: the peaks of the doubt within the most doubtful quarter of the video, at most one per half
 * second, in order.
 *
 * @param {(number|null)[]} doubt  per frame; null if it is unknown, or if a person has corrected the frame
 * @param {number} fps  frames per second; 25 if it is unknown
 */
export function doubtfulFrames(doubt, fps) {
  const known = doubt.filter((value) => value > 0).sort((a, b) => b - a);
  const limit = known[Math.floor(SHARE * known.length)];
  const reach = Math.max(1, Math.round((fps || 25) / 2));
  const isPeak = (frame) => {
    const value = doubt[frame];
    if (!(value > limit)) return false;
    for (let other = Math.max(0, frame - reach); other <= frame + reach; other++) {
      if (doubt[other] > value || (doubt[other] === value && other < frame)) return false;
    }
    return true;
  };
  return [...doubt.keys()].filter(isPeak);
}
