// A card: a video at its matching moment, with what can be done with it.

import { poster } from "./api.js";
import { CALM, clock, h, icon, iconButton } from "./dom.js";
import { get, go } from "./state.js";
import { whyOf } from "./why.js";

const WAIT = 140; // milliseconds that a pointer rests before the preview starts
const SURE = {
  sure: ["Sure", 3],
  likely: ["Likely", 2],
  maybe: ["Maybe", 1],
  unsure: ["Unsure", 0],
};

export const play = (id, sec) => go({ v: { id, sec } });

/** The file's name as a title: without what says only how it is packed. */
export const titleOf = ({ name }) => name.replace(/(.)\.[a-z0-9]{2,4}$/i, "$1");

/** Confidence in a word and in dots; the number is in the tooltip. */
function sureness(row) {
  const [word, dots] = SURE[row.confidence_words] ?? [];
  if (!word) return null;
  const share = row.confidence === null ? "" : `: ${Math.round(row.confidence * 100)} % that it fits`;
  return h(
    "span",
    { class: `sure ${row.confidence_words}`, title: `${word}${share} (score ${row.score.toFixed(3)})` },
    h("span", { class: "dots", "aria-hidden": "true" }, [0, 1, 2].map((i) => h("i", { class: i < dots ? "on" : "" }))),
    word,
  );
}

// A moment begins at a cut, often in a fade: a little later there is more to see.
const middle = ({ start_sec, end_sec }) => start_sec + Math.min(1, (end_sec - start_sec) / 2);

const blank = () => h("span", { class: "blank" }, icon("film"));

/** A picture of a row's moment, in place from the start so that nothing moves when it comes. */
export function shot(row) {
  if (row.gone || !row.poster) return blank();
  const image = h("img", { alt: "", width: 480, height: 270, loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => {
    image.classList.toggle("tall", image.naturalHeight > image.naturalWidth * 0.8);
    image.classList.add("on");
  });
  image.addEventListener("error", () => {
    image.replaceWith(blank());
  });
  image.src = row.end_sec > row.start_sec ? poster(row.id, middle(row)) : row.poster;
  return image;
}

/** Show the silent preview while the pointer rests on a card, or the keyboard is on it. */
function previews(button, row) {
  let timer;
  let video = null;
  const stop = () => {
    clearTimeout(timer);
    video?.remove();
    video = null;
  };
  const start = () => {
    stop();
    timer = setTimeout(() => {
      video = h("video", { muted: true, loop: true, playsInline: true, tabIndex: -1, "aria-hidden": "true" });
      const shown = video;
      shown.addEventListener("playing", () => {
        shown.classList.toggle("tall", shown.videoHeight > shown.videoWidth * 0.8);
        shown.classList.add("on");
      });
      shown.addEventListener("error", () => shown.remove());
      shown.src = row.preview;
      button.append(shown);
      shown.play().catch(() => {});
    }, WAIT);
  };
  const wanted = () => !CALM.matches && !navigator.connection?.saveData && row.preview;
  button.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse" && wanted()) start();
  });
  button.addEventListener("pointerleave", stop);
  button.addEventListener("focus", () => button.matches(":focus-visible") && wanted() && start());
  button.addEventListener("blur", stop);
  button.addEventListener("click", stop);
}

/** Where in the video its moments lie. For the eye and the pointer: the times below say the same. */
function strip(row) {
  const total = row.duration_sec;
  if (!total || row.end_sec <= row.start_sec || (!row.moments?.length && row.end_sec - row.start_sec > 0.95 * total)) return null;
  const part = ({ start_sec, end_sec }, kind) => {
    const piece = h("i", { class: kind });
    piece.style.left = `${Math.min(99, (100 * start_sec) / total)}%`;
    piece.style.width = `${(100 * Math.max(0, Math.min(end_sec, total) - start_sec)) / total}%`;
    return piece;
  };
  const made = h("div", { class: "strip", "aria-hidden": "true" });
  made.append(...(row.moments ?? []).map((one) => part(one, "")), part(row, "best"));
  made.addEventListener("click", (event) => {
    const { left, width } = made.getBoundingClientRect();
    play(row.id, Math.max(0, Math.min(0.99, (event.clientX - left) / width)) * total);
  });
  return made;
}

/** One line: how sure, from when on, and the label. */
export function makeFacts(row, { from = true } = {}) {
  return h(
    "p",
    { class: "facts" },
    sureness(row),
    from && row.start_sec > 0.5 ? h("span", {}, `from ${clock(row.start_sec)}`) : null,
    row.label ? h("span", { class: "label" }, row.label) : null,
    row.gone ? h("span", {}, "the file is gone") : null,
  );
}

