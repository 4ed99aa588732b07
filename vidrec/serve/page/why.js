// Why a video was recommended: asked for only when somebody wants to know.

import * as api from "./api.js";
import { clock, h } from "./dom.js";
import { answerKey, fileOf, get } from "./state.js";

const answers = new Map(); // the state's key → promise of its answer with reasons

function explained(state) {
  const key = answerKey(state);
  if (!answers.has(key)) {
    answers.clear(); // of other lists nobody asks any more
    const asked = api.recommend(state, fileOf(state), { why: true });
    asked.catch(() => answers.delete(key));
    answers.set(key, asked);
  }
  return answers.get(key);
}

/** Return what explains a row of the current list. */
export async function whyOf(row) {
  try {
    const answer = await explained(get());
    const same = answer.results.find((one) => one.id === row.id && one.start_sec === row.start_sec);
    if (!same?.why) return h("p", {}, "It comes close to what was asked; more is not known.");
    return drawn(row, same.why, answer.why ?? []);
  } catch (error) {
    return h("p", {}, error.message);
  }
}

const words = (list) => list.map(({ word }) => word).join(", ");

/** What it shows, what it looks like, and what each thing that was asked gave to its score. */
function drawn(row, why, asked) {
  const most = Math.max(0.001, ...why.parts.map((part) => Math.abs(part.gave)));
  return h(
    "div",
    {},
    why.seen?.length ? h("p", { class: "seen" }, h("b", {}, "Seen in it: "), words(why.seen)) : null,
    why.tone ? h("p", { class: "seen" }, h("b", {}, "Its tone: "), why.tone) : null,
    h("ul", {}, why.parts.map((part, i) => partItem(part, asked[i], most))),
    h("p", { class: "sum" }, h("span", {}, "Score"), h("span", { class: "share" }, row.score.toFixed(3))),
  );
}

function partItem(part, asked, most) {
  const name = h("span", {}, called(part, asked));
  if (part.part && asked?.kind === "id") {
    api.video(part.part.replace(/^id:/, "")).then((video) => (name.textContent = video.name), () => {});
  }
  const of = Object.entries(part.of ?? {}).map(([what, gave]) => `${what} ${signed(gave, 2)}`);
  const near = asked?.near?.length ? `read as ${words(asked.near)}` : "";
  const tone = asked?.tone ? `tone ${asked.tone}` : "";
  const moments = (part.moments ?? []).map(({ start_sec }) => clock(start_sec));
  const at = moments.length > 1 ? `most at ${moments.join(", ")}` : "";
  const more = [of.join(", "), near, tone, at].filter(Boolean).join(" · ");
  const value = Math.abs(part.gave) / most;
  return h(
    "li",
    { class: part.gave < 0 ? "against" : "" },
    name,
    h("span", { class: "share" }, signed(part.gave, 3)),
    h("span", { class: "gave", "aria-hidden": "true" }, filled(value)),
    more ? h("small", {}, more) : null,
  );
}

const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

function filled(share) {
  const made = h("i");
  made.style.width = `${Math.round(100 * share)}%`;
  return made;
}

function called(part, asked) {
  const like = part.weight < 0 ? "unlike " : "";
  if (asked?.kind === "text") return `${like}“${part.part}”`;
  if (asked?.kind === "id") return `${like}a video`;
  return `${like}${part.part}`;
}
