/** The dialog that shows what an import would change, and asks which of the file's labels are polyps. */

import { open } from "./dialogs.js";
import { element, make } from "./dom.js";
import { explain, inPeoplesWords, plural } from "./messages.js";

const NOT_SURE = "";
const SHAPES = {
  legend: "What do the file's labels stand for?",
  note: "Frames that show only what you are not sure of stay as they are.",
  roles: [
    [NOT_SURE, "not sure"],
    ["polyp", "a polyp"],
    ["other", "not a polyp"],
  ],
  name: (label, count) => `${label || "(no name)"} (${count})`,
};
// Pixels have a value each, so what is not a polyp is background.
const PIXELS = {
  legend: "Which values of the masks are polyps?",
  note: "Every pixel of another value is background.",
  roles: [
    ["other", "background"],
    ["polyp", "a polyp"],
  ],
  name: (label, count) => `${label} (in ${plural(count, "mask")})`,
};
const COLOUR = /^rgb\(\d+,\d+,\d+\)$/;

/**
 * @param {(options: {labels?: string}) => Promise<object>} preview  asks the server what an import would do
 * @param {string} format  the file's
 * @returns {Promise<{labels?: string}|{isSame: true}|null>} the options to import with; null to import nothing
 */
export async function confirmImport(preview, format) {
  let report;
  try {
    report = await preview({});
  } catch (error) {
    if (!error.body?.labels) throw error;
    report = { frames: 0, labels: {}, all_labels: error.body.labels, summary: [] };
  }
  const labels = Object.entries(report.all_labels).filter(([, count]) => count > 0);
  const isQuestion = labels.some(([name]) => !(name in report.labels));
  if (!report.frames && !isQuestion) return { isSame: true };

  const question = format === "png" ? PIXELS : SHAPES;
  let options = {};
  let asked = 0;
  const choose = async () => {
    options = { labels: JSON.stringify(chosen(labels)) };
    const turn = ++asked;
    element("import-go").disabled = true;
    try {
      const answer = await preview(options);
      if (turn === asked) show(answer);
    } catch (error) {
      if (turn === asked) show({ frames: 0, summary: [explain(error)] });
    }
  };
  element("import-labels").hidden = !isQuestion;
  element("import-labels-title").textContent = question.legend;
  element("import-labels-note").textContent = question.note;
  element("import-label-list").replaceChildren(
    ...labels.map(([name, count]) => labelRow(question, name, count, name in report.labels, choose)),
  );
  show(report);
  return (await open(element("import-plan-dialog"))) && options;
}

function labelRow({ roles, name: describe }, name, count, isPolyp, onchange) {
  const select = make("select", { onchange }, ...roles.map(([value, text]) => new Option(text, value)));
  if (isPolyp) select.value = "polyp";
  const text = make("span", { textContent: describe(name, count) });
  if (COLOUR.test(name)) {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = name;
    text.prepend(swatch);
  }
  return make("label", { className: "field" }, text, select);
}

/** The mapping of labels as the server reads it; labels that people are not sure of are missing. */
function chosen(labels) {
  const roles = [...element("import-label-list").querySelectorAll("select")].map(({ value }) => value);
  const pairs = labels.map(([name], i) => [name, roles[i]]).filter(([, role]) => role !== NOT_SURE);
  return Object.fromEntries(pairs.map(([name, role]) => [name, role === "polyp" ? "polyp" : null]));
}

function show({ frames, summary }) {
  element("import-plan-title").textContent = frames
    ? `Import masks into ${plural(frames, "frame")}?`
    : "Nothing to import yet";
  element("import-plan").replaceChildren(...summary.map((line) => make("li", { textContent: inPeoplesWords(line) })));
  element("import-go").disabled = !frames;
}
