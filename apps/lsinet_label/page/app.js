/** The page: its parts, how they hear of each other, and what each key and button does. */

import { wire } from "./actions.js";
import { Api } from "./api.js";
import { askToSignIn, showHelp } from "./dialogs.js";
import { Editor } from "./editor.js";
import { drawJobs, drawLesions, drawVideos, stateOf } from "./panels.js";
import { Player } from "./player.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { Workflow, explain } from "./workflow.js";

const BUSY_PAUSE = 1; // seconds between two looks at the server while a job runs
const IDLE_PAUSE = 5;
const NARROW = "(max-width: 1180px)";
const VIEW = "lsinet.view";

const element = (id) => document.getElementById(id);
const setText = (id, text) => {
  if (element(id).textContent !== text) element(id).textContent = text;
};

// What the page says ---------------------------------------------------------------------------------------------------

function say(text) {
  element("message").className = "";
  setText("message", text);
}

function complain(error) {
  if (error.name === "AbortError") return;
  element("message").className = "problem";
  setText("message", explain(error));
}

function banner(text, kind = "") {
  if (element("banner").textContent !== text)
    Object.assign(element("banner"), { hidden: !text, className: kind, textContent: text });
}

// Its parts ------------------------------------------------------------------------------------------------------------

const api = new Api(askToSignIn);
const editor = new Editor(api);
const stage = new Stage(element("stage"), editor, say, () => drawTools());
const player = new Player(editor, () => drawTools());
const workflow = new Workflow(api, editor, { say, complain }, () => look());
let videos = [];
let jobs = [];
let dismissed = new Set(); // failed jobs that are not shown any more
let isFirstLook = true;
let nextLook = null;

const timeline = new Timeline(element("timeline"), editor);

const nameOf = (id) => videos.find((video) => video.id === id)?.name ?? id;
const isActive = (job) => job.state === "queued" || job.state === "running";

function setPressed(action, isPressed) {
  for (const button of document.querySelectorAll(`[data-action="${action}"]`))
    button.setAttribute("aria-pressed", isPressed);
}

function drawTools() {
  for (const tool of ["brush", "eraser", "polygon"]) setPressed(tool, stage.tool === tool);
  setPressed("by-keys", Boolean(stage.cursor));
  setPressed("outline", stage.view.outline);
  setPressed("hide", stage.view.hidden);
  setPressed("play", player.isPlaying);
  for (const [id, value, reading] of [
    ["brush-size", stage.radius, `${2 * stage.radius} px`],
    ["opacity", Math.round(100 * stage.view.opacity), `${Math.round(100 * stage.view.opacity)}%`],
  ]) {
    element(id).value = value;
    setText(`${id.split("-")[0]}-reading`, reading);
  }
  localStorage.setItem(VIEW, JSON.stringify({ radius: stage.radius, view: { ...stage.view, hidden: false } }));
}

function drawList() {
  const filter = element("video-filter").value.trim().toLowerCase();
  const byName = (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true });
  const urgency = (video) => (video.state === "final" || video.state === "failed" ? -1 : (video.rank ?? 0));
  const inOrder = element("video-order").value === "name" ? byName : (a, b) => urgency(b) - urgency(a) || byName(a, b);
  const shown = videos.filter(({ name }) => name.toLowerCase().includes(filter)).sort(inOrder);
  drawVideos(element("video-list"), shown, editor.video?.id, ({ id }) => editor.unsavedOf(id).length, openVideo);
  const running = jobs.filter((job) => isActive(job) || (job.state === "failed" && !dismissed.has(job.job)));
  drawJobs(
    element("job-list"),
    running,
    nameOf,
    (job) => workflow.cancel(job),
    (job) => {
      dismissed.add(job.job);
      drawList();
    },
  );
  return shown;
}

