// The list of documents: filtered and sorted over columns of numbers, drawn by window, texts unpacked when looked at.

(() => {
  const root = document.querySelector(".explorer");
  const packed = document.getElementById("index");
  if (!root || !packed) return;
  if (!("DecompressionStream" in window)) {
    root.hidden = false;
    root.replaceChildren(make("p", { class: "remark" }, "This browser cannot unpack the list of documents; a newer one can. The first ones are in print view."));
    return;
  }
  unpack(packed).then((index) => new Explorer(root, index).start());
})();

async function unpack(element) {
  const binary = atob(element.textContent);
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

const ROW = 54;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const MINUS = "\u2212";

function Explorer(root, index) {
  this.root = root;
  this.index = index;
  this.size = index.id.length;
  this.compared = index.labels.length === 2;
  this.form = root.querySelector("form");
  this.list = root.querySelector(".list");
  this.detail = root.querySelector(".detail");
  this.status = root.querySelector(".status");
  this.space = make("div", { class: "space" });
  this.chunks = new Map();
  this.haystack = new Array(this.size);
  this.shown = [];
  this.at = -1;
  this.searches = 0;
}

Explorer.prototype.start = function () {
  const { index, form } = this;
  const options = (name, values) => values.forEach(([value, text]) => form.elements[name].append(make("option", { value }, text)));
  options("task", index.tasks.map((name, place) => [place, name]));
  options("outcome", index.outcomes.map((name, place) => [place, name]));
  if (this.compared) {
    options("show", [["flips", "what changed"], ["better", "got better"], ["worse", "got worse"], ["same", "stayed the same"], ["", "all"]]);
    options("cause", index.causes.map((name, place) => [place, name]));
    options("sort", [["", "largest change"], ["moved", "margin moved most"], ["close", "closest call now"], ["sure", "most clearly wrong now"], ["task", "task"]]);
  } else {
    options("show", [["", "all"], ["bad", "not right"]]);
    options("sort", [["", "what needs a look"], ["sure", "most clearly wrong"], ["close", "closest call"], ["clear", "most clearly right"], ["task", "task"]]);
  }
  if (this.compared && !index.gain.some((gain) => gain)) form.elements.show.value = "";
  if (this.compared && !index.causes.length) form.elements.cause.closest("label").hidden = true;
  if (this.compared && index.gain.every((gain) => gain === null)) form.elements.show.closest("label").hidden = true;
  this.list.append(this.space);
  this.root.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const type of ["input", "change"]) form.addEventListener(type, () => this.filter());
  this.list.addEventListener("scroll", () => this.draw(), { passive: true });
  new ResizeObserver(() => this.draw()).observe(this.list);
  this.list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row) return;
    this.choose(Number(row.dataset.place), true);
    if (this.isStacked()) this.detail.scrollIntoView({ block: "start" });
  });
  this.list.addEventListener("keydown", (event) => this.key(event));
  this.detail.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.step(event.key === "ArrowLeft" ? -1 : 1, event);
  });
  document.addEventListener("keydown", (event) => this.global(event));
  window.addEventListener("hashchange", () => this.follow());
  this.filter();
  if (!this.follow() && this.shown.length) this.choose(0, false);
};

// --- filtering

Explorer.prototype.filter = async function () {
  const search = ++this.searches;
  const words = this.form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length) await this.readAll(search);
  if (search !== this.searches) return;
  const chosen = this.shown[this.at];
  const passes = this.passes(words);
  this.shown = [];
  for (let item = 0; item < this.size; item++) if (passes(item)) this.shown.push(item);
  this.sort();
  this.status.textContent = `${this.shown.length.toLocaleString("en")} of ${this.size.toLocaleString("en")} ${this.size === 1 ? "document" : "documents"}${words.length ? this.searched() : ""}`;
  this.space.style.height = `${this.shown.length * ROW}px`;
  this.at = this.shown.indexOf(chosen);
  if (this.at < 0) this.list.scrollTop = 0;
  this.draw();
};

