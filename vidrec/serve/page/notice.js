// What the page says when there is nothing to show, nothing that fits, or something went wrong.

import * as api from "./api.js";
import { h, icon } from "./dom.js";

const place = document.getElementById("notice");
let watching;

/** A text in which `code` stands between backticks. */
const coded = (text) => text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));

function notice(kind, drawing, title, text, ...rest) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "wrong" ? "alert" : null },
    icon(drawing), h("strong", {}, title), text ? h("p", {}, coded(text)) : null, rest,
  );
}

export function clear() {
  clearInterval(watching);
  place.replaceChildren();
}

function show(made) {
  clear();
  place.replaceChildren(made);
}

const steps = (...buttons) => h("div", { class: "steps" }, buttons);
const button = (text, onclick) => h("button", { type: "button", class: "soft", onclick }, text);

/** Nothing is confident: the nearest are shown all the same, and called what they are. */
export function nothingFits(answer, ways) {
  const { results, reason } = answer;
  if (results.length === 0) {
    show(notice("unsure", "search", "Nothing matches", sentence(reason), steps(ways)));
    return;
  }
  const text = "These come nearest, but probably none is what you mean. Other words may help, or a picture.";
  const figures = h("details", {}, h("summary", {}, "In figures"), h("p", {}, sentence(reason)));
  show(notice("unsure", "alert", "Nothing fits well", text, h("div", { class: "steps" }, figures, ways)));
}

function sentence(text) {
  const plain = (text ?? "").replace(/^no (confident )?match: */, "");
  return plain ? `${plain[0].toUpperCase()}${plain.slice(1)}.` : "";
}

/** The library is there, and nothing in it can be found yet; `look` is called now and then. */
export function nothingIndexed(videos, look) {
  const title = videos ? "The videos of the library are not indexed yet" : "The library is empty";
  const command = videos ? "vidrec index" : "vidrec embed ~/Videos";
  const text = `Run \`${command}\` in a terminal. The page sees by itself when it is done.`;
  show(notice("", "film", title, text));
  watching = setInterval(look, 4000);
}

const TITLES = {
  network: "vidrec is not there",
  paid: "This search would cost money",
  rate: "Too many searches at once",
  too_large: "The file is too large",
  not_found: "Not found",
  usage: "That cannot be asked",
  busy: "Busy just now",
};
const TEXTS = {
  network: "No answer comes. The page tries again by itself, as soon as `vidrec serve` runs.",
};

/** Who has the token may come in: by the link that the command printed, or by typing it. */
function askForToken(again) {
  const input = h("input", {
    type: "password", required: true, autocomplete: "current-password", "aria-label": "Token",
  });
  const said = h("p", { role: "status" });
  const form = h("form", { class: "steps" }, input, h("button", { class: "strong" }, "Open"), said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await api.enter(input.value)) again();
    else said.textContent = "That is not the token.";
  });
  const text = "Open it by the link that `vidrec serve` printed, or type the token of that link.";
  show(notice("", "alert", "This page is locked", text, form));
  input.focus();
}

/** Something went wrong; `again` asks once more. */
export function wrong(error, again) {
  const title = TITLES[error.kind] ?? "Something went wrong";
  const text = TEXTS[error.kind] ?? error.message;
  if (error.kind === "auth") return askForToken(again);
  const retry = ["usage", "too_large", "paid"].includes(error.kind) ? null : button("Try again", again);
  show(notice("wrong", "alert", title, text, retry && steps(retry)));
  if (error.kind === "network") {
    watching = setInterval(async () => {
      if (await api.isThere()) {
        clear();
        again();
      }
    }, 2500);
  } else if (error.kind === "rate" || error.kind === "busy") {
    watching = setInterval(() => {
      clear();
      again();
    }, 1000 * Math.max(2, error.wait));
  }
}
