/**
 * Prompts: the points and the box that people set for a lesion of a frame, and the masks that the network makes of them.
 *
 * The prompts of a mask are a part of its strokes, see mask.js: undoing a stroke takes back its point, too.
 */

import { complain, explain, say } from "./messages.js";
import { edgesOf } from "./outline.js";
import { decodePng, encodePng, toBase64 } from "./png.js";

const REST = 150; // milliseconds that a frame is shown before the server encodes it
const READING = 3000; // milliseconds that people need to read a line
const NOTHING = { points: [], labels: [], box: null, start: null };

/** @typedef {{point: number[], label: 0|1}|{box: number[]}} Click  a point, 1: in the lesion, 0: not; or a box */

export class Prompts {
  /**
   * @param {() => boolean} isInUse   whether people are pointing at lesions
   * @param {() => void} onChange     called when the prompts or what a further point would give must be drawn again
   */
  constructor(editor, isInUse, onChange) {
    Object.assign(this, { editor, isInUse, onChange });
    this.clicks = []; // those that are not answered yet, with their mask and lesion
    this.running = null; // resolves when none of them is left
    this.lost = { count: 0, line: "", at: -Infinity }; // how often clicks were dropped; what was said last, and when
    this.waiting = 0; // how many steps wait for the clicks
    this.asked = null; // the last question and its answer: {key, answer}
    this.begun = null; // the last mask to start from: {mask, state, lesion, png}
    this.prepared = null; // the mask of the frame that the server has encoded
    this.isPreparing = false;
    this.rest = null; // where the mouse rests: a click
    this.isLooking = false; // whether the server is asked what that click would give
    this.preview = null; // its answer: {mask, state, lesion, edges}
    editor.addEventListener("frame", () => this.#leaveFrame());
    editor.addEventListener("shown", () => this.#show());
    editor.addEventListener("lesion", () => this.#dropOutdated());
  }

  /** The points and the box of the chosen lesion in this frame, with those that are not answered yet. */
  get shown() {
    const { mask, lesion } = this.editor;
    const clicks = this.clicks.filter((click) => this.#isHere(click));
    return clicks.reduce(merge, mask?.prompts.get(lesion) ?? NOTHING);
  }

  /** The outline that a click would give where the mouse rests, as edgesOf() has it, or null. */
  get previewEdges() {
    const { preview } = this;
    return preview && this.#isHere(preview) && preview.mask.state === preview.state ? preview.edges : null;
  }

  // Clicks -----------------------------------------------------------------------------------------------------------

  /** Set a point or a box for the chosen lesion. Its mask follows when the server has answered. @param {Click} click */
  add(click) {
    if (!this.editor.mask) return;
    this.look(null);
    this.lost.at = -Infinity; // its line needs no more reading
    this.clicks.push({ ...click, ...this.#place });
    this.running ??= this.#answerAll().finally(() => {
      this.running = null;
      this.#lookNow();
    });
    this.onChange();
  }

  /** Where people look: the video, the frame with its mask, and the lesion. */
  get #place() {
    const { video, frame, mask, lesion } = this.editor;
    return { video: video.id, frame, mask, lesion };
  }

  /** Take back the last click that is not answered yet; returns whether there was one. */
  dropLast() {
    if (!this.clicks.length) return false;
    this.clicks.pop();
    if (!this.clicks.length) this.abort?.abort();
    this.onChange();
    return true;
  }

  /**
   * Wait for the clicks under way, before the mask is saved; resolves to whether it is what people wanted. If it is not,
   * a line says why.
   */
  async finish() {
    if (!this.running) return true;
    const { mask } = this.editor;
    const { count } = this.lost;
    this.waiting += 1;
    await this.running;
    this.waiting -= 1;
    if (this.lost.count > count) return false;
    if (this.editor.mask === mask) return true;
    say("Nothing is saved: another frame or mask was opened meanwhile.");
    return false;
  }

  /** Ask for one click after the other: each is a stroke of its own, which can be undone. */
  async #answerAll() {
    while (this.clicks.length) {
      const [click] = this.clicks;
      const { mask, lesion } = click;
      const { state } = mask;
      this.abort = new AbortController();
      try {
        const prompts = merge(await this.#promptsOf(click), click);
        const answer = await this.#ask(prompts, click, this.abort.signal);
        if (click !== this.clicks[0]) continue; // it was taken back
        if (!this.#isHere(click) || mask.state !== state || mask.isPainting) {
          this.#dropAll(`${this.#whyOutdated(click)} before an answer came.`);
        } else {
          this.clicks.shift();
          this.#apply(answer, mask, lesion, prompts);
        }
      } catch (error) {
        if (click !== this.clicks[0]) continue;
        this.#dropAll(explain(error), complain);
      }
    }
  }

  #apply(answer, mask, lesion, prompts) {
    let rectangle;
    mask.stroke(() => (rectangle = mask.putLesion(lesion, answer)), { pointed: { lesion, prompts } });
    this.prepared = mask;
    this.editor.markPainted(rectangle);
    if (mask.ids().includes(lesion)) return;
    say(
      answer.includes(1)
        ? "Another lesion is there already: a click with Ctrl chooses it."
        : "The network sees no lesion there. Set another point, or take this one back with Ctrl+Z.",
    );
  }

  /** Whether a click belongs to the frame and the lesion at which people look. */
  #isHere({ mask, lesion }) {
    return this.editor.mask === mask && this.editor.lesion === lesion;
  }

  /** Why the answer to a click comes too late. */
  #whyOutdated(click) {
    const { video, frame, lesion } = this.editor;
    if (click.video !== video?.id) return "another video was opened";
    if (click.frame !== frame) return "another frame was opened";
    return click.lesion === lesion ? "the mask was changed" : "another lesion was chosen";
  }