/** What else than the words narrows a search: it is easily forgotten. */
Explorer.prototype.searched = function () {
  const chosen = ["show", "task", "outcome", "cause"].map((name) => this.form.elements[name]).filter((select) => select?.value);
  return chosen.length ? `; searched only: ${chosen.map((select) => select.selectedOptions[0].textContent).join(", ")}` : "";
};

Explorer.prototype.passes = function (words) {
  const { index } = this;
  const value = (name) => this.form.elements[name]?.value ?? "";
  const [task, outcome, cause, show] = ["task", "outcome", "cause", "show"].map(value);
  const right = index.outcomes.indexOf("right");
  const kinds = {
    flips: (item) => index.cause[item] >= 0,
    better: (item) => index.gain[item] > 0,
    worse: (item) => index.gain[item] < 0,
    same: (item) => index.cause[item] < 0,
    bad: (item) => index.outcome[0][item] !== right,
  };
  const tests = [];
  if (task !== "") tests.push((item) => index.task[item] === Number(task));
  if (outcome !== "") tests.push((item) => index.outcome.some((side) => side[item] === Number(outcome)));
  if (cause !== "") tests.push((item) => index.cause[item] === Number(cause));
  if (show !== "") tests.push(kinds[show]);
  for (const word of words) tests.push((item) => this.words(item).includes(word));
  return (item) => tests.every((test) => test(item));
};

/** All text of a document that is in the page, in small letters. */
Explorer.prototype.words = function (item) {
  const known = this.haystack[item];
  if (known !== undefined) return known;
  const { index } = this;
  return `${index.id[item]} ${index.tasks[index.task[item]]} ${index.line[item]}`.toLowerCase();
};

Explorer.prototype.readAll = async function (search) {
  const elements = document.querySelectorAll("script.chunk");
  for (let chunk = 0; chunk < elements.length; chunk++) {
    if (search !== this.searches) return;
    if (this.haystack[chunk * this.index.chunk] !== undefined) continue;
    if (chunk % 16 === 0) this.status.textContent = `reading texts, ${Math.round((100 * chunk) / elements.length)}%`;
    const entries = await this.read(chunk);
    entries.forEach((entry, place) => {
      const item = chunk * this.index.chunk + place;
      this.haystack[item] = `${this.words(item)} ${everyWord(entry)}`.toLowerCase();
    });
  }
};

function everyWord(entry) {
  const parts = [];
  const walk = (value) => {
    if (typeof value === "string") parts.push(value);
    else if (value && typeof value === "object") Object.values(value).forEach(walk);
  };
  walk({ ...entry, kind: "" });
  return parts.join("\n");
}

Explorer.prototype.sort = function () {
  const { index } = this;
  const last = index.margin[index.margin.length - 1];
  const far = Number.POSITIVE_INFINITY;
  const keys = {
    moved: (item) => (index.margin.every((side) => side[item] !== null) ? -Math.abs(last[item] - index.margin[0][item]) : far),
    close: (item) => (last[item] === null ? far : Math.abs(last[item])),
    sure: (item) => (last[item] === null ? far : last[item]),
    clear: (item) => (last[item] === null ? far : -last[item]),
    task: (item) => index.task[item],
  };
  const name = this.form.elements.sort.value;
  const key = keys[name];
  if (!key) return;
  if (name === "task") {
    this.shown.sort((one, other) => key(one) - key(other) || one - other);
    return;
  }
  const values = new Map(this.shown.map((item) => [item, key(item)]));
  this.shown.sort((one, other) => {
    const [first, second] = [values.get(one), values.get(other)];
    // a nat is not a nat per character: each unit by itself
    return index.unit[one] - index.unit[other] || (first === second ? one - other : first - second);
  });
};

// --- the list

