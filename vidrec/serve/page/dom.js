// Making elements, and the few words that every part of the page needs.

const SVG = "http://www.w3.org/2000/svg";

// On a grid of 24 by 24: strokes, unless the name is in FILLED.
const ICONS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16 16l4.5 4.5",
  like: "M7 10.5V20H4v-9.5zM7 10.5l3.600-7.200c1.700 0 2.700 1.300 2.300 3L12.200 9.5H18a2 2 0 0 1 2 2.400l-1.200 6.400A2 2 0 0 1 16.800 20H7",
  dislike: "M17 13.5V4h3v9.5zM17 13.5l-3.600 7.200c-1.700 0-2.700-1.300-2.300-3l.7-3.200H6a2 2 0 0 1-2-2.400l1.200-6.400A2 2 0 0 1 7.200 4H17",
  similar: "M8 8V5.5A1.5 1.5 0 0 1 9.5 4h9A1.5 1.5 0 0 1 20 5.5v9a1.5 1.5 0 0 1-1.5 1.5H16M5.5 8h9A1.5 1.5 0 0 1 16 9.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 4 18.5v-9A1.5 1.5 0 0 1 5.5 8z",
  why: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM9.600 9.5c.1-1.5 1.100-2.300 2.400-2.300 1.400 0 2.400.9 2.400 2.200 0 1.900-2.300 2-2.300 3.900M12.100 16.5v.1",
  play: "M8 5.5v13l11-6.5z",
  close: "M6 6l12 12M18 6 6 18",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  auto: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM12 3.5v17M12 8h4.5M12 12h8M12 16h7",
  filter: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  picture: "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5zM4.5 16.5 9 12l3.5 3.5L15.5 13l4 3.5M14.5 9v.1",
  film: "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5zM8 5v14M16 5v14M4 12h16",
  link: "M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3A4 4 0 0 0 11 18.700l1-1",
  next: "M9 5l7 7-7 7",
  previous: "M15 5l-7 7 7 7",
  keys: "M4.5 6.5h15A1.5 1.5 0 0 1 21 8v8a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 16V8a1.5 1.5 0 0 1 1.5-1.5zM7 10.5v.1M10.5 10.5v.1M14 10.5v.1M17.5 10.5v.1M8.5 14h7",
  alert: "M12 4 2.800 19.5h18.400zM12 10v4.5M12 17v.1",
};
const FILLED = new Set(["play"]);

/**
 * Make an element. Names that begin with "on" are listeners, "class" and "data-…", "aria-…" are
 * attributes, what is a property becomes one; null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name === "class" ? "class" : name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", FILLED.has(name) ? "icon filled" : "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a drawing; `label` is what it is called, and its tooltip. */
export function iconButton(name, label, attributes = {}) {
  return h("button", { type: "button", title: label, "aria-label": label, ...attributes }, icon(name));
}

/** 75.2 → "1:15", 3700 → "1:01:40". */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 0.001));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function count(number, one, several = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : several}`;
}

export const CALM = matchMedia("(prefers-reduced-motion: reduce)");

const said = document.getElementById("said");

/** Tell a screen reader; the eye sees it by itself. */
export function announce(text) {
  // What lies behind an open dialog is not read.
  const place = document.querySelector("dialog[open]") ?? document.body;
  if (said.parentElement !== place) place.append(said);
  said.textContent = "";
  // A region that is emptied and filled in one go is not read again.
  setTimeout(() => (said.textContent = text), 60);
}

let hiding;

/** A word at the foot of the page that goes by itself, and is read aloud. */
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.showPopover?.(); // over an open dialog, too
  announce(text);
  clearTimeout(hiding);
  hiding = setTimeout(() => place.hidePopover?.(), 4000);
}

/** Call `later` when nothing was asked for `wait` milliseconds. */
export function settled(later, wait) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => later(...values), wait);
  };
}
