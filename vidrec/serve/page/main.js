// The page: it follows the state that the address holds, asks for it and shows the answer.

import * as api from "./api.js";
import { startAsked } from "./asked.js";
import { announce, count, h, icon } from "./dom.js";
import { startDrop } from "./drop.js";
import { startFilters, startToolbar } from "./filters.js";
import { startKeys } from "./keys.js";
import { isEmpty, setBusy, showBones, showRows } from "./list.js";
import * as notice from "./notice.js";
import { copyLink, openAsked, setRows, startPlayer } from "./player.js";
import { showIdeas, startSearch } from "./search.js";
import { PAGE, answerKey, fileOf, get, go, goHome, isAsked, labelOf, onChange } from "./state.js";
import { startThemes } from "./themes.js";

const title = document.getElementById("title");
const summary = document.getElementById("summary");
const more = document.getElementById("more");
const working = document.getElementById("working");
const share = document.getElementById("share");
const kept = new Map(); // answers of this visit, for the back button
const KEPT = 40;
const SHELF = 24; // videos of the library that are shown while nothing is asked

let shownAsked = null; // whether the list is an answer, or the library's shelf
let asking = null; // the question that is under way
let status = null;
let begun = null; // settles when the status is there, or cannot be had

const rowKey = (row) => `${row.id}-${Math.round(row.start_sec * 1000)}`;

/** Show the state: by asking, or (on the way back) from memory. */
async function show(state, { remembered = false } = {}) {
  asking?.abort();
  const asked = isAsked(state);
  document.documentElement.classList.toggle("home", !asked);
  share.hidden = !asked;
  name(state);
  const key = answerKey(state);
  if (remembered && kept.has(key)) return present(state, kept.get(key));
  const mine = (asking = new AbortController());
  const waited = wait(asked);
  try {
    const answer = asked
      ? await api.recommend(state, fileOf(state), { signal: mine.signal })
      : await shelf(state.k === PAGE ? SHELF : state.k, labelOf(state));
    if (asking !== mine) return;
    remember(key, answer);
    present(state, answer);
  } catch (error) {
    if (asking === mine && error.name !== "AbortError") fail(error);
  } finally {
    waited();
    if (asking === mine) working.hidden = true;
  }
}

/** Show that something is under way; returns what ends that. */
function wait(asked) {
  notice.clear();
  // An answer is refined where it stands; the library's shelf is no answer.
  if (isEmpty() || asked !== shownAsked) showBones(asked ? get().k : PAGE);
  else setBusy(true);
  more.replaceChildren();
  const shows = setTimeout(() => (working.hidden = false), 250);
  const tells = setTimeout(() => {
    summary.textContent = "Still looking: the first search loads the model …";
    announce(summary.textContent);
  }, 2000);
  return () => {
    clearTimeout(shows);
    clearTimeout(tells);
  };
}