function others(row) {
  if (!row.moments?.length) return null;
  const times = row.moments.slice(0, 3).map((one) =>
    h(
      "button",
      {
        type: "button", class: "at", title: `Play from ${clock(one.start_sec)}`,
        "aria-label": `Play ${row.name} from ${clock(one.start_sec)}`,
        onclick: () => play(row.id, one.start_sec),
      },
      clock(one.start_sec),
    ),
  );
  const rest = row.moments.length - times.length;
  return h("div", { class: "others" }, "also at", times, rest > 0 ? `and ${rest} more` : null);
}

const toggled = (list, value) =>
  list.includes(value) ? list.filter((one) => one !== value) : [...list, value];

/** Like or dislike a video: the list is refined at once. */
export function judge(kind, row) {
  const other = kind === "like" ? "unlike" : "like";
  const value = `id:${row.id}`;
  const state = get();
  go({ [kind]: toggled(state[kind], value), [other]: state[other].filter((one) => one !== value) });
}

export const moreLike = (row) =>
  go({ q: "", like: [`id:${row.id}`], unlike: [], files: [], v: null });

/** Like, dislike, more like this; `asked` says whether there is a list to refine. */
export function acts(row, asked) {
  const state = get();
  const mark = (kind) => String(state[kind].includes(`id:${row.id}`));
  const press = (kind) => (event) => {
    event.currentTarget.setAttribute("aria-pressed", "true"); // at once; the list follows
    judge(kind, row);
  };
  const more = { class: "act similar", type: "button", onclick: () => moreLike(row) };
  return h(
    "div",
    { class: "acts" },
    asked
      ? [
          iconButton("like", `Like ${row.name}: more of this`, {
            class: "act like", "aria-pressed": mark("like"), onclick: press("like"),
          }),
          iconButton("dislike", `Dislike ${row.name}: less of this`, {
            class: "act dislike", "aria-pressed": mark("unlike"), onclick: press("unlike"),
          }),
        ]
      : null,
    h("button", { ...more, "aria-label": `More like ${row.name}` }, icon("similar"), "More like this"),
  );
}

let closeWhy = () => {}; // the reasons that are open, if any: one card's at a time

function whyButton(row, card) {
  const id = `why-${row.key}`;
  const button = h(
    "button",
    { type: "button", class: "act whybutton", "aria-expanded": "false", "aria-controls": id,
      "aria-label": `Why ${row.name}?` },
    icon("why"), "Why?",
  );
  const close = () => {
    card.querySelector(".why")?.remove();
    button.setAttribute("aria-expanded", "false");
    closeWhy = () => {};
  };
  button.addEventListener("click", async () => {
    if (card.querySelector(".why")) return close();
    closeWhy();
    closeWhy = close;
    button.setAttribute("aria-expanded", "true");
    const panel = h("div", { class: "why", id, role: "group", "aria-label": `Why ${row.name}` }, "Looking …");
    card.append(panel);
    panel.replaceChildren(await whyOf(row));
    panel.scrollIntoView({ block: "nearest", behavior: CALM.matches ? "auto" : "smooth" });
  });
  card.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !card.querySelector(".why")) return;
    close();
    button.focus();
  });
  return button;
}

// Not when the pointer goes down: the page may move then, and the click would miss.
addEventListener("click", (event) => {
  if (!event.target.closest?.(".why, .whybutton")) closeWhy();
});

/** Make the card of a result, or (`asked` false) of a video that is merely there. */
export function makeCard(row, { asked }) {
  const from = row.start_sec > 0.5 ? ` from ${clock(row.start_sec)}` : "";
  const button = h(
    "button",
    { type: "button", class: "play", "aria-label": `Play ${row.name}${from}`,
      onclick: () => play(row.id, row.start_sec) },
    shot(row),
    h("span", { class: "mark" }, icon("play")),
  );
  if (!row.gone) previews(button, row);
  const length = row.duration_sec ? h("span", { class: "badge length" }, clock(row.duration_sec)) : null;
  const made = h(
    "li",
    { class: "card", "data-id": row.id },
    h("div", { class: "frame" }, button, length),
    strip(row),
    h("h3", { class: "name", title: row.name }, titleOf(row)),
    makeFacts(row),
    others(row),
  );
  const bar = acts(row, asked);
  if (asked) bar.append(whyButton(row, made));
  made.append(bar);
  return made;
}
