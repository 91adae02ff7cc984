/** The dialog that shows what an import would change, and asks which of the file's labels are polyps. */

import { open } from "./dialogs.js";
import { element, make } from "./dom.js";
import { explain, plural } from "./messages.js";

const NOT_SURE = "";
const ROLES = [
  [NOT_SURE, "not sure"],
  ["polyp", "a polyp"],
  ["other", "not a polyp"],
];

/**
 * @param {(options: {labels?: string}) => Promise<object>} preview  asks the server what an import would do
 * @returns {Promise<{labels?: string}|{isSame: true}|null>} the options to import with; null to import nothing
 */
export async function confirmImport(preview) {
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
  element("import-label-list").replaceChildren(
    ...labels.map(([name, count]) => labelRow(name, count, name in report.labels, choose)),
  );
  show(report);
  return (await open(element("import-plan-dialog"))) && options;
}

function labelRow(name, count, isPolyp, onchange) {
  const select = make("select", { onchange }, ...ROLES.map(([value, text]) => new Option(text, value)));
  select.value = isPolyp ? "polyp" : NOT_SURE;
  return make("label", { className: "field" }, `${name || "(no name)"} (${count})`, select);
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
  element("import-plan").replaceChildren(...summary.map((textContent) => make("li", { textContent })));
  element("import-go").disabled = !frames;
}
