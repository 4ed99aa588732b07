// The search box and its suggestions: a combobox after the WAI-ARIA pattern (list, manual choice).

import * as api from "./api.js";
import { h, icon, settled } from "./dom.js";
import { get, go, goHome, onChange } from "./state.js";

const box = document.getElementById("q");
const list = document.getElementById("suggestions");
const clear = document.getElementById("clear");

let shown = []; // the suggestions
let chosen = -1; // which of them is marked
let asking = null;

/** Ask for a text, as a step in the history. */
function search(text) {
  close();
  const q = text.trim();
  if (!q && !get().files.length && !get().like.length) return goHome();
  box.value = q;
  clear.hidden = !q;
  // A new text begins anew: what was liked before belonged to the old one.
  go(q === get().q ? { q } : { q, like: [], unlike: [], files: [], v: null });
}

function open(suggestions) {
  shown = suggestions;
  chosen = -1;
  box.removeAttribute("aria-activedescendant");
  list.replaceChildren(
    ...shown.map((text, i) =>
      h(
        "li",
        {
          id: `suggestion-${i}`,
          role: "option",
          "aria-selected": "false",
          // Before the box loses the focus, which would close the list.
          onmousedown: (event) => event.preventDefault(),
          onclick: () => search(text),
        },
        icon("search"),
        h("span", {}, text),
      ),
    ),
  );
  list.hidden = shown.length === 0;
  box.setAttribute("aria-expanded", String(!list.hidden));
}

function close() {
  asking?.abort();
  open([]);
}

function mark(step) {
  // One place more than there are suggestions: none, with what was typed.
  const places = shown.length + 1;
  chosen = ((chosen + 1 + step + places) % places) - 1;
  [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
  if (chosen < 0) box.removeAttribute("aria-activedescendant");
  else box.setAttribute("aria-activedescendant", `suggestion-${chosen}`);
}

async function suggest() {
  asking?.abort();
  asking = new AbortController();
  try {
    const { suggestions } = await api.suggest(box.value.trim(), asking.signal);
    const typed = box.value.trim().toLowerCase();
    const others = suggestions.filter((text) => text.toLowerCase() !== typed);
    if (document.activeElement === box) open(others.slice(0, 8));
  } catch {
    // Suggestions are a help, not a must: without them the box still searches.
  }
}

const suggestSoon = settled(suggest, 120);

function onKey(event) {
  if (event.isComposing) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (list.hidden) suggest();
    else mark(event.key === "ArrowDown" ? 1 : -1);
  } else if (event.key === "Escape") {
    if (!list.hidden) close();
    else box.select();
    event.preventDefault();
  } else if (event.key === "Enter" && chosen >= 0) {
    event.preventDefault();
    search(shown[chosen]);
  }
}

/** What to ask for, for those who come with an empty box; labels have shelves of their own. */
export async function showIdeas(labels) {
  const place = document.getElementById("ideas");
  const { suggestions } = await api.suggest("").catch(() => ({ suggestions: [] }));
  place.replaceChildren(
    ...suggestions
      .filter((text) => !labels.some(({ label }) => label === text))
      .slice(0, 6)
      .map((text) => h("button", { type: "button", class: "soft", onclick: () => search(text) }, text)),
  );
}

export function startSearch() {
  clear.append(icon("close"));
  document.getElementById("go").append(icon("search"));
  document.getElementById("search").addEventListener("submit", (event) => {
    event.preventDefault();
    search(box.value);
  });
  clear.addEventListener("click", () => {
    box.value = "";
    clear.hidden = true;
    box.focus();
    suggest();
  });
  box.addEventListener("input", () => {
    clear.hidden = !box.value;
    suggestSoon();
  });
  box.addEventListener("click", () => list.hidden && suggest());
  box.addEventListener("keydown", onKey);
  box.addEventListener("blur", close);
  const follow = ({ q }) => {
    if (document.activeElement !== box || q !== box.value.trim()) box.value = q;
    clear.hidden = !q;
  };
  onChange(follow);
  follow(get());
}
