// A film: a video of the library in a <video>, in the times of the whole, also where the server
// makes a playable copy of one stretch after the other.

import * as api from "./api.js";

/**
 * Plays a video of the library.
 *
 * `tell` is called with {progress} while the server makes it ready, with {error} if it cannot be
 * played, and with {} when the picture is there.
 */
export class Film {
  constructor(video, id, total, tell) {
    Object.assign(this, { video, id, total, tell, from: 0, until: Infinity });
    this.ending = new AbortController();
    const { signal } = this.ending;
    video.addEventListener("ended", () => this.#onward(), { signal });
    video.addEventListener("error", () => {
      if (video.getAttribute("src")) tell({ error: "This video cannot be played here." });
    }, { signal });
  }

  /** Where it plays, in seconds of the whole video. */
  get now() {
    return this.from + this.video.currentTime;
  }

  /** Whether only a stretch of the video is at hand. */
  get partial() {
    return this.from > 0 || this.until < this.total - 0.5;
  }

  /** Play from a time on. */
  async seek(sec) {
    this.wished = sec;
    if (this.video.duration && sec >= this.from && sec < this.until) return this.#jump(sec);
    this.video.pause();
    const { signal } = this.ending;
    try {
      const state = await this.#ready(sec, signal);
      if (this.wished !== sec) return;
      this.from = state.start_sec ?? 0;
      this.until = state.end_sec ?? Infinity;
      this.tell({});
      this.video.addEventListener("loadedmetadata", () => this.#jump(this.wished), { once: true, signal });
      this.video.src = `media/${encodeURIComponent(this.id)}${this.from ? `?t=${this.from}` : ""}`;
    } catch (error) {
      if (error.name !== "AbortError") this.tell({ error: error.message });
    }
  }

  /** Stop, and let go of the connection. */
  close() {
    this.ending.abort();
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
  }

  #jump(sec) {
    const { video } = this;
    video.currentTime = Math.min(Math.max(0, sec - this.from), Math.max(0, video.duration - 0.05));
    // Where sound may not start by itself (a link was opened), it plays in silence.
    video.play().catch((error) => {
      if (error.name !== "NotAllowedError") return;
      video.muted = true;
      video.play().catch(() => {});
    });
  }

  #onward() {
    if (this.until < this.total - 0.5) this.seek(this.until);
  }

  async #ready(sec, signal) {
    for (let pause = 300; ; pause = Math.min(1500, pause * 1.3)) {
      const state = await api.mediaState(this.id, sec, signal);
      if (state.ready) return state;
      if (state.error) throw new Error(state.error);
      this.tell({ progress: state.progress ?? 0 });
      await new Promise((resolve) => setTimeout(resolve, pause));
      signal.throwIfAborted();
    }
  }
}
