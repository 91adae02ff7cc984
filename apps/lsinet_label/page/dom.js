/** Helpers to find, fill and make elements. */

export const element = (id) => document.getElementById(id);

export function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

export function make(tag, properties = {}, ...children) {
  const { attributes = {}, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function setPressed(action, isPressed) {
  for (const button of document.querySelectorAll(`[data-action="${action}"]`))
    button.setAttribute("aria-pressed", isPressed);
}

/** Replace a list's rows. The focus stays on the same button, found by its `data-key`. */
export function refill(list, rows) {
  const { key } = list.contains(document.activeElement) ? document.activeElement.dataset : {};
  const { scrollTop } = list;
  list.replaceChildren(...rows);
  list.scrollTop = scrollTop;
  if (key) [...list.querySelectorAll("[data-key]")].find((control) => control.dataset.key === key)?.focus();
}

/** Whether a button of the list is held down. If it were replaced now, it would lose its click. */
export const isHeldDown = (list) => list.matches(":active");
