"use strict";
// What the page gains from a script: tables that sort and fold, charts that answer to a pointer, a finger and the arrow
// keys, buttons that copy. Everything is readable without.

document.documentElement.classList.add("scripted");

/** An element with properties and children; text is always text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// --- tables

const FOLDED_FROM = 8;

for (const table of document.querySelectorAll("table.tree")) unfoldable(table);
for (const table of document.querySelectorAll("table.sortable")) sortable(table);

/** Rows of a tree: [{row, name, children}], by their parents' names. */
function branches(body) {
  const roots = [];
  const path = [];
  for (const row of body.rows) {
    const node = { row, name: row.dataset.name, children: [] };
    while (path.length && path[path.length - 1].name !== row.dataset.parent) path.pop();
    (path.length ? path[path.length - 1].children : roots).push(node);
    path.push(node);
  }
  return roots;
}

function sortable(table) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.querySelectorAll("th[data-sort]")];
  for (const heading of headings) {
    const button = make("button", { class: "sort", type: "button" });
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") !== "descending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = heading.dataset.sort;
      const compare = (one, other) =>
        key === "name" ? one.name.localeCompare(other.name) : Number(one.row.dataset[key]) - Number(other.row.dataset[key]);
      const place = (nodes) => {
        nodes.sort((one, other) => (down ? compare(other, one) : compare(one, other)));
        for (const node of nodes) {
          body.append(node.row);
          place(node.children);
        }
      };
      place(branches(body));
    });
  }
}

function unfoldable(table) {
  const fold = (node) => {
    if (!node.children.length) return;
    const button = make("button", { class: "fold", type: "button" });
    const show = (open) => {
      button.setAttribute("aria-expanded", String(open));
      button.setAttribute("aria-label", `${open ? "Fold" : "Unfold"} the ${node.children.length} members of ${node.name}`);
      button.textContent = open ? "▾" : "▸";
      reveal(node, open);
    };
    button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
    node.row.cells[0].prepend(button);
    node.children.forEach(fold);
    show(node.children.length <= FOLDED_FROM);
  };
  branches(table.tBodies[0]).forEach(fold);
}

function reveal(node, open) {
  for (const child of node.children) {
    child.row.hidden = !open;
    const button = child.row.querySelector("button.fold");
    reveal(child, open && button !== null && button.getAttribute("aria-expanded") === "true");
  }
}

// --- charts

for (const figure of document.querySelectorAll("figure.chart")) {
  const reading = figure.querySelector(".reading");
  let marked = null;
  const tell = (mark) => {
    marked?.classList.remove("on");
    marked = mark;
    marked?.classList.add("on");
    reading.textContent = mark ? mark.getAttribute("aria-label") : "";
  };
  for (const type of ["pointerover", "click"]) {
    figure.addEventListener(type, (event) => {
      const mark = event.target.closest?.(".mark");
      if (mark) tell(mark);
    });
  }
  for (const drawing of figure.querySelectorAll(".drawing")) {
    const marks = [...drawing.querySelectorAll(".mark")];
    if (!marks.length) continue;
    drawing.setAttribute("tabindex", "0");
    const start = `${marks.length} marks: the arrow keys go through them`;
    drawing.addEventListener("focus", () => marked || (reading.textContent = start));
    drawing.addEventListener("blur", () => tell(null));
    drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tell(marks[(marks.indexOf(marked) + step + marks.length + (marked ? 0 : step < 0 ? 1 : 0)) % marks.length]);
    });
  }
}

// --- copying

for (const place of document.querySelectorAll("[data-copy]")) {
  const text = place.textContent.trim();
  if (text) place.append(copyButton("Copy", () => text));
}

function copyButton(word, text) {
  const button = make("button", { class: "copy", type: "button" }, word);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed here";
    }
    setTimeout(() => (button.textContent = word), 1500);
  });
  return button;
}

// --- paper

const unfolded = [];
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.paper:not([open])")) {
    details.open = true;
    unfolded.push(details);
  }
});
window.addEventListener("afterprint", () => {
  for (const details of unfolded.splice(0)) details.open = false;
});
