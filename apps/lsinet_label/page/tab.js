/** This page among the others that are open in the browser: each keeps its own drafts. */

const KEY = "lsinet.tab";
const lockOf = (tab) => `${KEY}.${tab}`;

let own = null;

/** The id of this page. A reload keeps it; a copy of the tab gets another one. */
export async function ownTab() {
  own ??= takeId();
  return own;
}

/** Whether another page has this id now. Browsers say so on 127.0.0.1 and over HTTPS only. */
export async function isOpenElsewhere(tab) {
  if (!navigator.locks || tab === (await own)) return false;
  return (await heldLocks()).has(lockOf(tab));
}

async function takeId() {
  const known = sessionStorage.getItem(KEY);
  const isFree = known && !(navigator.locks && (await heldLocks()).has(lockOf(known)));
  const id = isFree ? known : `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  sessionStorage.setItem(KEY, id);
  navigator.locks?.request(lockOf(id), () => new Promise(() => {})); // held until the page is closed
  return id;
}

async function heldLocks() {
  const { held } = await navigator.locks.query();
  return new Set(held.map(({ name }) => name));
}
