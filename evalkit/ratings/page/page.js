"use strict";
// Shows one document at a time. All text from models and data goes in as text, never as markup.

const mode = document.body.dataset.mode;
const find = (id) => document.getElementById(id);
const panels = [...document.querySelectorAll(".answer")];
const notes = { length: "cut off at the length limit", refused: "refused" };

let view = null;
let busy = false;
let watched = 0; // milliseconds that this item was in view
let since = null;

// --- talking to the program

async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options || {});
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function act(body) {
  if (busy || !view) return;
  busy = true;
  try {
    show(await ask("act", body));
    find("problem").hidden = true;
  } catch (error) {
    complain(error);
  } finally {
    busy = false;
  }
}

function complain(error) {
  const stopped = error instanceof TypeError; // no answer at all
  find("problem").textContent = stopped
    ? "evalkit rate is not running any more. What you rated is saved; the same command goes on."
    : `This did not work: ${error.message}`;
  find("problem").hidden = false;
}

// --- showing

function show(next) {
  const moved = !view || !view.item || !next.item || view.item.position !== next.item.position;
  view = next;
  find("progress").max = Math.max(1, view.total);
  find("progress").value = view.rated;
  const skipped = view.skipped ? `, ${view.skipped} skipped` : "";
  find("counts").textContent = `${view.rated} rated${skipped}`;
  find("item").hidden = !view.item;
  find("done").hidden = Boolean(view.item);
  find("controls").hidden = false;
  if (view.item) showItem(view.item, moved);
  else showDone();
  for (const button of document.querySelectorAll("[data-action]")) {
    const action = button.dataset.action;
    button.disabled =
      (action === "undo" && !view.canUndo) ||
      (action === "back" && !view.canGoBack) ||
      (action === "forward" && !view.item) ||
      (action === "skip" && (!view.item || Boolean(view.item.given)));
  }
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = !view.item;
  if (moved) {
    watched = 0;
    since = document.hidden ? null : performance.now();
    find("place").focus({ preventScroll: true });
    if (mode === "score" && view.item) markNext();
  }
}

function showItem(item, moved) {
  find("place").textContent = `${item.position + 1} of ${view.total}`;
  find("task").textContent = item.task;
  find("answers").classList.toggle("single", item.answers.length === 1);
  panels.forEach((panel, index) => {
    const answer = item.answers[index];
    panel.hidden = !answer;
    if (!answer) return;
    panel.querySelector(".letter").hidden = item.answers.length === 1;
    fill(panel.querySelector(".text"), answer.text, "(empty answer)");
    panel.querySelector(".note").textContent = notes[answer.finish] || "";
    const words = answer.text.length;
    panel.querySelector(".length").textContent = `${words.toLocaleString("en")} character${words === 1 ? "" : "s"}`;
  });
  if (moved) {
    showPrompt(false);
    find("prompt-toggle").hidden = item.prompt === null;
    find("reference-toggle").hidden = !item.hasReference;
    find("reference-toggle").setAttribute("aria-expanded", "false");
    find("reference").hidden = true;
    for (const box of document.querySelectorAll(".text")) box.scrollTop = 0;
    window.scrollTo(0, 0);
  }
  if (mode === "score") showScores(item.given);
  else showChoice(item.given);
}

function showDone() {
  find("place").textContent = "All rated";
  find("task").textContent = "";
  find("done-text").textContent = `${view.rated} of ${view.total} documents are rated.`;
  if (find("save")) find("save").disabled = true;
}

function fill(box, text, instead) {
  box.textContent = text.trim() ? text : instead;
  box.classList.toggle("empty", !text.trim());
}

function showPrompt(whole) {
  find("prompt-toggle").setAttribute("aria-expanded", String(whole));
  find("question-title").textContent = whole ? "Whole prompt" : "Question";
  fill(find("question"), whole ? view.item.prompt : view.item.question, "(empty)");
  // what is asked stands at the end
  find("question").scrollTop = whole ? find("question").scrollHeight : 0;
}

async function toggleReference() {
  const item = view.item;
  if (!item || !item.hasReference) return;
  const open = find("reference").hidden;
  if (open) {
    try {
      const answer = await ask(`reference?item=${item.position}`);
      if (view.item !== item) return;
      fill(find("reference-text"), answer.reference, "(empty)");
    } catch (error) {
      complain(error);
      return;
    }
  }
  find("reference").hidden = !open;
  find("reference-toggle").setAttribute("aria-expanded", String(open));
}

function togglePrompt() {
  if (view.item && view.item.prompt !== null) showPrompt(find("prompt-toggle").getAttribute("aria-expanded") !== "true");
}

// --- choices

function showChoice(given) {
  const choice = given ? given.choice : null;
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
  }
  panels[0].classList.toggle("chosen", choice === "left");
  panels[1].classList.toggle("chosen", choice === "right");
}

function rate(answer) {
  if (!view.item) return;
  const seconds = (watched + (since === null ? 0 : performance.now() - since)) / 1000;
  act({ action: "rate", item: view.item.position, answer, seconds });
}

