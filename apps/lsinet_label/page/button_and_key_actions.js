/** All actions of the page: name in the help, keys, and what each does. */

import { showHelp } from "./dialogs.js";
import { element, setPressed } from "./dom.js";
import { lesionRows } from "./lesion_list.js";
import { say } from "./messages.js";
import { SPEEDS } from "./player.js";

const action = (id, name, keys, run) => ({ id, name, keys, run });

/** @returns {import("./bindings.js").Action[]} */
export function listActions(parts) {
  const groups = {
    Player: playerActions(parts),
    Draw: drawActions(parts),
    Lesions: lesionActions(parts),
    View: viewActions(parts),
    Save: saveActions(parts),
    "Many frames": stretchActions(parts),
    Videos: videoActions(parts),
  };
  return Object.entries(groups).flatMap(([group, actions]) => actions.map((one) => ({ ...one, group })));
}

const playerActions = ({ navigation, player }) => [
  action("play", "Play or pause", [" "], () => player.toggle()),
  action("previous", "Previous frame", ["ArrowLeft"], () => navigation.step(-1)),
  action("next", "Next frame", ["ArrowRight"], () => navigation.step(1)),
  action("back-10", "10 frames back", ["Shift+ArrowLeft"], () => navigation.step(-10)),
  action("on-10", "10 frames forward", ["Shift+ArrowRight"], () => navigation.step(10)),
  action("first", "First frame", ["Home"], () => navigation.step(-Infinity)),
  action("last", "Last frame", ["End"], () => navigation.step(Infinity)),
  action("loop", "Play the selected frames, or a second around this one, over and over", ["Shift+Q"], () =>
    player.toggleLoop(),
  ),
  action("slower", "Play slower", ["<"], () => player.setSpeed(SPEEDS[Math.max(0, SPEEDS.indexOf(player.speed) - 1)])),
  action("faster", "Play faster", [">"], () =>
    player.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(player.speed) + 1)]),
  ),
  action("go-to", "Go to a frame number", ["G"], () => element("frame-number").select()),
  action("next-doubtful", "Next doubtful frame", ["N"], () => navigation.goToDoubtful(1)),
  action("previous-doubtful", "Previous doubtful frame", ["Shift+N"], () => navigation.goToDoubtful(-1)),
  action("next-corrected", "Next corrected or unsaved frame", ["."], () => navigation.goToCorrected(1)),
  action("previous-corrected", "Previous corrected or unsaved frame", [","], () => navigation.goToCorrected(-1)),
  action("most-changed", "Frame that the last propagation changed most", ["J"], () => navigation.goToMostChanged()),
];

const drawActions = ({ editor, manyFrames, pen, prompts, stage, toolSettings }) => [
  action("points", "Points: a click is in the lesion, a right click (or Alt, Shift) outside, a drag a box", ["0"], () =>
    toolSettings.choosePoints(),
  ),
  action("brush", "Brush", ["B"], () => pen.setTool("brush")),
  action("eraser", "Eraser", ["E"], () => pen.setTool("eraser")),
  action("polygon", "Polygon: click its corners, or draw around (Enter closes it, Esc drops it)", ["P"], () =>
    pen.setTool("polygon"),
  ),
  action("edit-outline", "Edit the outline of the chosen lesion by its corners", ["Shift+P"], () => pen.editOutline()),
  action("smaller", "Smaller brush", ["["], () => pen.setRadius(Math.min(pen.radius - 1, pen.radius / 1.2))),
  action("larger", "Larger brush", ["]"], () => pen.setRadius(Math.max(pen.radius + 1, pen.radius * 1.2))),
  action("by-keys", "Move the pen with the arrow keys", ["K"], () => pen.toggleCursor()),
  action("box-by-keys", "Points: begin a box where the keys moved the pen, and end it", ["Shift+B"], () =>
    stage.boxByKeys(),
  ),
  action("clear", "Clear the chosen lesion from the frame", ["C"], () => pen.clear(editor.lesion)),
  action("keep-only", "Clear all lesions but the chosen one", ["Shift+K"], () => pen.keepOnly(editor.lesion)),
  action("no-polyp", "No polyp in this frame, or in the selected frames", ["Shift+C"], () =>
    editor.selection ? manyFrames.noPolyp() : pen.clear(null),
  ),
  action("undo", "Undo", ["Ctrl+Z"], () => {
    say("");
    if (prompts.dropLast()) return true;
    return manyFrames.undo() || manyFrames.undoEarlier() || pen.undo();
  }),
  action("redo", "Redo", ["Ctrl+Shift+Z", "Ctrl+Y"], () => {
    say("");
    if (!prompts.running) pen.redo();
  }),
];

