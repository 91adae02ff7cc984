/** The calls to the server. After a lost connection a call is sent again; after an expired sign-in, people sign in. */

import { ownTab } from "./tab.js";

const ROOT = new URL("./", document.baseURI);
const TOKEN = "lsinet.token";
const LONGEST_WAIT = 10; // seconds between two tries to reach the server

export class ServerError extends Error {
  constructor(status, body) {
    // If a request does not fit FastAPI's types, `detail` is a list of objects.
    const detail = Array.isArray(body?.detail) ? body.detail.map(({ msg }) => msg).join("; ") : body?.detail;
    super(detail ?? `The server answered with error ${status}`);
    Object.assign(this, { status, body });
  }
}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

/** The lines of JSON in an answer, as they come, until `signal` ends it. */
async function* linesOf(body, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const cancel = () => reader.cancel().catch(() => {});
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel);
  for (let rest = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

/** Fires "offline" and "online". */
export class Api extends EventTarget {
  /** @param {(problem: string) => Promise<{username, password}>} askToSignIn */
  constructor(askToSignIn) {
    super();
    this.askToSignIn = askToSignIn;
  }

  status = () => this.#call("status");
  videos = () => this.#call("videos");
  video = (id) => this.#call(this.#path(id));
  jobs = () => this.#call("jobs");
  job = (job) => this.#call(`jobs/${encodeURIComponent(job)}`);
  next = () => this.#call("next");
  saveLesions = (id, lesions) => this.#send("PUT", `${this.#path(id)}/lesions`, lesions);
  /** `partial`: also if frames have no mask yet, and the person knows it. */
  markFinal = (id, final, partial) => this.#send("POST", `${this.#path(id)}/final`, { final, partial });
  cancelJob = (job) => this.#call(`jobs/${encodeURIComponent(job)}`, { method: "DELETE" });

  // Not sent again after a lost connection: the first call may have arrived.
  /** `within`: {first, last}, to propagate to these frames alone. */
  startJob = (id, kind, frame, within) =>
    this.#send("POST", "jobs", { image: id, kind, frame, ...within }, { once: true });
  /** `options`: {first, last, act, ...}; resolves to {act, frames}, the frames whose mask changed. */
  actOn = (id, options) => this.#send("POST", `${this.#path(id)}/stretch`, options, { once: true });
  keepSpread = (id, act) => this.#send("POST", `${this.#path(id)}/keep`, { act }, { once: true });
  undoAct = (id, act) => this.#send("POST", `${this.#path(id)}/undo`, { act }, { once: true });

  /** Let the server encode a frame, so that the first `prompt` is fast, too. */
  prepare = async (id, frame) =>
    this.#call(`${this.#path(id)}/frames/${frame}/prepare?page=${await ownTab()}`, { method: "POST", once: true });

  /** The mask that the network makes of `prompts`, {points, labels, box, mask}, as PNG: 1 in the lesion. */
  async prompt(id, frame, prompts, signal) {
    const path = `${this.#path(id)}/frames/${frame}/prompt`;
    return (await this.#send("POST", path, prompts, { signal, once: true }, "arrayBuffer")).body;
  }

  /**
   * How a mask would spread: resolves, once the server has begun, to what comes: {frame, mask}, a PNG file in base64,
   * and at the end {complete} or {detail}. Before that it cannot be given up: the later of two calls must come later.
   *
   * @param {{mask: string, first: number, last: number}} wanted  the mask in base64, and the frames to show
   */
  async spread(id, frame, wanted, signal) {
    const path = `${this.#path(id)}/frames/${frame}/spread?page=${await ownTab()}`;
    const { body } = await this.#send("POST", path, wanted, { once: true }, "stream");
    return linesOf(body, signal);
  }

  /** The picture of a frame as an ImageBitmap. */
  async picture(id, frame, signal) {
    const response = await this.#call(`${this.#path(id)}/frames/${frame}`, { signal }, "blob");
    return createImageBitmap(response.body);
  }

  /** The mask of a frame: {png, version, source}. */
  async mask(id, frame, signal) {
    const { body, headers } = await this.#call(this.#maskPath(id, frame), { signal, cache: "no-store" }, "arrayBuffer");
    return { png: body, version: Number(headers.get("X-Mask-Version")), source: headers.get("X-Mask-Source") };
  }

  /** The mask that a frame had before a propagation, as PNG. */
  async maskBefore(id, frame, act) {
    return (await this.#call(`${this.#maskPath(id, frame)}?before=${act}`, { cache: "no-store" }, "arrayBuffer")).body;
  }

  saveMask(id, frame, png, version, propagate) {
    const headers = { "If-Match": String(version), "Content-Type": "image/png" };
    const path = this.#maskPath(id, frame) + (propagate ? "?propagate=true" : "");
    return this.#call(path, { method: "PUT", body: png, headers });
  }

  /** The masks of a video as a file: {blob, name}. */
  async export(id, options) {
    const query = new URLSearchParams(options);
    const { body, headers } = await this.#call(`${this.#path(id)}/export?${query}`, {}, "blob");
    const name = /filename="?([^";]+)"?/.exec(headers.get("Content-Disposition") ?? "")?.[1];
    return { blob: body, name: name ?? `${id}.${options.format}` };
  }

  /** Import a file; `options` are those of the server's call, such as `dry_run`. */
  import(id, format, file, options) {
    const query = new URLSearchParams({ format, ...options });
    return this.#call(`${this.#path(id)}/import?${query}`, { method: "POST", body: file });
  }

  /** Add a video file to the server's folder. */
  upload(file) {
    const body = new FormData();
    body.append("file", file);
    return this.#call("../datastore/image", { method: "PUT", body, once: true });
  }

  /** Remove a video, and all that is known about it, from the server. */
  remove = (id) => this.#call(`../datastore/image?id=${encodeURIComponent(id)}`, { method: "DELETE", once: true });

  #path = (id) => `videos/${encodeURIComponent(id)}`;
  #maskPath = (id, frame) => `${this.#path(id)}/frames/${frame}/mask`;

  #send(method, path, body, options = {}, as = "json") {
    const headers = { "Content-Type": "application/json" };
    return this.#call(path, { method, body: JSON.stringify(body), headers, ...options }, as);
  }

  /** Resolves to the answer's JSON or, if `as` is another method of Response or "stream", to {body, headers}. */
  async #call(path, { once = false, ...options } = {}, as = "json") {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN);
      const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
      let response;
      let body = null;
      try {
        response = await fetch(new URL(path, ROOT), { ...options, headers });
        if (response.status === 502 || response.status === 504) throw new TypeError("a proxy cannot reach the server");
        if (!response.ok) body = await response.json().catch(() => null);
        else if (as === "stream") ({ body } = response);
        else if (response.status !== 204) body = await response[as]();
      } catch (error) {
        if (error.name === "AbortError" || error instanceof SyntaxError) throw error;
        if (once) throw new ServerError(0, { detail: "The server cannot be reached. Try again when it is back." });
        await this.#reconnect();
        options.signal?.throwIfAborted();
        continue;
      }
      if (response.status === 401) {
        await this.#signIn(token);
        continue;
      }
      if (!response.ok) throw new ServerError(response.status, body);
      return as === "json" ? body : { body, headers: response.headers };
    }
  }

  /** Wait until the server answers again, once for all calls that wait. */
  #reconnect() {
    this.reconnecting ??= (async () => {
      this.dispatchEvent(new Event("offline"));
      for (let wait = 1; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
        await pause(wait);
        const response = await fetch(new URL("status", ROOT)).catch(() => null);
        if (response && response.status !== 502 && response.status !== 504) break;
      }
      this.reconnecting = null;
      this.dispatchEvent(new Event("online"));
    })();
    return this.reconnecting;
  }

  /** Ask the person for name and password (MONAI Label's own /auth/token), once for all calls that wait. */
  #signIn(refused) {
    if (sessionStorage.getItem(TOKEN) !== refused) return null; // another call has signed in meanwhile
    this.signingIn ??= (async () => {
      for (let problem = ""; ;) {
        const body = new URLSearchParams(await this.askToSignIn(problem));
        const response = await fetch(new URL("../auth/token", ROOT), { method: "POST", body }).catch(() => null);
        const token = response?.ok ? (await response.json()).access_token : null;
        if (token) {
          sessionStorage.setItem(TOKEN, token);
          break;
        }
        problem = response ? "The server did not accept that name and password." : "The server cannot be reached.";
      }
      this.signingIn = null;
    })();
    return this.signingIn;
  }
}
