/** The page: makes its parts, connects their events, and opens the first video. */

import { listActions } from "./button_and_key_actions.js";
import { Api } from "./api.js";
import { connect } from "./bindings.js";
import { askToSignIn } from "./dialogs.js";
import { element, setText } from "./dom.js";
import { Editor } from "./editor.js";
import { Files } from "./files.js";
import { Flicker } from "./flicker.js";
import { drawJobs } from "./job_list.js";
import { JobReports } from "./job_reports.js";
import { ManyFrames } from "./many_frames.js";
import { forgetBefore, say, showBanner, shownNumber } from "./messages.js";
import { Navigation } from "./navigation.js";
import { Player } from "./player.js";
import { Readings } from "./readings.js";
import { SeenFrames } from "./seen.js";
import { ServerWatch } from "./server_watch.js";
import { SpreadPreview } from "./spread_preview.js";
import { Stage } from "./stage.js";
import { Steps } from "./steps.js";
import { Timeline } from "./timeline.js";
import { ToolSettings } from "./tool_settings.js";
import { VideoList } from "./video_list.js";
import { Workflow } from "./workflow.js";

const SLOW = 300; // milliseconds before the page says that a frame is loading

// The parts ------------------------------------------------------------------------------------------------------------

const api = new Api(askToSignIn);
const editor = new Editor(api);
const stage = new Stage(element("stage"), editor, () => toolSettings.draw());
const { pen, prompts, view } = stage;
const player = new Player(editor, () => {
  toolSettings.draw();
  prompts.prepareSoon();
});
stage.isPlaying = () => player.isPlaying;
const toolSettings = new ToolSettings(stage, player);
const steps = new Steps(editor, () => watch.look());
const finishDrawing = async () => {
  stage.tool.up();
  return (await prompts.finish()) && pen.finish();
};
const isDrawing = () => stage.tool.isDrawing || prompts.running !== null || editor.polygon !== null;
const preview = new SpreadPreview(api, editor, isDrawing);
const seen = new SeenFrames(editor);
const workflow = new Workflow(api, editor, steps, finishDrawing, preview, seen, () => watch.jobs);
const files = new Files(api, editor, steps, async () => (await prompts.finish()) && workflow.saveAll());
const manyFrames = new ManyFrames(api, editor, steps, finishDrawing, preview, seen);
const reports = new JobReports(api, editor, preview, () => watch.jobs);
const watch = new ServerWatch(api, editor, (job) => reports.reportEnd(job, watch.nameOf));
const flicker = new Flicker(api, editor, view);
const timeline = new Timeline(element("timeline"), editor);
const readings = new Readings(editor, (id) => workflow.chooseLesion(id));
const videoList = new VideoList(editor, watch, (video) => navigation.openVideo(video));
const navigation = new Navigation(
  api,
  editor,
  player,
  watch,
  (isShown) => videoList.toggle(isShown),
  () => reports.recallChanges(),
);

let frameOfMessage = 0;

// Events ---------------------------------------------------------------------------------------------------------------

for (const [type, redraw] of [
  ["video", () => view.redraw()], // lesions may have other colours
  ["drafts", () => view.onRedraw()], // a changed mask draws itself
]) {
  editor.addEventListener(type, () => {
    readings.drawVideo();
    videoList.draw();
    redraw();
  });
}
editor.addEventListener("frame", () => {
  const { frame, video } = editor;
  if (frame !== frameOfMessage && !editor.selection) say(""); // it was about another frame
  frameOfMessage = frame;
  element("stage").setAttribute("aria-busy", editor.shown?.frame !== frame);
  if (!player.isPlaying) readings.drawFrame();
  setTimeout(() => {
    const isWaiting = editor.frame === frame && editor.shown?.frame !== frame && editor.video?.id === video.id;
    if (isWaiting && !video.error && !editor.damaged)
      setText("stage-state", `Frame ${shownNumber(frame)} is loading…`);
  }, SLOW);
});
editor.addEventListener("shown", () => {
  if (editor.shown) setText("stage-state", "");
  element("stage").setAttribute("aria-busy", "false");
  readings.drawFrame();
});
editor.addEventListener("lesion", () => readings.drawFrame());
editor.addEventListener("mask", () => {
  forgetBefore(editor.mask?.lastStroke ?? 0);
  if (!pen.isDrawing) readings.drawFrame();
});
editor.addEventListener("problem", () => setText("stage-state", editor.video.error ?? editor.damaged));
editor.addEventListener("selection", () => readings.drawSelection());
editor.addEventListener("previews", () => readings.drawPreview(preview));

api.addEventListener("offline", () =>
  showBanner(
    "No connection to the server. Your changes are kept in this page, and are sent when the server is back.",
    "problem",
  ),
);
api.addEventListener("online", () => {
  showBanner("");
  say("The server is back.");
  watch.look();
});

watch.addEventListener("status", ({ detail: { model, device, version, auth, user } }) => {
  workflow.model = model;
  toolSettings.offerPoints(Boolean(model.points));
  readings.hasSignIn = workflow.hasSignIn = Boolean(auth);
  if (!element("banner").className)
    showBanner(model.available ? "" : `You can draw masks, but the network cannot predict any: ${model.how}`);
  const signedIn = auth && user ? `Signed in as ${user} · ` : "";
  if (model.about) setText("about", `Model: ${model.about}.`);
  setText("server", `${signedIn}${model.path ?? "no model"} on ${device} · version ${version}`);
});
watch.addEventListener("videos", () => {
  videoList.draw();
  drawJobList();
  readings.drawVideo();
});

function drawJobList() {
  const dismiss = ({ job }) => {
    watch.dismissed.add(job);
    drawJobList();
  };
  const isTakenBack = ({ image, kind, frame }) =>
    image === editor.video?.id &&
    kind === "propagate" &&
    frame !== null &&
    !editor.video.corrections.some((correction) => correction.frame === frame && correction.how === "drawn");
  drawJobs(watch.shownJobs, watch.nameOf, isTakenBack, (job) => workflow.cancel(job), dismiss);
}

element("stage").addEventListener("pointerdown", () => player.stop());
element("upload-file").addEventListener("change", ({ target }) => {
  files.upload(target.files[0]);
  target.value = "";
});
window.addEventListener("beforeunload", (event) => {
  if (watch.videos.some(({ id }) => editor.unsavedOf(id).length)) event.preventDefault();
});

// The start ------------------------------------------------------------------------------------------------------------

const actions = listActions({
  editor,
  files,
  flicker,
  manyFrames,
  navigation,
  pen,
  player,
  preview,
  prompts,
  stage,
  timeline,
  toolSettings,
  videoList,
  view,
  watch,
  workflow,
});
connect(actions, (event) => stage.takeKey(event));
toolSettings.restore();
await watch.look();
if (!navigation.openFromAddress()) {
  navigation.leave();
  element("video-list").querySelector("button")?.focus();
}