  /** Drop the clicks that are not answered, and say why. */
  #dropAll(why, tell = say) {
    const what = this.clicks.length > 1 ? "last clicks were" : "last click was";
    const line = `${this.waiting ? "Nothing is saved, because the" : "The"} ${what} not applied: ${why}`;
    this.lost = { count: this.lost.count + 1, line, at: performance.now() };
    this.clicks = [];
    this.abort?.abort();
    this.onChange();
    setTimeout(() => tell(line)); // after what the step says that came between
  }

  /** Drop clicks for another frame or lesion: their answers come too late. */
  #dropOutdated() {
    this.look(null);
    const outdated = this.clicks.find((click) => !this.#isHere(click));
    if (outdated) this.#dropAll(`${this.#whyOutdated(outdated)} before an answer came.`);
    this.onChange();
  }

  // Frames -----------------------------------------------------------------------------------------------------------

  #leaveFrame() {
    const { shown, frame } = this.editor;
    if (shown && shown.frame !== frame) shown.mask.forgetPrompts();
    const { line, at } = this.lost;
    if (performance.now() - at < READING) setTimeout(() => say(line)); // people leaf on, which clears the line
    this.#dropOutdated();
  }

  #show() {
    const mask = this.editor.shown?.mask ?? null;
    if (this.mask !== mask) this.mask?.forgetPrompts();
    this.mask = mask;
    this.#dropOutdated();
    this.prepareSoon();
  }

  /** Let the server encode the frame if people stay there, so that the first click is as fast as the others. */
  prepareSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#prepare(), REST);
  }

  async #prepare() {
    const { mask, video, frame, api } = this.editor;
    if (!mask || this.prepared === mask || this.isPreparing || !this.isInUse()) return;
    this.isPreparing = true;
    try {
      await api.prepare(video.id, frame);
      if (this.editor.mask === mask) this.prepared = mask;
    } catch {
      // A click will say what is wrong.
    }
    this.isPreparing = false;
    if (this.editor.mask !== mask) this.prepareSoon();
    this.#lookNow();
  }

  // Previews ---------------------------------------------------------------------------------------------------------

  /** Show what a click would give where the mouse rests; null: it does not rest. @param {Click|null} click */
  look(click) {
    const hadPreview = this.preview !== null;
    Object.assign(this, { rest: click, preview: null });
    if (hadPreview) this.onChange();
    this.#lookNow();
  }

  async #lookNow() {
    const { rest, isLooking, clicks } = this;
    const { mask, lesion } = this.editor;
    if (!rest || isLooking || clicks.length || !mask || this.prepared !== mask || !this.isInUse()) return;
    const { state } = mask;
    const place = this.#place;
    this.isLooking = true;
    try {
      const prompts = merge(await this.#promptsOf(place), rest);
      const answer = await this.#ask(prompts, place);
      if (this.rest === rest) this.preview = { mask, state, lesion, edges: edgesOf(answer, mask.width) };
    } catch {
      if (this.rest === rest) this.rest = null; // a click will say what is wrong
    }
    this.isLooking = false;
    if (this.rest !== rest) this.#lookNow();
    else this.onChange();
  }

  // The server -------------------------------------------------------------------------------------------------------

  /** The prompts of a lesion so far. The first ones start from the mask that it has then. */
  async #promptsOf({ mask, lesion }) {
    const known = mask.prompts.get(lesion);
    if (known) return known;
    const { begun } = this;
    const { state } = mask;
    if (begun?.mask !== mask || begun.state !== state || begun.lesion !== lesion) {
      const start = mask.labels.map((id) => Number(id === lesion));
      const png = start.includes(1) ? encodePng(start, mask.width, mask.height).then(toBase64) : null;
      this.begun = { mask, state, lesion, png };
    }
    return { ...NOTHING, start: await this.begun.png };
  }

  /** The lesion's pixels (1), row by row. A question that was the last one, too, is not asked again. */
  #ask({ start, ...prompts }, { video, frame, mask }, signal) {
    const question = { ...prompts, mask: start };
    const key = JSON.stringify([video, frame, question]);
    if (this.asked?.key !== key) {
      const answer = this.editor.api.prompt(video, frame, question, signal).then(async (png) => {
        const { width, height, labels } = await decodePng(png);
        if (width !== mask.width || height !== mask.height) throw new Error("The server's mask has another size.");
        return labels;
      });
      const asked = { key, answer };
      answer.catch(() => {
        if (this.asked === asked) this.asked = null;
      });
      this.asked = asked;
    }
    return this.asked.answer;
  }
}

/** Prompts with one more point, or with a box in place of the one before. */
function merge({ points, labels, box, start }, click) {
  if (click.box) return { points, labels, box: click.box, start };
  return { points: [...points, click.point], labels: [...labels, click.label], box, start };
}