Explorer.prototype.draw = function () {
  const first = Math.max(0, Math.floor(this.list.scrollTop / ROW) - 6);
  const end = Math.min(this.shown.length, first + Math.ceil(this.list.clientHeight / ROW) + 12);
  const rows = [];
  for (let place = first; place < end; place++) rows.push(this.row(place));
  this.space.replaceChildren(...rows);
  const chosen = this.at >= first && this.at < end;
  if (chosen) this.list.setAttribute("aria-activedescendant", `row-${this.at}`);
  else this.list.removeAttribute("aria-activedescendant");
};

Explorer.prototype.row = function (place) {
  const { index } = this;
  const item = this.shown[place];
  const gain = index.gain[item];
  const outcomes = index.outcome.map((side) => index.outcomes[side[item]]);
  const kind = gain > 0 ? "better" : gain < 0 ? "worse" : "undecided";
  const last = index.margin[index.margin.length - 1][item];
  const row = make(
    "div",
    { class: "row", id: `row-${place}`, role: "option", "data-place": place, "aria-selected": String(place === this.at), "aria-posinset": place + 1, "aria-setsize": this.shown.length },
    make("span", { class: "line", dir: "auto" }, index.line[item] || index.id[item]),
    make(
      "span",
      { class: "about" },
      this.compared ? make("span", { class: kind }, sign(kind), outcomes[0] === outcomes[1] ? outcomes[0] : outcomes.join(gain === null ? " / " : " → ")) : make("span", {}, sign(`outcome-${outcomes[0]}`), outcomes[0]),
      make("span", { class: "task" }, index.tasks[index.task[item]]),
      last === null ? null : make("span", { class: "number", title: `margin in ${index.units[index.unit[item]]}: how far the best right choice is ahead of the best wrong one, as the main metric counts` }, signed(last)),
    ),
  );
  row.style.top = `${place * ROW}px`;
  return row;
};

function sign(kind) {
  return make("span", { class: `sign ${kind}`, "aria-hidden": "true" });
}

function signed(value, digits = 2) {
  return `${value < 0 ? MINUS : "+"}${Math.abs(value).toFixed(digits)}`;
}

Explorer.prototype.choose = function (place, link) {
  if (place < 0 || place >= this.shown.length) return;
  this.at = place;
  const top = place * ROW;
  if (top < this.list.scrollTop) this.list.scrollTop = top;
  else if (top + ROW > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + ROW - this.list.clientHeight;
  this.draw();
  if (link) history.replaceState(null, "", this.address(this.shown[place]));
  return this.open(this.shown[place]);
};

Explorer.prototype.step = function (by, event) {
  event?.preventDefault();
  const place = Math.min(this.shown.length - 1, Math.max(0, this.at + by));
  this.choose(place, true);
};

Explorer.prototype.key = function (event) {
  const page = Math.max(1, Math.floor(this.list.clientHeight / ROW) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.size, End: this.size };
  if (event.key in steps) this.step(steps[event.key], event);
  else if (event.key === "Enter") this.detail.focus();
};

Explorer.prototype.global = function (event) {
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    this.form.elements.text.focus();
    this.root.scrollIntoView({ block: "start" });
  } else if (event.target === this.form.elements.text && event.key === "ArrowDown") {
    event.preventDefault();
    this.list.focus();
    this.choose(Math.max(0, this.at), true);
  } else if (event.target === this.form.elements.text && event.key === "Escape") {
    this.form.elements.text.value = "";
    this.filter();
  }
};

// --- links to a document

Explorer.prototype.address = function (item) {
  const { index } = this;
  return `#item=${encodeURIComponent(index.tasks[index.task[item]])}/${encodeURIComponent(index.id[item])}`;
};

