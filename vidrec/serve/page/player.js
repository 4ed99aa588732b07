// The player: a video from its matching moment on, its other moments, and what is like it.

import * as api from "./api.js";
import { acts, makeFacts, moreLike, play, shot, titleOf } from "./card.js";
import { announce, clock, h, iconButton, toast } from "./dom.js";
import { Film } from "./film.js";
import { get, go, isAsked, leavePlayer, onChange } from "./state.js";
import { makeTrack } from "./track.js";
import { whyOf } from "./why.js";

const dialog = document.getElementById("player");
let rows = []; // of the list behind
let open = null; // what is shown: {id, abort}, and once it is known {film, row}

/** Say what list lies behind the player. */
export function setRows(list) {
  rows = list;
  if (open) place();
}

/** Which row of the list a video is: of several moments the one that is shown. */
function indexOf(id, sec) {
  const at = rows.findIndex((row) => row.id === id && Math.abs(row.start_sec - sec) < 0.02);
  return at < 0 ? rows.findIndex((row) => row.id === id) : at;
}

/** A row of the list, or the same made of what the library says. */
async function described(id, sec) {
  const row = rows[indexOf(id, sec)];
  if (row) return row;
  return { ...(await api.video(id)), start_sec: sec, end_sec: sec, moments: [], listed: false };
}

async function show({ id, sec }) {
  if (open?.id === id) {
    place();
    return open.film?.seek(sec);
  }
  stop();
  const mine = (open = { id, abort: new AbortController() });
  if (!dialog.open) dialog.showModal();
  dialog.replaceChildren(bar(""), h("div", { class: "stage" }, h("span", { class: "spin" })));
  try {
    const row = await described(id, sec);
    if (open !== mine) return;
    build(row, sec);
  } catch (error) {
    if (open === mine) stage(h("p", {}, error.kind === "not_found" ? "This video is not in the library." : error.message));
  }
}

function bar(title) {
  const other = (way, name, label) =>
    iconButton(name, label, { class: `quiet ${name}`, onclick: () => beside(way) });
  return h(
    "div",
    { class: "bar" },
    h("h2", { id: "player-title", title }, title || "Video"),
    h("span", { class: "place" }),
    other(-1, "previous", "Previous result"),
    other(1, "next", "Next result"),
    iconButton("link", "Copy the link to this moment", { class: "quiet", onclick: copyLink }),
    iconButton("close", "Close the player", { class: "quiet", onclick: leavePlayer }),
  );
}

/** Put something over the picture: a wait, or what went wrong. */
function stage(...content) {
  const place = dialog.querySelector(".stage");
  place.querySelector(".wait")?.remove();
  place.querySelector(":scope > .spin")?.remove();
  if (content.length) place.append(h("div", { class: "wait", role: "status" }, content));
}

function build(row, sec) {
  const video = h("video", {
    controls: true, playsInline: true, preload: "auto", poster: row.poster ? api.poster(row.id, sec) : "",
    "aria-label": row.name,
  });
  const film = new Film(video, row.id, row.duration_sec ?? Infinity, (news) => open?.film === film && tell(news));
  dialog.replaceChildren(
    bar(titleOf(row)),
    h("div", { class: "stage" }, video),
    makeTrack(film, row),
    about(row),
  );
  video.addEventListener("timeupdate", () => markMoment(film.now));
  Object.assign(open, { film, row });
  place();
  film.seek(sec);
  video.focus();
  announce(`Playing ${row.name} from ${clock(sec)}`);
}

function about(row) {
  const moments = [row, ...(row.moments ?? [])].filter((one) => one.end_sec > one.start_sec);
  moments.sort((one, other) => one.start_sec - other.start_sec);
  const times = moments.map((one) =>
    h(
      "button",
      { type: "button", class: "at", "data-start": one.start_sec, "data-end": one.end_sec,
        onclick: () => go({ v: { id: row.id, sec: one.start_sec } }, { replace: true }) },
      `${clock(one.start_sec)}–${clock(one.end_sec)}`,
    ),
  );
  const shown = row.listed !== false;
  const asked = isAsked(get());
  return h(
    "div",
    { class: "about" },
    h("div", { class: "row" }, makeFacts(row, { from: false }), acts(row, asked)),
    times.length > 1 ? h("div", { class: "others" }, "Moments that match", times) : null,
    fields(row),
    shown && asked ? explained(row) : null,
    like(row),
  );
}

