// The switch between light, dark, and what the system has.

import { icon } from "./dom.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const DRAWN = { auto: "auto", light: "sun", dark: "moon" };
const SAID = { auto: "as the system", light: "light", dark: "dark" };

/** Start the switch; `early.js` has set what was chosen before. */
export function startThemes() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const show = (theme) => {
    button.replaceChildren(icon(DRAWN[theme]));
    button.title = `Theme: ${SAID[theme]}. Press for ${SAID[NEXT[theme]]}`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    const theme = NEXT[root.dataset.theme ?? "auto"];
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (theme === "auto") localStorage.removeItem("theme");
      else localStorage.setItem("theme", theme);
    } catch {
      // It holds as long as the page is open.
    }
    show(theme);
  });
  show(root.dataset.theme ?? "auto");
}
