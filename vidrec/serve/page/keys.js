// The keyboard: what each key does, and the list that tells so.

import { h, icon, iconButton } from "./dom.js";
import { step } from "./list.js";
import { beside, current, isOpen } from "./player.js";

const help = document.getElementById("help");
const KEYS = [
  [["/"], "go to the search box"],
  [["←", "→", "↑", "↓"], "walk over the videos"],
  [["Enter"], "play, from the moment that matches"],
  [["L"], "like the video, for more of this"],
  [["D"], "dislike it, for less of this"],
  [["M"], "more like this"],
  [["W"], "why it was recommended"],
  [["N"], "next result, in the player"],
  [["P"], "previous result, in the player"],
  [["Esc"], "close the player"],
  [["?"], "this list"],
];
const ACTS = { l: ".like", d: ".dislike", m: ".similar", w: ".whybutton" };

/** Keys of one letter can be switched off: a voice that dictates would set them off. */
const single = {
  get on() {
    try {
      return localStorage.getItem("keys") !== "off";
    } catch {
      return true;
    }
  },
  set on(wished) {
    try {
      localStorage.setItem("keys", wished ? "on" : "off");
    } catch {
      // It holds for as long as the page may remember.
    }
  },
};

const isTyping = (element) => element.matches?.("input:not([type=checkbox], [type=range]), textarea, select");

function showHelp() {
  const box = h("input", { type: "checkbox", checked: single.on });
  box.addEventListener("change", () => (single.on = box.checked));
  const rows = KEYS.flatMap(([keys, text]) => [h("dt", {}, keys.map((key) => h("kbd", {}, key))), h("dd", {}, text)]);
  help.replaceChildren(
    h(
      "div",
      { class: "inner" },
      h("div", { class: "bar" }, h("h2", { id: "help-title" }, "Keys"),
        iconButton("close", "Close", { class: "quiet", onclick: () => help.close() })),
      h("dl", {}, rows),
      h("label", { class: "switch" }, box, "Use keys of a single letter"),
    ),
  );
  help.showModal();
}

function onPlayer(event) {
  const video = current().film?.video;
  if (event.key === "n" || event.key === "p") beside(event.key === "n" ? 1 : -1);
  else if (event.key === "l" || event.key === "d") {
    document.querySelector(`#player ${ACTS[event.key]}`)?.click();
  } else if (event.key === " " && video && event.target.tagName !== "BUTTON" && event.target !== video) {
    if (video.paused) video.play();
    else video.pause();
  } else return;
  event.preventDefault();
}

function onCard(event, card) {
  if (/^(Arrow|Home$|End$)/.test(event.key)) step(card, event.key);
  else if (single.on && ACTS[event.key]) card.querySelector(ACTS[event.key])?.click();
  else return;
  event.preventDefault();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
  if (isTyping(event.target)) return;
  if (isOpen()) return void (single.on && onPlayer(event));
  const card = event.target.closest?.("#list .card");
  if (single.on && event.key === "/") {
    event.preventDefault();
    document.getElementById("q").select();
  } else if (single.on && event.key === "?") showHelp();
  else if (card) onCard(event, card);
}

export function startKeys() {
  const opener = document.getElementById("keys");
  opener.append(icon("keys"));
  opener.title = "Keys";
  opener.setAttribute("aria-label", "Keys");
  opener.addEventListener("click", showHelp);
  help.addEventListener("click", (event) => event.target === help && help.close());
  addEventListener("keydown", onKey);
}