Explorer.prototype.follow = function () {
  if (!location.hash.startsWith("#item=")) return false;
  const item = this.index.id.findIndex((_, one) => this.address(one) === location.hash || decoded(this.address(one)) === decoded(location.hash));
  if (item < 0) {
    this.status.textContent = "The document of this link is not in this page.";
    return false;
  }
  if (!this.shown.includes(item)) {
    this.form.reset();
    if (this.compared && this.index.cause[item] < 0) this.form.elements.show.value = "";
    this.filter();
  }
  this.choose(this.shown.indexOf(item), false);
  (this.isStacked() ? this.detail : this.root).scrollIntoView({ block: "start", behavior: "instant" });
  return true;
};

/** Whether the document is below the list instead of beside it. */
Explorer.prototype.isStacked = function () {
  return this.detail.offsetTop > this.list.offsetTop + 10;
};

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// --- one document

Explorer.prototype.read = async function (chunk) {
  if (!this.chunks.has(chunk)) {
    const element = document.querySelectorAll("script.chunk")[chunk];
    this.chunks.set(chunk, element ? unpack(element) : Promise.resolve([]));
    // what is looked at stays; of what a search reads, only the words do
    if (this.chunks.size > 40) this.chunks.delete(this.chunks.keys().next().value);
  }
  return this.chunks.get(chunk);
};

Explorer.prototype.open = async function (item) {
  const { index } = this;
  const entries = await this.read(Math.floor(item / index.chunk));
  if (this.shown[this.at] !== item) return;
  const entry = entries[item % index.chunk];
  const known = entry && entry.kind;
  this.detail.replaceChildren(
    this.heading(item),
    ...this.lines(item),
    ...(known ? this.texts(item, entry) : [make("p", { class: "passage none" }, this.absent())]),
  );
};

Explorer.prototype.absent = function () {
  const logs = [...new Set(this.index.logs.filter(Boolean))];
  return logs.length ? `The texts of this document are not in this page; they are in ${logs.join(" and ")}.` : "This page was written without the sample log, which has prompts and answers.";
};

Explorer.prototype.heading = function (item) {
  const { index } = this;
  const move = (word, by, label) => make("button", { type: "button", "aria-label": label, title: label, onclick: () => this.step(by), disabled: this.at + by < 0 || this.at + by >= this.shown.length }, word);
  return make(
    "header",
    {},
    make("h3", {}, index.tasks[index.task[item]], " ", make("small", {}, index.id[item])),
    make("span", { class: "moves" }, make("span", { class: "soft" }, `${(this.at + 1).toLocaleString("en")} of ${this.shown.length.toLocaleString("en")}`),
    move("←", -1, "Previous document"),
    move("→", 1, "Next document"),
    copyButton("Copy link", () => location.href.split("#")[0] + this.address(item))),
  );
};

Explorer.prototype.lines = function (item) {
  const { index } = this;
  return index.labels.map((label, side) => {
    const outcome = index.outcomes[index.outcome[side][item]];
    const margin = index.margin[side][item];
    const parts = [index.metrics[side][item], margin === null ? "" : `margin ${signed(margin)} ${index.units[index.unit[item]]}`].filter(Boolean);
    const cause = this.compared && side === 1 && index.cause[item] >= 0 ? ` · cause: ${index.causes[index.cause[item]]}` : "";
    return make("p", { class: "facts-line" }, make("span", { class: this.compared ? (side ? "side after" : "side before") : "side after" }, label), ": ", make("b", {}, outcome), parts.length ? ` · ${parts.join(" · ")}` : "", cause);
  });
};

Explorer.prototype.texts = function (item, entry) {
  const found = [];
  if (entry.prompts) {
    found.push(make("h4", {}, "Prompts (they differ)"), make("div", { class: "pair" }, entry.prompts.map((prompt, side) => make("div", {}, make("h4", {}, this.index.labels[side]), this.text(prompt, true)))));
  } else {
    found.push(make("h4", {}, entry.kind === "roll" ? "Text" : "Prompt"), this.text(entry.prompt, true));
  }
  if (entry.choices && entry.choices.length) found.push(make("h4", {}, entry.choices.length > 1 ? "Choices" : "Scored text"), this.choices(item, entry));
  if (entry.sides.some((side) => side && side.output !== undefined)) found.push(...this.outputs(entry));
  if (entry.kind === "roll") found.push(make("p", { class: "facts-line" }, entry.sides.map((side, place) => (side?.logs ? `${this.index.labels[place]}: log-probability ${side.logs[0]} nats, ${side.tokens} tokens` : "")).join("; ")));
  if (entry.target && !(entry.choices?.length > 1)) found.push(make("h4", {}, "Target"), this.text(entry.target, false));
  return found;
};

