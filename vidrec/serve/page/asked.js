// What shapes the list beside the text, as chips that can be taken away.

import * as api from "./api.js";
import { h, icon, iconButton } from "./dom.js";
import { file, get, go, isAsked, onChange } from "./state.js";
import { conditionWords } from "./filters.js";

const place = document.getElementById("asked");
const without = (list, value) => list.filter((one) => one !== value);

function chip(kind, drawing, text, gone) {
  return h(
    "div",
    { class: `chip ${kind}` },
    drawing,
    h("span", { title: text }, text),
    iconButton("close", `Remove: ${text}`, { class: "quiet", onclick: gone }),
  );
}

/** A liked or disliked thing: a text, or a video of the library with its picture. */
function tasteChip(kind, value) {
  const gone = () => go({ [kind]: without(get()[kind], value) });
  const made = chip(kind, icon(kind === "like" ? "like" : "dislike"), value, gone);
  if (value.startsWith("id:")) describe(made, value.slice(3));
  return made;
}

async function describe(made, id) {
  const label = made.querySelector("span");
  const remove = made.querySelector("button");
  label.textContent = "a video";
  try {
    const { name } = await api.video(id);
    label.textContent = label.title = name;
    remove.title = `Remove: ${name}`;
    remove.setAttribute("aria-label", remove.title);
    const picture = h("img", { alt: "", width: 48, height: 30, src: api.poster(id, 1) });
    picture.addEventListener("error", () => picture.remove());
    made.prepend(picture);
  } catch {
    label.textContent = "a video that is not here";
    made.classList.add("lost");
  }
}

/** A clip or a picture that was dropped in; in a link that was passed on only its name is left. */
function fileChip(entry) {
  const here = file(entry.token);
  const gone = () => go({ files: get().files.filter((one) => one !== entry) });
  if (!here) {
    const text = `${entry.name} is not part of the link: drop it in again`;
    return chip("lost", icon("alert"), text, gone);
  }
  const made = chip("like", icon(here.type.startsWith("video/") ? "film" : "picture"), entry.name, gone);
  if (here.type.startsWith("image/")) paint(made, here);
  return made;
}

async function paint(made, image) {
  try {
    const bitmap = await createImageBitmap(image, { resizeWidth: 96, resizeQuality: "medium" });
    const canvas = h("canvas", { width: 96, height: 60 });
    const scale = Math.max(96 / bitmap.width, 60 / bitmap.height);
    const [w, t] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (96 - w) / 2, (60 - t) / 2, w, t);
    made.querySelector(".icon").replaceWith(canvas);
  } catch {
    // A picture that the browser cannot draw may be one that the server reads: the name will do.
  }
}

function draw(state) {
  const chips = [
    ...state.files.map(fileChip),
    ...state.like.map((value) => tasteChip("like", value)),
    ...state.unlike.map((value) => tasteChip("unlike", value)),
    // While nothing is asked the library's labels are shelves of their own, over the list.
    ...(isAsked(state) ? state.where : []).map((value) =>
      chip("", icon("filter"), conditionWords(value), () => go({ where: without(get().where, value) })),
    ),
  ];
  if (chips.length > 1) {
    const all = { like: [], unlike: [], where: [], files: [] };
    chips.push(h("button", { type: "button", class: "soft", onclick: () => go(all) }, "Remove all"));
  }
  place.replaceChildren(...chips);
  place.hidden = chips.length === 0;
}

export function startAsked() {
  onChange((state, before) => {
    const names = ["q", "like", "unlike", "where", "files"];
    if (names.some((name) => state[name] !== before[name])) draw(state);
  });
  draw(get());
}
