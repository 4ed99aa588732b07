// What is asked and shown, kept in the address: every state is a link, and the back button works.

export const PAGE = 12; // results at first, and with each "show more"; fills rows of 2, 3, 4 and 6

const LISTS = ["like", "unlike", "where"];
const files = new Map(); // token → File: what was dropped in lives as long as the page

let next = 1;
const listeners = [];
let current = parse(location.search, history.state);

/** Read a state from a query string; `kept` is what the history holds beside it. */
function parse(search, kept) {
  const words = new URLSearchParams(search);
  const number = (name, least, most, otherwise) => {
    const value = Number.parseFloat(words.get(name));
    return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
  };
  const state = {
    q: (words.get("q") ?? "").trim(),
    k: Math.round(number("k", 1, 200, PAGE)),
    diversity: number("diversity", 0, 1, 0),
    clips: words.get("clips") === "1",
    dedupe: words.get("dedupe") === "1",
    v: parseMoment(words.get("v")),
    files: words.getAll("file").map((name, i) => ({ name, token: kept?.tokens?.[i] ?? null })),
  };
  for (const name of LISTS) state[name] = [...new Set(words.getAll(name).filter(Boolean))];
  return state;
}

function parseMoment(text) {
  const [id, sec] = (text ?? "").split("@");
  return id ? { id, sec: Math.max(0, Number.parseFloat(sec) || 0) } : null;
}

/** The address of a state. What is as always is left out. */
export function address(state) {
  const words = new URLSearchParams();
  if (state.q) words.set("q", state.q);
  if (state.k !== PAGE) words.set("k", state.k);
  for (const name of LISTS) for (const value of state[name]) words.append(name, value);
  if (state.diversity) words.set("diversity", state.diversity);
  if (state.clips) words.set("clips", "1");
  if (state.dedupe) words.set("dedupe", "1");
  for (const file of state.files) words.append("file", file.name);
  if (state.v) words.set("v", `${state.v.id}@${Math.round(state.v.sec * 100) / 100}`);
  const text = words.toString().replaceAll("%3A", ":").replaceAll("%40", "@");
  return text ? `./?${text}` : "./"; // of the page, wherever a proxy has it
}

/** Whether anything is asked at all. */
export function isAsked(state) {
  return Boolean(state.q || state.like.length || fileOf(state).length);
}

/** The label that the library is looked through by, while nothing is asked. */
export function labelOf(state) {
  const [first] = state.where.filter((one) => one.startsWith("label="));
  return first ? first.slice("label=".length) : null;
}

/** What decides the answer, as a key: two states of one key show the same list. */
export function answerKey(state) {
  const tokens = state.files.map((file) => file.token);
  return JSON.stringify([address({ ...state, v: null }), tokens]);
}

export function get() {
  return current;
}

/** The files of a state that are still there. */
export function fileOf(state) {
  return state.files.map((file) => files.get(file.token)).filter(Boolean);
}

/** Keep a file that was dropped in; returns what a state says of it. */
export function keep(file) {
  const token = `${Date.now()}-${next++}`;
  files.set(token, file);
  return { name: file.name || "picture", token };
}

export function file(token) {
  return files.get(token) ?? null;
}

export function onChange(listener) {
  listeners.push(listener);
}

/** Ask for nothing and show the library, or those of a label. */
export function goHome(where = []) {
  go({ ...parse("", null), where });
}

/** Change the state: a step in the history, or (`replace`) none. */
export function go(change, { replace = false } = {}) {
  const before = current;
  const asksAnew = Object.keys(change).some((name) => name !== "v" && name !== "k");
  current = { ...before, ...(asksAnew ? { k: PAGE } : {}), ...change };
  const kept = { tokens: current.files.map((one) => one.token), inner: true };
  // Opening the player is a step that closing it takes back; a like that is given there is not.
  kept.opened = replace ? Boolean(history.state?.opened) : Boolean(current.v && !before.v && !asksAnew);
  if (replace || address(before) === address(current)) {
    history.replaceState(kept, "", address(current));
  } else {
    history.pushState(kept, "", address(current));
  }
  for (const listener of listeners) listener(current, before, { back: false });
}

/** Close the player: by the step back, where opening it was the last one. */
export function leavePlayer() {
  if (history.state?.opened) history.back();
  else go({ v: null });
}

addEventListener("popstate", (event) => {
  const before = current;
  current = parse(location.search, event.state);
  for (const listener of listeners) listener(current, before, { back: true });
});