function drawVideo() {
  const { video } = editor;
  if (!video) return;
  setText("video-name", video.name);
  setText("video-state", stateOf(video));
  setPressed("final", video.final);
  setText("frame-count", video.frames === null ? "(counting)" : `of ${editor.lastFrame}`);
  element("frame-number").max = editor.lastFrame;
  const warnings = (video.warnings ?? []).map((line) =>
    Object.assign(document.createElement("li"), { textContent: line }),
  );
  element("warnings").replaceChildren(...warnings);
  if (video.error) setText("stage-state", video.error);
  document.title = `${video.name} – LSI-Net label`;
  drawFrame();
}

function time(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

/** What is known of the frame: the reading beside its number, its state above the save button, the lesions in it. */
function drawFrame() {
  const { video, frame, shown } = editor;
  if (!video) return;
  if (document.activeElement !== element("frame-number")) element("frame-number").value = frame;
  const score = video.scores?.[frame];
  const doubt = video.uncertainty?.[frame];
  const reading = [time(editor.secondsAt(frame))];
  if (score !== null && score !== undefined) reading.push(`score ${score.toFixed(2)}`);
  if (doubt !== null && doubt !== undefined) reading.push(`uncertainty ${doubt.toFixed(2)}`);
  setText("reading", reading.join(" · "));

  const isDraft = editor.unsaved.includes(frame);
  const by = video.corrections.find((correction) => correction.frame === frame);
  const source = shown?.frame === frame ? shown.mask.source : "";
  let state = { predicted: "Predicted by the network", none: "No mask yet" }[source] ?? "";
  if (by)
    state = `${by.empty ? "No polyp, by" : "Corrected by"} ${by.user ?? "a person"}, ${new Date(by.time).toLocaleString([], { dateStyle: "short", timeStyle: "short" })}`;
  if (video.final) state = "The video is final";
  if (isDraft) state = `Frame ${frame} is not saved`;
  const others = editor.unsaved.length - Number(isDraft);
  if (others) state += `${state ? "; " : ""}${others} other${others > 1 ? "s" : ""} not saved`;
  setText("frame-state", state);
  element("frame-state").className = editor.unsaved.length ? "unsaved" : "";

  const here = shown?.frame === frame ? shown.mask.ids() : [];
  drawLesions(element("lesion-list"), video.lesions, editor.lesion, here, (id) => workflow.chooseLesion(id));
  const seen = here.map((id) => video.lesions.find((lesion) => lesion.id === id)?.name ?? `lesion ${id}`);
  element("stage").setAttribute("aria-label", `Frame ${frame}: ${seen.join(", ") || "no lesion"}. ${state}`);
}

// What they hear of each other -------------------------------------------------------------------------------------

for (const type of ["video", "drafts"]) {
  editor.addEventListener(type, () => {
    drawVideo();
    drawList();
    stage.redraw();
  });
}
editor.addEventListener("frame", () => {
  const { frame, video } = editor;
  element("stage").setAttribute("aria-busy", editor.shown?.frame !== frame);
  if (!player.isPlaying) drawFrame();
  // A frame that takes long is said to; one that does not makes no flicker.
  setTimeout(() => {
    if (editor.frame === frame && editor.shown?.frame !== frame && !video.error)
      setText("stage-state", `Frame ${frame} is loading…`);
  }, 300);
});
editor.addEventListener("shown", () => {
  if (editor.shown) setText("stage-state", "");
  element("stage").setAttribute("aria-busy", "false");
  drawFrame();
});
editor.addEventListener("lesion", drawFrame);
editor.addEventListener("mask", () => {
  if (!stage.isDrawing) drawFrame();
});
editor.addEventListener("problem", ({ detail }) => setText("stage-state", editor.video.error ?? explain(detail)));
api.addEventListener("offline", () =>
  banner(
    "No connection to the server. Your changes are kept in this page; it goes on by itself when the server is back.",
    "problem",
  ),
);
api.addEventListener("online", () => {
  banner("");
  say("The server is back.");
  look();
});

async function openVideo(video, frame = 0) {
  player.stop();
  if (matchMedia(NARROW).matches) showVideos(false);
  setText("stage-state", "");
  try {
    await editor.open(video.id, frame);
    location.hash = encodeURIComponent(video.id);
    element("stage").focus({ preventScroll: true });
    const { unsaved } = editor;
    if (editor.video.error) complain(editor.video.error);
    else if (unsaved.length) say(`Frames with changes that are not saved: ${unsaved.join(", ")}.`);
    else if (!editor.video.frames) say("The video has no frames.");
    else if (editor.video.state === "new") say("A new video. A lets the network find the polyps in it.");
    else say("N goes to the next doubtful frame. ? shows all keys.");
  } catch (error) {
    complain(error);
    if (!editor.video) setText("stage-state", explain(error));
  }
}

function drawServer({ model, device, version, auth, user }) {
  workflow.model = model;
  if (!element("banner").className)
    banner(model.available ? "" : `No model yet: masks can be drawn, but not predicted. ${model.how}`);
  setText(
    "server",
    `${auth && user ? `Signed in as ${user} · ` : ""}${model.path ?? "no model"} on ${device} · version ${version}`,
  );
}

/** Look at the server: the videos, and the jobs, of which those that have ended are told of. */
async function look() {
  clearTimeout(nextLook);
  try {
    const [nowVideos, nowJobs, status] = await Promise.all([api.videos(), api.jobs(), api.status()]);
    drawServer(status);
    const before = new Map(jobs.map((job) => [job.job, job]));
    const over = nowJobs.filter((job) => !isActive(job));
    // What was over before the page was opened is no news.
    const ended = isFirstLook ? [] : over.filter(({ job }) => !before.has(job) || isActive(before.get(job)));
    if (isFirstLook) dismissed = new Set(over.map(({ job }) => job));
    isFirstLook = false;
    const old = videos.find(({ id }) => id === editor.video?.id);
    [videos, jobs] = [nowVideos, nowJobs];
    for (const job of ended) await workflow.finished(job, nameOf);
    const now = videos.find(({ id }) => id === editor.video?.id);
    const differs = old && now && ["state", "corrected", "frames"].some((key) => old[key] !== now[key]);
    if (differs && !ended.length) await editor.refresh();
    else if (now && editor.video) Object.assign(editor.video, { state: now.state, progress: now.progress });
    drawList();
    drawVideo();
  } catch (error) {
    complain(error);
  }
  clearTimeout(nextLook);
  nextLook = setTimeout(look, 1000 * (jobs.some(isActive) ? BUSY_PAUSE : IDLE_PAUSE));
}

element("stage").addEventListener("pointerdown", () => player.stop());
window.addEventListener("beforeunload", (event) => {
  if (videos.some(({ id }) => editor.unsavedOf(id).length)) event.preventDefault();
});

// What each key and button does ----------------------------------------------------------------------------------------

function step(frames) {
  player.stop();
  editor.seek(editor.frame + frames);
}

/** Go to the next of some frames (the one before: direction -1), from the other end where there is none. */
function goTo(frames, direction, none) {
  if (!editor.video) return say("Choose a video first.");
  if (!frames.length) return say(none);
  const sorted = [...frames].sort((a, b) => direction * (a - b));
  const next = sorted.find((frame) => direction * (frame - editor.frame) > 0) ?? sorted[0];
  const isAround = direction * (next - editor.frame) <= 0;
  player.stop();
  editor.seek(next);
  return say(isAround ? `From the ${direction > 0 ? "beginning" : "end"} again.` : "");
}

function paint(act) {
  if (editor.mask) act(editor.mask);
  else if (editor.video?.final) say("This video is marked as final. Press F to work on it again.");
}

function clearFrom(id) {
  paint((mask) => {
    let rectangle;
    mask.stroke(() => (rectangle = mask.replace(id, 0)));
    editor.touch(rectangle);
    say(
      id === null
        ? `No polyp in frame ${editor.frame}: save it, or save and propagate.`
        : `Lesion ${id} is cleared from this frame.`,
    );
  });
}

function history(direction) {
  paint((mask) => {
    if (mask[direction]()) editor.touch(null);
    else say(`There is nothing to ${direction} in this frame.`);
  });
}

function stepVideo(direction) {
  const shown = drawList();
  const now = shown.findIndex(({ id }) => id === editor.video?.id);
  const next = shown[now + direction] ?? (now < 0 ? shown[0] : null);
  if (next) openVideo(next);
}

function showVideos(isShown = element("videos").hidden) {
  element("videos").hidden = !isShown;
  document.querySelector('[data-action="videos"]').setAttribute("aria-expanded", isShown);
  if (isShown) (element("video-list").querySelector("[aria-current=true]") ?? element("video-filter")).focus();
}

async function openMostDoubtful() {
  try {
    const next = await api.next();
    await openVideo(next, next.frame);
    say(`${nameOf(next.id)}, frame ${next.frame}: the most doubtful of all.`);
  } catch (error) {
    complain(error);
  }
}

const NO_DOUBT = "No doubtful frame is left. F marks the video as final.";
const NO_CORRECTION = "No frame is corrected yet.";

const action = (group, id, name, keys, run) => ({ group, id, name, keys, run });

const ACTIONS = [
  action("Player", "play", "Play or pause", [" "], () => player.toggle()),
  action("Player", "previous", "Previous frame", ["ArrowLeft"], () => step(-1)),
  action("Player", "next", "Next frame", ["ArrowRight"], () => step(1)),
  action("Player", "back-10", "10 frames back", ["Shift+ArrowLeft"], () => step(-10)),
  action("Player", "on-10", "10 frames on", ["Shift+ArrowRight"], () => step(10)),
  action("Player", "first", "First frame", ["Home"], () => step(-Infinity)),
  action("Player", "last", "Last frame", ["End"], () => step(Infinity)),
  action("Player", "go-to", "Go to a frame by its number", ["G"], () => element("frame-number").select()),
  action("Player", "next-doubtful", "Next doubtful frame", ["N"], () => goTo(editor.doubtful, 1, NO_DOUBT)),
  action("Player", "previous-doubtful", "Previous doubtful frame", ["Shift+N"], () =>
    goTo(editor.doubtful, -1, NO_DOUBT),
  ),
  action("Player", "next-corrected", "Next corrected or unsaved frame", ["."], () =>
    goTo([...editor.corrected, ...editor.unsaved], 1, NO_CORRECTION),
  ),
  action("Player", "previous-corrected", "Previous corrected or unsaved frame", [","], () =>
    goTo([...editor.corrected, ...editor.unsaved], -1, NO_CORRECTION),
  ),
  action("Player", "most-changed", "The frame that the last propagation changed most", ["J"], () => {
    const most = workflow.mostChanged();
    if (most) step(most.frame - editor.frame);
    else say("No propagation has changed a frame yet.");
  }),

  action("Draw", "brush", "Brush", ["B"], () => stage.setTool("brush")),
  action("Draw", "eraser", "Eraser", ["E"], () => stage.setTool("eraser")),
  action("Draw", "polygon", "Polygon (Enter closes it, Backspace takes a point back, Esc gives it up)", ["P"], () =>
    stage.setTool("polygon"),
  ),
  action("Draw", "smaller", "Smaller brush", ["["], () =>
    stage.setRadius(Math.min(stage.radius - 1, stage.radius / 1.2)),
  ),
  action("Draw", "larger", "Larger brush", ["]"], () =>
    stage.setRadius(Math.max(stage.radius + 1, stage.radius * 1.2)),
  ),
  action("Draw", "by-keys", "Move the pen by the arrow keys", ["K"], () => stage.toggleCursor()),
  action("Draw", "clear", "Clear the chosen lesion from the frame", ["C"], () => clearFrom(editor.lesion)),
  action("Draw", "no-polyp", "No polyp in this frame", ["0"], () => clearFrom(null)),
  action("Draw", "undo", "Undo", ["Ctrl+Z"], () => history("undo")),
  action("Draw", "redo", "Redo", ["Ctrl+Shift+Z", "Ctrl+Y"], () => history("redo")),

  ...Array.from({ length: 9 }, (_, i) =>
    action("Lesions", `lesion-${i + 1}`, "", [String(i + 1)], () => workflow.chooseLesion(i + 1)),
  ),
  action("Lesions", "new-lesion", "New lesion (1 to 9 choose one)", ["L"], () => workflow.newLesion()),
  action("Lesions", "rename", "Rename or recolour the chosen lesion", ["R"], () => workflow.rename()),
  action("Lesions", "merge", "Merge two lesions", ["M"], () => workflow.merge()),

  action("View", "outline", "Outline on or off", ["O"], () => stage.setView({ outline: !stage.view.outline })),
  action("View", "hide", "Hide the mask or show it", ["H"], () => stage.setView({ hidden: !stage.view.hidden })),
  action("View", "zoom-in", "Zoom in", ["+", "="], () => stage.zoomBy(1.5)),
  action("View", "zoom-out", "Zoom out", ["-"], () => stage.zoomBy(1 / 1.5)),
  action("View", "timeline-in", "Zoom the timeline in, around the frame", ["T"], () => timeline.zoomBy(2)),
  action("View", "timeline-out", "Zoom the timeline out", ["Shift+T"], () => timeline.zoomBy(1 / 2)),
  action("View", "zoom-fit", "Fit the picture into the stage", ["Z"], () => stage.zoomBy(0)),

  action("Save", "propagate", "Save and propagate", ["Enter", "Ctrl+S"], () => workflow.propagate()),
  action("Save", "save", "Save; an unchanged frame is saved as looked at", ["S"], () => workflow.save()),
  action("Save", "revert", "Discard the changes, or take the correction back", ["Delete"], () => workflow.revert()),
  action("Save", "final", "Mark the video as final, or work on it again", ["F"], () => workflow.final()),
  action("Save", "export", "Export", ["X"], () => workflow.export()),
  action("Save", "import", "Import", ["I"], () => workflow.import()),

  action("Videos", "videos", "Show or hide the list of videos", ["V"], () => showVideos()),
  action("Videos", "next-video", "Next video", ["PageDown"], () => stepVideo(1)),
  action("Videos", "previous-video", "Previous video", ["PageUp"], () => stepVideo(-1)),
  action("Videos", "most-doubtful", "The most doubtful frame of all videos", ["D"], openMostDoubtful),
  action("Videos", "annotate", "Let the network find the polyps", ["A"], () => workflow.annotate()),
  action("Videos", "annotate-all", "Let it find them in all new videos", ["Shift+A"], () =>
    workflow.annotate(videos.filter(({ state }) => state === "new")),
  ),
  action("Videos", "help", "This help", ["?"], () => showHelp()),
];

wire(ACTIONS, { takeKey: (event) => stage.takeKey(event), help: element("keys") });
element("brush-size").addEventListener("input", ({ target }) => stage.setRadius(Number(target.value)));
element("opacity").addEventListener("input", ({ target }) => stage.setView({ opacity: Number(target.value) / 100 }));
element("video-filter").addEventListener("input", drawList);
element("video-order").addEventListener("change", drawList);
element("frame-number").addEventListener("change", ({ target }) => {
  step(Number(target.value) - editor.frame);
  element("stage").focus({ preventScroll: true });
});

// The beginning --------------------------------------------------------------------------------------------------------

const { radius, view } = JSON.parse(localStorage.getItem(VIEW) ?? "{}");
if (radius) stage.setRadius(radius);
stage.setView(view ?? {});
await look();
const wanted = videos.find(({ id }) => id === decodeURIComponent(location.hash.slice(1)));
if (wanted) {
  openVideo(wanted);
} else {
  setText(
    "stage-state",
    videos.length ? "Choose a video on the left." : "There are no videos in the server's folder yet.",
  );
  element("video-list").querySelector("button")?.focus();
}
