/** Connects actions to their buttons and keys, and lists them in the help. */

import { element, make } from "./dom.js";

/**
 * @typedef {{id: string, group: string, name: string, keys: string[], run: () => void}} Action
 * `keys` are written as "Shift+ArrowLeft", "Ctrl+Z" (on a Mac, the command key) or "N". The help leaves out actions
 * without a name.
 */

const KEY_NAMES = {
  ArrowLeft: "←",
  ArrowRight: "→",
  " ": "Space",
  PageUp: "Page up",
  PageDown: "Page down",
  Enter: "↵",
  Escape: "Esc",
  Delete: "Del",
  Backspace: "⌫",
  Shift: "⇧",
};

const display = (key) =>
  key === "+"
    ? key
    : key
        .split("+")
        .map((part) => KEY_NAMES[part] ?? part)
        .join(" ")
        .replace("⇧ ", "⇧");

/** The pressed key, written as in an action's `keys`. */
function pressed({ key, ctrlKey, metaKey, shiftKey }) {
  const name = key.length === 1 ? key.toUpperCase() : key;
  // Some keyboards need Shift for a sign such as ?, so Shift counts for letters and named keys only.
  const counts = key.length > 1 || name !== key.toLowerCase();
  return `${ctrlKey || metaKey ? "Ctrl+" : ""}${shiftKey && counts ? "Shift+" : ""}${name}`;
}

/**
 * @param {Action[]} actions  started by the buttons with their id in data-action, and by their keys
 * @param {(event: KeyboardEvent) => boolean} takeKey  called first with each key; returns whether it handled the key
 */
export function connect(actions, takeKey) {
  const byKey = new Map(actions.flatMap((action) => action.keys.map((key) => [key, action])));
  for (const action of actions) {
    for (const button of document.querySelectorAll(`[data-action="${action.id}"]`)) {
      button.addEventListener("click", (event) => {
        // After a click by mouse or finger the stage has the focus again; after a key press the button keeps it.
        if (event.detail) element("stage").focus({ preventScroll: true });
        action.run();
      });
      const [key] = action.keys;
      if (!key) {
        button.title = action.name;
        continue;
      }
      button.setAttribute(
        "aria-keyshortcuts",
        action.keys.map((name) => name.replace("Ctrl", "Control").replace(/ $/, "Space")).join(" "),
      );
      button.title = `${action.name} (${display(key)})`;
      if (!button.hasAttribute("aria-label") && !key.startsWith("Ctrl"))
        button.append(make("kbd", { textContent: display(key) }));
    }
  }
  writeHelp(actions.filter(({ name, keys }) => name && keys.length));

  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.altKey || document.querySelector("dialog[open]")) return;
    if (event.repeat && event.key === "Enter") return; // held down, it closes a polygon and does not save, too
    const isButton = target.matches("button, a, summary");
    if (isButton && (event.key === " " || event.key === "Enter") && !event.ctrlKey) return; // these press the button
    if (target.matches("select") || target.matches("input")) {
      const isText = !target.matches("[type=range], [type=checkbox], [type=color]");
      if (event.key === "Escape" || (event.key === "Enter" && target.matches("[type=number]"))) target.blur();
      if (isText ? !(event.ctrlKey || event.metaKey) || event.key !== "s" : /^(Arrow|Home|End|Page| )/.test(event.key))
        return;
    }
    if (takeKey(event)) {
      event.preventDefault();
      return;
    }
    const action = byKey.get(pressed(event));
    if (!action) return;
    event.preventDefault();
    action.run();
  });
}

function writeHelp(actions) {
  for (const group of new Set(actions.map((action) => action.group))) {
    const rows = make("dl");
    for (const { name, keys } of actions.filter((action) => action.group === group)) {
      const shown = keys.flatMap((key, i) => [i ? " or " : "", make("kbd", { textContent: display(key) })]);
      rows.append(make("dt", {}, ...shown), make("dd", { textContent: name }));
    }
    element("keys").append(make("section", {}, make("h3", { textContent: group }), rows));
  }
}