/** Mark the moment that plays. */
function markMoment(now) {
  for (const button of dialog.querySelectorAll(".about .at")) {
    const { start, end } = button.dataset;
    const plays = now >= Number(start) - 0.05 && now < Number(end);
    button.setAttribute("aria-current", String(plays));
  }
}

function fields(row) {
  const entries = Object.entries(row.fields ?? {}).filter(([, value]) => value !== null && value !== "");
  if (row.width && row.height) entries.push(["size", `${row.width} × ${row.height}`]);
  if (entries.length === 0) return null;
  const pairs = entries.map(([name, value]) =>
    h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, String(value))),
  );
  return h("dl", { class: "fields" }, pairs);
}

function explained(row) {
  const box = h("div", { class: "why" });
  const details = h("details", {}, h("summary", {}, "Why this one?"), box);
  details.addEventListener("toggle", async () => {
    if (details.open && !box.hasChildNodes()) box.replaceChildren(await whyOf(row));
  });
  return details;
}

/** What is most like this video, filled in when it is known. */
function like(row) {
  const shelf = h("div", { class: "row-of" });
  const section = h("section", { hidden: true, "aria-label": "More like this" },
    h("div", { class: "row" }, h("h3", {}, "More like this"),
      h("button", { type: "button", class: "act", onclick: () => moreLike(row) }, "See all")), shelf);
  api.similar(row.id, 6, open.abort.signal).then(({ results }) => {
    shelf.replaceChildren(...results.map((one) =>
      h(
        "button",
        { type: "button", class: "small", "aria-label": `Play ${one.name}`, title: one.name,
          onclick: () => play(one.id, one.start_sec) },
        h("div", { class: "frame" }, shot(one)),
        h("span", { class: "title" }, titleOf(one)),
      ),
    ));
    section.hidden = results.length === 0;
  }).catch(() => {}); // it is an extra: the video plays all the same
  return section;
}

/** Say over the picture how far it is, or what is wrong; nothing when it plays. */
function tell({ progress, error }) {
  if (error) return stage(h("p", {}, error));
  if (progress === undefined) return stage();
  const share = Math.round(100 * progress);
  const bar = h("progress", { max: 100, value: share, "aria-label": "Progress" });
  stage(h("p", {}, "Making this video ready for the browser …"), bar, h("span", {}, `${share} %`));
}

/** Show which result this is, and whether there is one before and after. */
function place() {
  const text = dialog.querySelector(".place");
  if (!text || !get().v) return;
  const at = indexOf(open.id, get().v.sec);
  // What was liked leaves the list: the next one is then where it was.
  if (at >= 0) open.at = at;
  open.listed = at >= 0;
  text.textContent = at < 0 ? "" : `${at + 1} of ${rows.length}`;
  for (const [name, way] of [[".previous", -1], [".next", 1]]) {
    const button = dialog.querySelector(name);
    button.hidden = open.at === undefined;
    button.disabled = !neighbour(way);
  }
}

function neighbour(way) {
  if (open?.at === undefined) return null;
  return rows[open.listed || way < 0 ? open.at + way : open.at] ?? null;
}

/** Go to the result before or after the one that is shown. */
export function beside(way) {
  const row = neighbour(way);
  if (row) go({ v: { id: row.id, sec: row.start_sec } }, { replace: true });
}

export async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link was copied.");
  } catch {
    toast("The link is in the address bar: this browser lets no page copy it.");
  }
}

function stop() {
  if (!open) return;
  open.abort.abort();
  open.film?.close();
  open = null;
}

function follow({ v }, before) {
  if (v && (v.id !== before?.v?.id || v.sec !== before?.v?.sec)) show(v);
  else if (!v && open) {
    stop();
    dialog.close();
    // The card that opened it may be gone by now.
    if (document.activeElement === document.body) document.getElementById("results").focus();
  } else if (v && open?.row) {
    // A like or dislike was given here: show it.
    dialog.querySelector(".acts")?.replaceWith(acts(open.row, isAsked(get())));
  }
}

export function startPlayer() {
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    leavePlayer();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && leavePlayer());
  onChange(follow);
}

/** Open what the address names, once the list behind is known. */
export function openAsked() {
  if (get().v && !open) show(get().v);
}

export const isOpen = () => open !== null;
export const current = () => open;