const lesionActions = ({ editor, manyFrames, workflow }) => [
  ...Array.from({ length: 9 }, (_, i) =>
    action(`lesion-${i + 1}`, "", [String(i + 1)], () => {
      const row = lesionRows(editor)[i];
      if (row) workflow.chooseLesion(row.id);
    }),
  ),
  action("new-lesion", "New lesion (1 to 9 choose the rows of the list)", ["L"], () => workflow.newLesion()),
  action(
    "delete-lesion",
    "Delete it from this run of frames, or from the selected ones; if no frame shows it, from the list",
    ["Shift+Backspace"],
    () => manyFrames.deleteLesion(),
  ),
  action("split-lesion", "Make it a new lesion from this frame on", ["Shift+L"], () => manyFrames.splitLesion()),
  action("rename", "Name and colour of the chosen lesion", ["R"], () => workflow.rename()),
  action("merge", "Merge two lesions, everywhere or in the selected frames", ["M"], () => manyFrames.merge()),
];

const viewActions = ({ timeline, view }) => [
  action("outline", "Show or hide the outline", ["O"], () => view.setStyle({ outline: !view.style.outline })),
  action("names", "Show or hide the names of the lesions", ["Shift+O"], () => view.setStyle({ names: !view.style.names })),
  action("hide", "Hide or show the mask", ["H"], () => view.setStyle({ hidden: !view.style.hidden })),
  action("zoom-in", "Zoom in", ["+", "="], () => view.zoomBy(1.5)),
  action("zoom-out", "Zoom out", ["-"], () => view.zoomBy(1 / 1.5)),
  action("timeline-in", "Zoom in on the timeline", ["T"], () => timeline.zoomBy(2)),
  action("timeline-out", "Zoom out on the timeline", ["Shift+T"], () => timeline.zoomBy(1 / 2)),
  action("legend", "Show or hide what the colours of the timeline mean", [], () =>
    setPressed("legend", element("legend").classList.toggle("open")),
  ),
  action("zoom-fit", "Show the whole picture", ["Z"], () => view.zoomBy(0)),
];

const saveActions = ({ files, flicker, manyFrames, preview, prompts, workflow }) => [
  action("propagate", "Save this frame and propagate it; accept the preview", ["Enter", "Ctrl+S"], () => workflow.propagate()),
  action("drop-preview", "Drop the preview (Esc); your mask stays, and is not saved", [], () =>
    preview.dropByPeople(),
  ),
  action("save", "Save all frames with changes", ["S"], () => workflow.save()),
  action("check", "The mask is right: mark the frame, or the selected ones, as checked", ["Y"], () => manyFrames.check()),
  action("revert", "Discard the changes that are not saved", ["Delete"], () => workflow.revert()),
  action("take-back", "Take the saved mask back, or those of the selected frames", ["Shift+Delete"], () =>
    manyFrames.takeBack(),
  ),
  action("flicker", "Compare with the masks before the last propagation", ["U"], () => flicker.toggle()),
  action("keep-spread", "Keep what the last propagation changed", ["Shift+Enter"], () => workflow.keepSpread()),
  action("undo-spread", "Undo the last propagation; your own mask stays", ["Shift+U"], () => workflow.undoSpread()),
  action(
    "final",
    "Mark the video as final, or work on it again",
    ["F"],
    async () => (await prompts.finish()) && workflow.final(),
  ),
  action("export", "Export the masks", ["X"], () => files.export()),
  action("import", "Import masks", ["I"], () => files.import()),
];

const stretchActions = ({ editor, manyFrames, preview }) => [
  action("select", "Select frames from this one on (or pull with Shift on the timeline)", ["Q"], () => manyFrames.select()),
  action("copy-mask", "Give the selected frames this mask", ["W"], () => manyFrames.copyMask()),
  action("end-selection", "End the selection, or drop the preview", ["Escape"], () => {
    if (!editor.selection) return preview.dropByPeople();
    say("");
    return editor.select(null);
  }),
];

const videoActions = ({ files, navigation, videoList, watch, workflow }) => [
  action("videos", "Show or hide the list of videos", ["V"], () => videoList.toggle()),
  action("next-video", "Next video", ["PageDown"], () => videoList.step(1)),
  action("previous-video", "Previous video", ["PageUp"], () => videoList.step(-1)),
  action("most-doubtful", "Most doubtful place of all videos", ["D"], () => navigation.openMostDoubtful()),
  action("annotate", "Find the polyps in this video", ["A"], () => workflow.findPolyps()),
  action("annotate-all", "Find the polyps in all new videos", ["Shift+A"], () =>
    workflow.findPolypsInNew(watch.videos),
  ),
  action("upload", "Add a video file to the server", [], () => element("upload-file").click()),
  action("remove-video", "Remove the open video from the server", [], () => files.removeVideo()),
  action("help", "Show this help", ["?"], () => showHelp()),
];