// --- scores

function rows() {
  return panels.filter((panel) => !panel.hidden).flatMap((panel) => [...panel.querySelectorAll("fieldset")]);
}

const scoreOf = (row) => row.querySelector("input:checked");

function showScores(given) {
  panels.forEach((panel, index) => {
    for (const row of panel.querySelectorAll("fieldset")) {
      const score = given && given.scores[index] ? given.scores[index][row.dataset.criterion] : null;
      for (const input of row.querySelectorAll("input")) input.checked = Number(input.value) === score;
    }
  });
  markNext();
}

function currentRow() {
  const focused = document.activeElement.closest("fieldset");
  return focused || rows().find((row) => !scoreOf(row)) || null;
}

function markNext() {
  const current = currentRow();
  for (const row of rows()) row.classList.toggle("next", row === current);
  find("save").disabled = !view.item || rows().some((row) => !scoreOf(row));
}

function setScore(score) {
  const all = rows();
  const row = currentRow() || all[0];
  row.querySelector(`input[value="${score}"]`).checked = true;
  const next = all.find((other) => !scoreOf(other)) || all[all.indexOf(row) + 1];
  if (next) (scoreOf(next) || next.querySelector("input")).focus();
  markNext();
  if (!next) {
    find("save").focus();
    markNext();
  }
}

function saveScores() {
  if (!view.item || find("save").disabled) return;
  const scores = panels
    .filter((panel) => !panel.hidden)
    .map((panel) =>
      Object.fromEntries(
        [...panel.querySelectorAll("fieldset")].map((row) => [row.dataset.criterion, Number(scoreOf(row).value)]),
      ),
    );
  rate({ scores });
}

// --- ending

function finish() {
  const left = view.total - view.rated;
  if (!left) return end();
  find("leave-text").textContent =
    `${left} of ${view.total} documents ${left === 1 ? "is" : "are"} not rated yet. ` +
    "The same command goes on where you stopped.";
  find("leave").showModal();
}

async function end() {
  if (find("leave").open) find("leave").close();
  try {
    await ask("act", { action: "finish" });
  } catch (error) {
    if (!(error instanceof TypeError)) return complain(error);
  }
  view = null;
  for (const id of ["item", "done", "controls", "finish", "help-open", "problem"]) find(id).hidden = true;
  find("ended").hidden = false;
  find("place").textContent = "Finished";
  find("task").textContent = "";
}

// --- keys and buttons

// The key by what it types, or, on keyboards of other scripts, by where it is.
function keyOf(event) {
  if (event.key.length === 1 && event.key.charCodeAt(0) > 127) return event.code.replace(/^(Key|Digit)/, "").toLowerCase();
  return event.key.length === 1 ? event.key.toLowerCase() : event.key;
}

const keys = {
  u: () => act({ action: "undo" }),
  s: () => view.item && !view.item.given && act({ action: "skip", item: view.item.position }),
  p: togglePrompt,
  r: toggleReference,
  "?": () => find("help").showModal(),
  ArrowLeft: () => act({ action: "back" }),
  ArrowRight: () => view.item && act({ action: "forward" }),
};
if (mode === "choice") {
  for (const button of document.querySelectorAll("[data-choice]")) {
    keys[button.getAttribute("aria-keyshortcuts")] = () => rate({ choice: button.dataset.choice });
  }
} else {
  for (const input of panels[0].querySelectorAll("fieldset:first-child input")) {
    keys[input.value] = () => setScore(Number(input.value));
  }
  keys.Enter = saveScores;
}

document.addEventListener("keydown", (event) => {
  const other = event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat;
  if (other || !view || document.querySelector("dialog[open]")) return;
  const key = keyOf(event);
  const target = event.target;
  if (key === "Enter" && target.closest("button")) return; // the button's own key
  if (key.startsWith("Arrow") && target.matches("input[type=radio]")) return; // moves within the scale
  if (!keys[key]) return;
  event.preventDefault();
  keys[key]();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.choice) rate({ choice: button.dataset.choice });
  else if (button.dataset.action === "skip") keys.s();
  else if (button.dataset.action) act({ action: button.dataset.action });
  else if ("close" in button.dataset) button.closest("dialog").close();
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden && since !== null) {
    watched += performance.now() - since;
    since = null;
  } else if (!document.hidden) {
    since = performance.now();
  }
});

find("prompt-toggle").addEventListener("click", togglePrompt);
find("reference-toggle").addEventListener("click", toggleReference);
find("help-open").addEventListener("click", () => find("help").showModal());
find("finish").addEventListener("click", finish);
find("done-finish").addEventListener("click", end);
find("leave-yes").addEventListener("click", end);
if (mode === "score") {
  find("save").addEventListener("click", saveScores);
  find("answers").addEventListener("change", markNext);
  find("answers").addEventListener("focusin", markNext);
}

ask("view").then(show, complain);
