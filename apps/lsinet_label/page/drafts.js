/**
 * Drafts: unsaved masks and open polygons in the browser's storage. They survive a crash, or a tablet that closes the
 * page in the background.
 *
 * The storage holds masks and video names, but no pictures. Each tab keeps its own drafts, and takes over those of tabs
 * that are closed. Saved and discarded drafts are removed.
 */

import { encodePng, fromBase64, toBase64 } from "./png.js";
import { isOpenElsewhere, ownTab } from "./tab.js";

const PREFIX = "lsinet.draft";

const key = (kind, tab, id, frame) => JSON.stringify([PREFIX, kind, tab, id, frame]);

/** Store a changed mask. If the storage is full, the mask stays in the page only. */
export async function keepMask(id, frame, mask) {
  const { state } = mask;
  const tab = await ownTab();
  if (!mask.isChanged) return forgetMask(id, frame);
  const png = await toBase64(await encodePng(mask.labels, mask.width, mask.height));
  if (mask.state !== state || !mask.isChanged) return; // painted on or saved in the meantime
  store(key("mask", tab, id, frame), { png, version: mask.version });
}

/** Store an open polygon: {points, lesion, isErasing, replaces}. */
export async function keepPolygon(id, frame, polygon) {
  store(key("polygon", await ownTab(), id, frame), polygon);
}

export const forgetMask = async (id, frame) => localStorage.removeItem(key("mask", await ownTab(), id, frame));
export const forgetPolygon = async (id, frame) => localStorage.removeItem(key("polygon", await ownTab(), id, frame));

/** The stored drafts of a video: {masks: [{frame, png (ArrayBuffer), version}], polygons: [{frame, polygon}]}. */
export async function kept(id) {
  const found = { masks: [], polygons: [] };
  const own = await ownTab();
  for (const name of Object.keys(localStorage)) {
    if (!name.startsWith(`["${PREFIX}"`)) continue;
    const parts = JSON.parse(name);
    // Earlier versions of the page kept masks alone, without the tab.
    const [, kind, tab, video, frame] = parts.length === 3 ? [PREFIX, "mask", "", ...parts.slice(1)] : parts;
    if (video !== id || (await isOpenElsewhere(tab))) continue;
    const text = localStorage.getItem(name);
    const value = JSON.parse(text);
    if (tab !== own) {
      if (localStorage.getItem(key(kind, own, id, frame))) continue; // this tab has a draft of its own
      localStorage.removeItem(name);
      localStorage.setItem(key(kind, own, id, frame), text);
    }
    if (kind === "polygon") {
      found.polygons.push({ frame, polygon: value });
    } else {
      found.masks.push({ frame, png: fromBase64(value.png), version: value.version });
    }
  }
  return found;
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    localStorage.removeItem(name); // an older state would be worse than none
  }
}
