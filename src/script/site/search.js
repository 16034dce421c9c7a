"use strict";
const input = document.getElementById("search");
const found = document.getElementById("found");

// Names that begin with the words come first, then names that have them, then summaries.
function rank([name, summary], words) {
  const bare = name.split(/::|\./).pop();
  const all = (text) => words.every((word) => text.includes(word));
  if (bare.toLowerCase() === words[0] || name.toLowerCase() === words[0]) return 0;
  if (bare.toLowerCase().startsWith(words[0]) && all((name + " " + summary).toLowerCase())) return 1;
  if (all(name.toLowerCase())) return 2;
  return all((name + " " + summary).toLowerCase()) ? 3 : -1;
}

function show() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const ranked = words.length === 0 ? [] : FUNCTIONS.map((row) => [rank(row, words), row]).filter(([place]) => place >= 0);
  ranked.sort((a, b) => a[0] - b[0]);
  found.replaceChildren(...ranked.slice(0, 30).map(([, [name, summary, place]], at) => {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = place;
    link.className = at === 0 ? "first" : "";
    const code = document.createElement("code");
    code.textContent = name;
    const small = document.createElement("small");
    small.textContent = summary;
    link.append(code, small);
    item.append(link);
    return item;
  }));
  if (words.length > 0 && ranked.length === 0) found.textContent = "Nothing is documented by these words.";
  found.hidden = words.length === 0;
}

input.addEventListener("input", show);
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter") found.querySelector("a")?.click();
  if (event.key === "Escape") { input.value = ""; show(); }
});
found.addEventListener("click", () => { found.hidden = true; });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== input) { event.preventDefault(); input.focus(); }
});