function remember(key, answer) {
  kept.delete(key);
  kept.set(key, answer);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

/** The library's own videos, or those of a label, as rows. */
async function shelf(limit, label) {
  const [{ total, videos }] = await Promise.all([api.videos(Math.min(limit, 200), label), begun]);
  const results = videos.map((video) => ({
    ...video, start_sec: 0, end_sec: 0, score: 0, confidence: null,
    preview: video.poster?.replace("/poster/", "/preview/"),
  }));
  return { results, total, confident: true, notes: [] };
}

function name(state) {
  const { q, like, files } = state;
  const things = like.length + files.length;
  if (!isAsked(state)) title.textContent = files.length ? "Drop the file in again" : labelOf(state) ?? "In this library";
  else if (q) title.textContent = things || state.unlike.length ? `“${q}”, to your taste` : `“${q}”`;
  else if (files.length === 1 && !like.length) title.textContent = `Like ${files[0].name}`;
  else title.textContent = things === 1 ? "More like this" : "To your taste";
  document.title = isAsked(state) ? `${title.textContent} · vidrec` : "vidrec";
  if (like.length === 1 && !q && !files.length && like[0].startsWith("id:")) {
    api.video(like[0].slice(3)).then((video) => {
      if (get() !== state) return;
      title.textContent = `More like ${video.name}`;
      document.title = `${title.textContent} · vidrec`;
    }, () => {});
  }
}

function present(state, answer) {
  const asked = isAsked(state);
  const rows = answer.results.map((row) => ({ ...row, key: rowKey(row) }));
  notice.clear();
  working.hidden = true;
  showRows(rows, { asked });
  shownAsked = asked;
  setRows(asked ? rows : []);
  document.getElementById("asides").textContent = answer.notes.join(" · ");
  summary.textContent = asked ? told(answer) : shelved(answer);
  if (asked && !answer.confident) notice.nothingFits(answer, waysOut(state));
  else if (asked && rows.length === 0) notice.nothingFits({ ...answer, reason: "" }, waysOut(state));
  if (!asked && status?.indexed === 0) notice.nothingIndexed(status.videos, lookAgain);
  showMore(state, answer);
  if (asked) announce(`${title.textContent}: ${answer.confident ? "" : "nothing fits well. "}${summary.textContent}`);
  openAsked();
}

function told(answer) {
  const what = get().clips ? "moment" : "video";
  const found = answer.results.length;
  if (found === 0) return "";
  const fit = answer.results.filter((row) => row.confidence_words !== "unsure").length;
  if (answer.confident && fit < found) return `${count(fit, what)} that may fit, then what comes nearest`;
  return `${count(found, what)}, ${answer.confident ? "the best first" : "the nearest first"}`;
}

const shelved = ({ results, total }) =>
  total === undefined || total === 0
    ? ""
    : results.length < total ? `${count(total, "video")}, ${results.length} shown` : count(total, "video");

/** Ways on from where nothing is. */
function waysOut({ where, unlike }) {
  const way = (text, change) => h("button", { type: "button", class: "soft", onclick: () => go(change) }, text);
  return [
    where.length ? way("Without filters", { where: [] }) : null,
    unlike.length ? way("Without dislikes", { unlike: [] }) : null,
  ];
}

function showMore(state, answer) {
  const found = answer.results.length;
  const wished = isAsked(state) ? state.k : state.k === PAGE ? SHELF : state.k;
  const most = answer.total ?? status?.videos ?? Infinity;
  const full = found >= wished && found < most && wished < 200;
  const next = Math.min(200, wished + (isAsked(state) ? PAGE : SHELF));
  const button = h("button", { type: "button", class: "soft" }, "Show more");
  button.addEventListener("click", () => go({ k: next }, { replace: true }));
  more.replaceChildren(...(full ? [button] : []));
}

function fail(error) {
  working.hidden = true;
  showRows([], { asked: false });
  setRows([]);
  more.replaceChildren();
  summary.textContent = document.getElementById("asides").textContent = "";
  if (status?.indexed === 0) notice.nothingIndexed(status.videos, lookAgain);
  else notice.wrong(error, () => {
    if (!status) begun = begin();
    show(get());
  });
  openAsked();
}

/** See whether there is something to find by now. */
async function lookAgain() {
  const now = await api.status().catch(() => null);
  if (!now?.indexed) return;
  begun = begin();
  show(get());
}

/** What the library is: filters, what can be dropped in, the foot of the page. */
async function begin() {
  try {
    status = await api.status();
  } catch {
    return; // the list says what is wrong
  }
  startFilters(status);
  startDrop(status);
  showIdeas(status.labels);
  const { videos, indexed, embedder, store, version } = status;
  document.getElementById("foot").replaceChildren(
    h("span", {}, `${count(videos, "video")}, ${count(indexed, "moment")} to find`),
    h("span", {}, `${embedder.split(":")[0]} in ${store}`),
    h("span", {}, `vidrec ${version}`),
  );
}

share.append(icon("link"), h("span", {}, "Copy link"));
share.setAttribute("aria-label", "Copy link");
share.addEventListener("click", copyLink);
document.querySelector(".brand").addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  goHome();
});
onChange((state, before, { back }) => {
  if (answerKey(state) !== answerKey(before)) show(state, { remembered: back });
});
startThemes();
startSearch();
startAsked();
startToolbar();
startPlayer();
startKeys();
begun = begin();
show(get());
if (!isAsked(get()) && !matchMedia("(pointer: coarse)").matches) document.getElementById("q").focus();
