// Searching by a clip or a picture: dragged in, picked, or pasted.

import { icon, toast } from "./dom.js";
import { get, go, keep } from "./state.js";

const overlay = document.getElementById("drop");
const MOST = 5; // at a time
let takes = { image: true, video: true };
let depth = 0; // of elements that a drag has entered

const kindOf = (file) => file.type.split("/")[0] || "video";
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/** Search by files: what was asked in words goes, what is liked and filtered stays out of it too. */
function searchBy(files) {
  const known = files.filter((file) => takes[kindOf(file)]);
  if (known.length < files.length) {
    const all = Object.entries(takes).filter(([, can]) => can).map(([kind]) => (kind === "image" ? "pictures" : "clips"));
    toast(all.length ? `Only ${all.join(" and ")} can be searched by.` : "This library is searched by words only.");
  }
  if (known.length === 0) return;
  const kept = known.slice(0, MOST).map(keep);
  go({ q: "", like: [], unlike: [], files: [...get().files, ...kept], v: null });
}

export function startDrop(status) {
  takes = { image: status.takes.image, video: status.takes.video };
  const pick = document.getElementById("pick");
  const input = document.getElementById("file");
  pick.hidden = !takes.image && !takes.video;
  input.accept = ["image", "video"].filter((kind) => takes[kind]).map((kind) => `${kind}/*`).join();
}

{
  const pick = document.getElementById("pick");
  const input = document.getElementById("file");
  pick.append(icon("picture"));
  pick.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    searchBy([...input.files]);
    input.value = "";
  });
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth += 1;
    overlay.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser would open the file
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) overlay.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    overlay.hidden = true;
    searchBy([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    searchBy(files);
  });
}
