// The list: cards that stay themselves from answer to answer, and are walked by the arrow keys.

import { makeCard } from "./card.js";
import { CALM, h } from "./dom.js";

const list = document.getElementById("list");
const MOVE = { duration: 260, easing: "cubic-bezier(0.2, 0, 0, 1)" };

/** Stand-ins of the cards' own size, so that nothing moves when these come. */
export function showBones(number) {
  list.setAttribute("aria-busy", "true");
  list.replaceChildren(
    ...Array.from({ length: number }, () =>
      h(
        "li",
        { class: "card bones", "aria-hidden": "true" },
        h("div", { class: "frame" }), h("b"), h("b"), h("b", { class: "wide" }),
      ),
    ),
  );
}

export function setBusy(busy) {
  list.setAttribute("aria-busy", String(busy));
}

export function isEmpty() {
  return !list.querySelector(".card:not(.bones)");
}

/** Show rows; what was shown before keeps its place in the document, its picture and its focus. */
export function showRows(rows, { asked }) {
  const before = new Map();
  for (const card of list.querySelectorAll(".card:not(.bones)")) {
    before.set(card.row.key, { card, box: card.getBoundingClientRect() });
  }
  const focused = document.activeElement?.closest?.("#list .card");
  const place = focused ? [...list.children].indexOf(focused) : -1;
  const what = focused ? kindOf(document.activeElement) : null;
  const cards = rows.map((row) => updated(before.get(row.key)?.card, row, asked));
  list.replaceChildren(...cards);
  setBusy(false);
  if (!CALM.matches) glide(cards, before);
  if (place >= 0) refocus(cards, focused.row.key, place, what);
}

/** Return the same card where nothing changed, else a new one with the picture of the old. */
function updated(old, row, asked) {
  const drawn = JSON.stringify([row, asked]);
  if (old?.drawn === drawn && !pressed(old)) return old;
  const card = makeCard(row, { asked });
  Object.assign(card, { row, drawn });
  const [picture, fresh] = [old?.querySelector(".play > img"), card.querySelector(".play > img")];
  if (picture && fresh && picture.src === fresh.src) fresh.replaceWith(picture);
  return card;
}

const pressed = (card) => card.querySelector('.act[aria-pressed="true"]');

function glide(cards, before) {
  for (const card of cards) {
    const was = before.get(card.row.key)?.box;
    if (!was) {
      if (before.size) card.animate([{ opacity: 0 }, { opacity: 1 }], MOVE);
      continue;
    }
    const now = card.getBoundingClientRect();
    const [x, y] = [was.left - now.left, was.top - now.top];
    if (x || y) card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], MOVE);
  }
}

const KINDS = [".play", ".like", ".dislike", ".similar", ".whybutton"];
const kindOf = (element) => KINDS.find((kind) => element.matches(kind)) ?? ".play";

/** The keyboard stays where it was: on the same card, or on the one that took its place. */
function refocus(cards, key, place, kind) {
  const card = cards.find((one) => one.row.key === key) ?? cards[Math.min(place, cards.length - 1)];
  (card?.querySelector(kind) ?? document.getElementById("results")).focus({ preventScroll: true });
}

/** Walk by arrow keys over the cards as they lie on the screen. */
export function step(card, key) {
  const cards = [...list.querySelectorAll(".card:not(.bones)")];
  const at = cards.indexOf(card);
  const top = cards[0].offsetTop;
  const below = cards.findIndex((one) => one.offsetTop > top);
  const columns = below < 0 ? cards.length : below;
  const to = {
    ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
    Home: 0, End: cards.length - 1,
  }[key];
  const target = cards[to];
  if (!target) return key === "ArrowUp" ? document.getElementById("q").focus() : undefined;
  target.querySelector(".play").focus({ preventScroll: true });
  target.scrollIntoView({ block: "nearest", behavior: CALM.matches ? "auto" : "smooth" });
}
