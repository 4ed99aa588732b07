// Filters by label, field and length; variety; moments; near copies.

import { count, h, icon, settled } from "./dom.js";
import { get, go, goHome, isAsked, onChange } from "./state.js";

const MANY = 14; // values that are shown without asking for all
const WORDY = 32; // letters: a field of longer values is a text, and no filter
const LENGTHS = [
  ["under 10 seconds", ["duration_sec<10"]],
  ["10 seconds to a minute", ["duration_sec>=10", "duration_sec<=60"]],
  ["over a minute", ["duration_sec>60"]],
];
const VARIETIES = ["the nearest", "a little varied", "varied", "very varied"];

const bar = document.getElementById("toolbar");
const panel = document.getElementById("filters");

/** `label=Space` → "Space"; `year>=2000` → "year from 2000"; `duration_sec<10` → a length. */
export function conditionWords(condition) {
  const [, key, op, value] = /^\s*([^\s=!<>~]+)\s*(!=|<=|>=|=|<|>|~)\s*(.*)$/s.exec(condition) ?? [];
  if (!key) return condition;
  const name = key === "duration_sec" ? "length" : key.replaceAll("_", " ");
  const amount = key === "duration_sec" ? `${value} s` : value;
  if (op === "=") return key === "label" ? value : `${name}: ${amount}`;
  const word = { "!=": "not", "<": "under", ">": "over", "<=": "up to", ">=": "from", "~": "like" }[op];
  return `${name} ${word} ${amount}`;
}

const has = (conditions) => conditions.every((one) => get().where.includes(one));

function toggle(conditions, off = []) {
  const where = get().where.filter((one) => !conditions.includes(one) && !off.includes(one));
  go({ where: has(conditions) ? where : [...where, ...conditions] });
}

function option(text, conditions, amount, off) {
  const small = amount === undefined ? null : h("small", {}, amount.toLocaleString("en"));
  const made = h("button", { type: "button", class: "option" }, text, small);
  made.onclick = () => toggle(conditions, off);
  made.conditions = conditions;
  return made;
}

function group(title, ...options) {
  return h("fieldset", {}, h("legend", {}, title), h("div", { class: "options" }, options));
}

function labelGroup(labels) {
  const options = labels.map(({ label, count: amount }) => option(label, [`label=${label}`], amount));
  return someOf("Label", options);
}

/** The first of many options, and a button for all. */
function someOf(title, buttons) {
  if (buttons.length <= MANY) return group(title, buttons);
  buttons.slice(MANY).forEach((button) => (button.hidden = !has(button.conditions)));
  const all = h("button", { type: "button", class: "soft" }, `Show all ${buttons.length}`);
  all.addEventListener("click", () => {
    buttons.forEach((button) => (button.hidden = false));
    buttons[MANY].focus();
    all.remove();
  });
  return group(title, buttons, all);
}

function fieldGroup(name, values) {
  const title = name.replaceAll("_", " ");
  const heading = title[0].toUpperCase() + title.slice(1);
  const numbers = values.every((value) => typeof value === "number");
  if (numbers && values.length > 6) return rangeGroup(name, heading, values);
  return someOf(heading, values.map((value) => option(String(value), [`${name}=${value}`])));
}

function rangeGroup(name, heading, values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const end = (op, word, placeholder) => {
    const given = get().where.find((one) => one.startsWith(name + op));
    const input = h("input", {
      type: "number", step: "any", placeholder, value: given?.slice((name + op).length) ?? "",
      "aria-label": `${heading} ${word}`,
    });
    input.addEventListener("change", () => {
      const others = get().where.filter((one) => !one.startsWith(name + op));
      go({ where: input.value === "" ? others : [...others, `${name}${op}${input.value}`] });
    });
    return h("label", {}, word, input);
  };
  return group(heading, end(">=", "from", String(least)), end("<=", "up to", String(most)));
}

function switchFor(key, text) {
  const input = h("input", { type: "checkbox" });
  input.addEventListener("change", () => go({ [key]: input.checked }));
  onChange((state) => (input.checked = state[key]));
  input.checked = get()[key];
  return h("label", { class: "switch" }, input, text);
}

function varietySlider() {
  const input = h("input", { type: "range", id: "variety", min: 0, max: 1, step: 0.05 });
  const output = h("output", { htmlFor: "variety" });
  const say = () => {
    output.textContent = VARIETIES[Math.ceil(Number(input.value) * (VARIETIES.length - 1))];
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const follow = ({ diversity }) => {
    if (Number(input.value) !== diversity) input.value = diversity;
    say();
  };
  // While it is dragged the list follows; the whole drag is one step back.
  let dragging = false;
  const apply = settled(() => {
    go({ diversity: Number(input.value) }, { replace: dragging });
    dragging = true;
  }, 140);
  input.addEventListener("input", () => {
    say();
    apply();
  });
  input.addEventListener("change", () => setTimeout(() => (dragging = false), 200));
  onChange(follow);
  input.value = get().diversity;
  say();
  return h("div", { class: "variety" }, h("label", { htmlFor: "variety" }, "Variety"), input, output);
}

function mark() {
  for (const button of document.querySelectorAll(".option")) {
    button.setAttribute("aria-pressed", String(has(button.conditions)));
  }
}

/** The line over the list: filters, variety, moments, near copies. */
export function startToolbar() {
  const opener = h("button", {
    type: "button", class: "soft", "aria-expanded": "false", "aria-controls": "filters",
  });
  const follow = (state) => {
    if (!isAsked(state)) panel.hidden = true;
    opener.setAttribute("aria-expanded", String(!panel.hidden));
    bar.classList.toggle("open", !panel.hidden);
    const active = state.where.length;
    opener.replaceChildren(icon("filter"), active ? count(active, "filter") : "Filters");
  };
  opener.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    follow(get());
  });
  bar.replaceChildren(
    opener,
    varietySlider(),
    switchFor("clips", "Single moments"),
    switchFor("dedupe", "Hide near copies"),
  );
  onChange(follow);
  onChange(mark);
  follow(get());
}

/** Draw the filters that a library has, as /api/status tells. */
export function startFilters({ labels, fields }) {
  const lengths = LENGTHS.map(([text, conditions]) => {
    const others = LENGTHS.flatMap(([, other]) => (other === conditions ? [] : other));
    return option(text, conditions, undefined, others);
  });
  const short = (value) => String(value).length <= WORDY;
  panel.replaceChildren(
    ...(labels.length ? [labelGroup(labels)] : []),
    group("Length", lengths),
    ...Object.entries(fields)
      .filter(([, values]) => values.length && values.every(short))
      .map(([name, values]) => fieldGroup(name, values)),
  );
  document.getElementById("shelves").replaceChildren(
    ...labels.slice(0, MANY).map((one) => shelfButton(one.label, one.count)),
  );
  mark();
}

/** While nothing is asked: show the videos of a label only, or all again. */
function shelfButton(label, amount) {
  const made = option(label, [`label=${label}`], amount);
  made.onclick = () => goHome(has(made.conditions) ? [] : made.conditions);
  return made;
}
