// The time line of a video in the player: its moments as buttons, and where it plays.

import { clock, h } from "./dom.js";
import { go } from "./state.js";

/** Return the line, which follows a film; hidden where a video is one moment throughout. */
export function makeTrack(film, row) {
  const line = h("div", { class: "track", role: "group", "aria-label": "Moments on the time line" });
  const { video } = film;
  const head = h("span", { class: "head", "aria-hidden": "true" });
  let total = row.duration_sec || 0;
  const draw = () => {
    const buttons = moments(row, total);
    // One moment throughout says nothing that the player's own bar does not.
    line.hidden = !total || (buttons.length < 2 && row.end_sec - row.start_sec > 0.95 * total);
    line.replaceChildren(...buttons, head);
  };
  const follow = () => {
    if (total) head.style.left = `${Math.min(100, (100 * film.now) / total)}%`;
  };
  video.addEventListener("loadedmetadata", () => {
    if (!film.partial && Number.isFinite(video.duration) && Math.abs(video.duration - total) > 0.3) {
      total = video.duration;
      draw();
    }
  });
  for (const name of ["timeupdate", "seeking"]) video.addEventListener(name, follow);
  line.addEventListener("click", (event) => {
    if (event.target !== line) return;
    const { left, width } = line.getBoundingClientRect();
    film.seek(((event.clientX - left) / width) * total);
  });
  draw();
  return line;
}

function moments(row, total) {
  // The best is drawn last, over those that overlap it.
  const all = [...(row.moments ?? []), row].filter((one) => one.end_sec > one.start_sec);
  return all.map((one) => {
    const text = `Moment from ${clock(one.start_sec)} to ${clock(one.end_sec)}`;
    const button = h("button", {
      type: "button", class: one === row ? "best" : "", title: text, "aria-label": text,
      onclick: () => go({ v: { id: row.id, sec: one.start_sec } }, { replace: true }),
    });
    button.style.left = `${Math.min(99, (100 * one.start_sec) / total)}%`;
    button.style.width = `${Math.min(100, (100 * (Math.min(one.end_sec, total) - one.start_sec)) / total)}%`;
    return button;
  });
}
