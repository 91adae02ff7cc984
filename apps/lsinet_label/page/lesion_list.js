/** The list of a video's lesions, those of the frame first. It marks the one that the pen draws. */

import { element, make, refill } from "./dom.js";

/**
 * The lesions in the order of the list: those of the current frame first. A lesion that only a few frames show is left
 * out in other frames, unless it is chosen.
 */
export function lesionRows(editor) {
  const { lesion, video } = editor;
  const here = lesionsHere(editor);
  const isListed = ({ id }) => id === lesion || here.includes(id) || !video.short_lesions.includes(id);
  return allLesionRows(editor).filter(isListed);
}

/** All lesions, those of the current frame first. */
export function allLesionRows(editor) {
  const { video } = editor;
  const here = lesionsHere(editor);
  const place = ({ id }) => (here.includes(id) ? here.indexOf(id) : here.length);
  return [...(video?.lesions ?? [])].sort((a, b) => place(a) - place(b) || a.id - b.id);
}

/** The name of a lesion by its id. */
export const nameOfLesion = ({ video }, id) => video.lesions.find((lesion) => lesion.id === id)?.name ?? `Lesion ${id}`;

function lesionsHere({ shown, frame }) {
  return shown?.frame === frame ? shown.mask.ids() : [];
}

/**
 * @param {object[]} lesions  in the order of the rows; the keys 1 to 9 choose the first rows
 * @param {number} active   id of the lesion that the pen draws
 * @param {number[]} inFrame  ids of the lesions that the frame shows
 */
export function drawLesions(lesions, active, inFrame, onChoose) {
  const list = element("lesion-list");
  // While playing, this is called with every frame, and the list seldom differs.
  const drawn = JSON.stringify([lesions, active, inFrame]);
  if (list.dataset.drawn === drawn) return;
  list.dataset.drawn = drawn;
  const rows = lesions.map(({ id, name, colour }, i) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = colour;
    const mark = make("span", {
      className: "here",
      textContent: inFrame.includes(id) ? "●" : "",
      title: "In this frame",
    });
    const button = make(
      "button",
      { type: "button", attributes: { "data-key": id, "aria-pressed": String(id === active) } },
      make("kbd", { textContent: i < 9 ? i + 1 : "" }),
      swatch,
      make("span", { className: "name", textContent: name }),
      mark,
    );
    button.addEventListener("click", () => onChoose(id));
    return make("li", {}, button);
  });
  refill(list, rows);
  list.querySelector("[aria-pressed=true]")?.scrollIntoView({ block: "nearest" });
}
