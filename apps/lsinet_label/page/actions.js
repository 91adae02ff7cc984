/** All that can be done on the page: each action once, for the buttons, the keys and the help. */

/**
 * @typedef {{id: string, group: string, name: string, keys: string[], run: () => void}} Action
 * `keys` as "Shift+ArrowLeft", "Ctrl+Z" (the command key of a Mac counts as Ctrl), or "N". An action without a name
 * stands in the help with another.
 */

const NAMES = {
  ArrowLeft: "←",
  ArrowRight: "→",
  " ": "Space",
  PageUp: "Page up",
  PageDown: "Page down",
  Enter: "Enter",
  Delete: "Del",
};

const display = (key) =>
  key === "+"
    ? key
    : key
        .split("+")
        .map((part) => NAMES[part] ?? part)
        .join(" ");

/** The name of the key that was pressed, as actions write it. */
function pressed({ key, ctrlKey, metaKey, shiftKey }) {
  const name = key.length === 1 ? key.toUpperCase() : key;
  // Signs are written with Shift on some keyboards and without on others; letters and named keys count with it.
  const counts = key.length > 1 || name !== key.toLowerCase();
  return `${ctrlKey || metaKey ? "Ctrl+" : ""}${shiftKey && counts ? "Shift+" : ""}${name}`;
}

/** Wire the actions to the buttons that name them in data-action, to their keys, and write the help's table. */
export function wire(actions, { takeKey, help }) {
  const byKey = new Map(actions.flatMap((action) => action.keys.map((key) => [key, action])));
  for (const action of actions) {
    for (const button of document.querySelectorAll(`[data-action="${action.id}"]`)) {
      button.addEventListener("click", (event) => {
        // After a click with the mouse or a finger the keys belong to the stage again; after a key the button keeps them.
        if (event.detail) document.getElementById("stage").focus({ preventScroll: true });
        action.run();
      });
      const [key] = action.keys;
      if (!key) continue;
      button.setAttribute(
        "aria-keyshortcuts",
        action.keys.map((name) => name.replace("Ctrl", "Control").replace(/ $/, "Space")).join(" "),
      );
      button.title = `${action.name} (${display(key)})`;
      if (!button.hasAttribute("aria-label") && !key.startsWith("Ctrl"))
        button.append(Object.assign(document.createElement("kbd"), { textContent: display(key) }));
    }
  }
  const told = actions.filter(({ name }) => name);
  for (const group of new Set(told.map((action) => action.group))) {
    const section = document.createElement("section");
    section.append(Object.assign(document.createElement("h3"), { textContent: group }));
    const rows = document.createElement("dl");
    for (const { name, keys } of told.filter((action) => action.group === group)) {
      const term = document.createElement("dt");
      keys.forEach((key, i) =>
        term.append(i ? " or " : "", Object.assign(document.createElement("kbd"), { textContent: display(key) })),
      );
      rows.append(term, Object.assign(document.createElement("dd"), { textContent: name }));
    }
    section.append(rows);
    help.append(section);
  }

  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.altKey || document.querySelector("dialog[open]")) return;
    const isButton = target.matches("button, a, summary");
    if (isButton && (event.key === " " || event.key === "Enter") && !event.ctrlKey) return; // the button's own
    if (target.matches("select") || target.matches("input")) {
      const isText = !target.matches("[type=range], [type=checkbox], [type=color]");
      if (event.key === "Escape") target.blur();
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
