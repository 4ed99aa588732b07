// Runs before anything is drawn, so that a chosen theme never flashes the other one, and a link to
// an answer does not begin as the start page.
"use strict";
{
  const root = document.documentElement;
  const asked = /[?&](q|like|file)=[^&]/.test(location.search);
  root.classList.toggle("home", !asked);
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's theme will do.
  }
}