Explorer.prototype.choices = function (item, entry) {
  const { index } = this;
  const gold = index.gold[item] ?? [];
  // by what the task's main metric compares: log-probabilities, for acc_norm per character
  const scores = entry.sides.map((side) => side?.scores ?? side?.logs ?? null);
  const shares = scores.map((side) => (side ? normalised(side) : null));
  const unit = entry.sides.some((side) => side?.scores) ? index.units[index.unit[item]] : "nats";
  const rows = entry.choices.map((choice, place) => {
    const right = gold.includes(place);
    return make(
      "tr",
      { class: right ? "gold" : null },
      make("th", { scope: "row" }, LETTERS[place] ?? String(place + 1)),
      make("td", { class: "choice", dir: "auto" }, ...this.pieces(choice), right ? make("span", { class: "tag right" }, "right") : null),
      entry.sides.map((side, number) => make("td", { class: "scored", "data-label": this.compared ? index.labels[number] : null }, shares[number] ? this.bar(scores[number][place], shares[number][place], number, index.picked[number]?.[item] === place) : "")),
    );
  });
  const head = make("tr", {}, make("th", {}), make("th", { scope: "col" }, "choice"), index.labels.map((label) => make("th", { scope: "col" }, label)));
  const more = entry.sides[0]?.more ? make("p", { class: "facts-line" }, `${entry.sides[0].more} further choices are in the sample log.`) : null;
  const note = entry.choices.length > 1 ? (unit === "nats" ? "Bars: share of the probability of all choices; beside them the log-probability in nats. Framed: picked." : `By the task's main metric, which divides by length: beside the bars the log-probability in ${unit}, the bars are the shares that go with it. Framed: picked.`) : null;
  return make("div", {}, make("table", { class: "choices" }, make("thead", {}, head), make("tbody", {}, rows)), more, note ? make("p", { class: "facts-line" }, note) : null);
};

function normalised(logs) {
  const known = logs.filter((value) => value !== null);
  const best = Math.max(...known);
  const total = known.reduce((sum, value) => sum + Math.exp(value - best), 0);
  return logs.map((value) => (value === null ? 0 : Math.exp(value - best) / total));
}

Explorer.prototype.bar = function (log, share, side, picked) {
  const fill = make("i");
  fill.style.width = `${100 * share}%`;
  const after = this.compared ? side === 1 : true;
  const label = `${Math.round(100 * share)}%  ${log === null ? "" : log.toFixed(Math.abs(log) < 10 ? 3 : 1).replace("-", MINUS)}`;
  return make("div", { class: `bar${after ? " after" : ""}${picked ? " picked" : ""}` }, fill, make("b", {}, label), picked ? make("span", { class: "tag" }, "picked") : null);
};

// --- generated texts

