// Asking the server, and what its answers mean.

/** What went wrong, as the page tells it: `kind` is the server's word, "network" is ours. */
export class Failure extends Error {
  constructor(kind, message, wait = 0) {
    super(message);
    this.kind = kind;
    this.wait = wait; // seconds until the server will listen again
  }
}

/** Ask for JSON. Throws a Failure; an AbortError passes through. */
async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("network", "The server does not answer. Is `vidrec serve` still running?");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const said = body?.error ?? {};
  const kind = said.kind ?? (response.status === 401 ? "auth" : "internal");
  const wait = Number.parseFloat(response.headers.get("Retry-After")) || 0;
  throw new Failure(kind, said.message ?? `The server answered ${response.status}.`, wait);
}

const parameters = (state) => {
  const words = new URLSearchParams();
  if (state.q) words.set("q", state.q);
  words.set("k", state.k);
  for (const name of ["like", "unlike", "where"]) {
    for (const value of state[name]) words.append(name, value);
  }
  if (state.diversity) words.set("diversity", state.diversity);
  if (state.clips) words.set("clips", "1");
  if (state.dedupe) words.set("dedupe", "1");
  return words;
};

const part = (text) => (text.startsWith("id:") ? { id: text.slice(3) } : { text });

/** Recommend for a state; with files the question is sent as a form. */
export function recommend(state, files, { why = false, signal } = {}) {
  if (files.length === 0) {
    const words = parameters(state);
    if (why) words.set("why", "1");
    return ask(`api/recommend?${words}`, { signal });
  }
  const form = new FormData();
  const uploads = files.map((_, i) => ({ upload: i }));
  const query = {
    q: state.q || null,
    k: state.k,
    like: [...state.like.map(part), ...uploads],
    unlike: state.unlike.map(part),
    where: state.where,
    diversity: state.diversity,
    clips: state.clips,
    dedupe: state.dedupe,
    why,
  };
  form.set("query", JSON.stringify(query));
  for (const file of files) form.append("file", file, file.name || "picture");
  return ask("api/recommend", { method: "POST", body: form, signal });
}

export function similar(id, k, signal) {
  return ask(`api/videos/${encodeURIComponent(id)}/similar?k=${k}`, { signal });
}

/** The library's first videos, or those of a label. */
export function videos(limit, label) {
  return ask(`api/videos?${new URLSearchParams({ limit, ...(label ? { label } : {}) })}`);
}

const known = new Map(); // id → promise of a video

/** One video by its id, asked for once. */
export function video(id) {
  if (!known.has(id)) {
    const asked = ask(`api/videos/${encodeURIComponent(id)}`);
    asked.catch(() => known.delete(id));
    known.set(id, asked);
  }
  return known.get(id);
}

export const status = () => ask("api/status");

export const suggest = (text, signal) =>
  ask(`api/suggest?${new URLSearchParams({ q: text })}`, { signal });

/** Whether a video can be played from a moment on; the server makes it so if not. */
export const mediaState = (id, sec, signal) =>
  ask(`media/${encodeURIComponent(id)}/state?t=${sec.toFixed(2)}`, { signal });

/** Hand over a token; returns whether it is the right one. The server answers with a cookie. */
export async function enter(token) {
  const words = new URLSearchParams({ token });
  const { type } = await fetch(`./?${words}`, { redirect: "manual" }).catch(() => ({}));
  return type === "opaqueredirect";
}

/** Whether the server is there again. */
export async function isThere() {
  try {
    return (await fetch("healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

export const poster = (id, sec) => `poster/${encodeURIComponent(id)}?t=${sec.toFixed(2)}`;
