/**
 * Drafts: unsaved masks in the browser's storage. They survive a crash, or a tablet that closes the page in the
 * background.
 *
 * The storage holds masks and video names, but no pictures. Saved and discarded masks are removed from it.
 */

import { encodePng } from "./png.js";

const PREFIX = "lsinet.draft";

const key = (id, frame) => JSON.stringify([PREFIX, id, frame]);

/** Store a changed mask. If the storage is full, the mask stays in the page only. */
export async function keep(id, frame, mask) {
  const { state } = mask;
  if (!mask.isChanged) return forget(id, frame);
  const bytes = new Uint8Array(await (await encodePng(mask.labels, mask.width, mask.height)).arrayBuffer());
  if (mask.state !== state || !mask.isChanged) return; // painted on or saved in the meantime
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  try {
    localStorage.setItem(key(id, frame), JSON.stringify({ png: btoa(text), version: mask.version }));
  } catch {
    localStorage.removeItem(key(id, frame)); // an older state would be worse than none
  }
}

export function forget(id, frame) {
  localStorage.removeItem(key(id, frame));
}

/** The stored masks of a video: [{frame, png (ArrayBuffer), version}]. */
export function kept(id) {
  return Object.keys(localStorage).flatMap((name) => {
    if (!name.startsWith(`["${PREFIX}"`)) return [];
    const [, video, frame] = JSON.parse(name);
    if (video !== id) return [];
    const { png, version } = JSON.parse(localStorage.getItem(name));
    return [{ frame, version, png: Uint8Array.from(atob(png), (character) => character.charCodeAt(0)).buffer }];
  });
}