Explorer.prototype.outputs = function (entry) {
  const sides = entry.sides.map((side) => (side && side.output !== undefined ? side : null));
  const plain = sides.map((side) => (typeof side?.output === "string" ? side.output : null));
  const marks = this.compared && plain.every((text) => text !== null) && plain[0] !== plain[1] ? differences(plain[0], plain[1]) : null;
  const column = (side, place) => {
    const label = this.index.labels[place];
    if (!side) return make("div", {}, make("h4", {}, label), make("p", { class: "passage none" }, "no output in the log"));
    const about = [side.answer === null ? "no answer found" : `answer: ${shorten(side.answer)}`, `${side.tokens.toLocaleString("en")} tokens`, side.finish === "length" ? "cut at the limit" : "", side.more ? `${side.more} further completions in the log` : ""];
    const body = marks ? this.fold(marked(marks[place], place), plain[place].length, false) : this.text(side.output, false);
    return make("div", {}, make("h4", {}, label), body, make("p", { class: "facts-line" }, about.filter(Boolean).join(" · ")));
  };
  const same = this.compared && plain[0] !== null && plain[0] === plain[1];
  return [make("h4", {}, this.compared ? (same ? "Outputs (the same)" : "Outputs") : "Output"), make("div", { class: "pair" }, sides.map(column))];
};

function shorten(text) {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

/** [words of the first, words of the second] as [text, differs]; null where they are too long to compare. */
function differences(first, second) {
  const [one, other] = [first, second].map((text) => text.split(/(\s+)/));
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start++;
  let end = 0;
  while (end < one.length - start && end < other.length - start && one[one.length - 1 - end] === other[other.length - 1 - end]) end++;
  const [a, b] = [one.slice(start, one.length - end), other.slice(start, other.length - end)];
  if (a.length * b.length > 4_000_000) return null;
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i * width + j] = a[i] === b[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
  const [left, right] = [[], []];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      left.push([a[i++], false]);
      right.push([b[j++], false]);
    } else if (j >= b.length || (i < a.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) left.push([a[i++], true]);
    else right.push([b[j++], true]);
  }
  const around = (words, middle) => [[words.slice(0, start).join(""), false], ...middle, [words.slice(words.length - end).join(""), false]];
  return [around(one, left), around(other, right)];
}

function marked(words, side) {
  return words.filter(([text]) => text).map(([text, differs]) => (differs && text.trim() ? make("mark", { class: side ? null : "gone" }, text) : text));
}

// --- long texts

Explorer.prototype.pieces = function (value) {
  if (typeof value === "string") return [value];
  const [start, omitted, end] = value;
  const logs = [...new Set(this.index.logs.filter(Boolean))].join(" and ");
  return [start, make("span", { class: "cut" }, `${omitted.toLocaleString("en")} characters are left out here; the whole text is in ${logs || "the sample log"}`), end];
};

Explorer.prototype.text = function (value, fromEnd) {
  const pieces = this.pieces(value);
  const length = pieces.reduce((sum, piece) => sum + (typeof piece === "string" ? piece.length : 0), 0);
  if (length === 0) return make("div", { class: "passage none" }, "empty");
  return this.fold(pieces, length, fromEnd);
};

const FOLDED = 1400;

/** A text; a long one shows its start, or the end that holds the question, and a button for the rest. */
Explorer.prototype.fold = function (pieces, length, fromEnd) {
  const box = make("div", { class: "passage", dir: "auto" });
  if (length <= FOLDED * 1.25) {
    box.append(...pieces);
    return box;
  }
  const short = trimmed(pieces, FOLDED, fromEnd);
  box.append(...short);
  const button = make("button", { type: "button", class: "more", "aria-expanded": "false" }, `Show all ${length.toLocaleString("en")} characters`);
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Show less" : `Show all ${length.toLocaleString("en")} characters`;
    box.replaceChildren(...(open ? pieces : short));
  });
  return make("div", {}, fromEnd ? button : null, box, fromEnd ? null : button);
};

function trimmed(pieces, room, fromEnd) {
  const kept = [];
  let left = room;
  for (const piece of fromEnd ? [...pieces].reverse() : pieces) {
    const text = typeof piece === "string" ? piece : piece.textContent;
    if (left <= 0) break;
    if (text.length <= left) kept.push(typeof piece === "string" ? piece : piece.cloneNode(true));
    else kept.push(fromEnd ? `…${text.slice(-left)}` : `${text.slice(0, left)}…`);
    left -= text.length;
  }
  return fromEnd ? kept.reverse() : kept;
}
