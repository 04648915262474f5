// A disagreement decided by one hand, with the keys of the task page; A, O and M say why people disagreed.

const byId = (id) => document.getElementById(id);
const one = (selector) => document.querySelector(selector);
const form = () => byId("verdict"); // the next one takes its place without a new page
const actionOf = new Map(Object.entries(JSON.parse(byId("key-bindings").textContent)).map(([action, key]) => [key, action]));
const CAUSES = ["a", "o", "m"];

const choose = (inputs, number) => {
  const input = inputs[number - 1];
  if (!input) return false;
  input.checked = true;
  input.focus();
  return true;
};
const rows = () => [...form().querySelectorAll(".criterion")];

// A number chooses on the scale; in a rating on the criterion at hand, and goes on to the next one.
const number = (value) => {
  if (!rows().length) return value <= 7 && choose(form().querySelectorAll(".scale input"), value);
  const row = rows().find((each) => each.contains(document.activeElement)) ?? rows().find((each) => !each.querySelector(":checked")) ?? rows()[0];
  if (!choose(row.querySelectorAll("input"), value)) return false;
  rows()[rows().indexOf(row) + 1]?.querySelector("input:checked, input").focus();
  return true;
};
const follow = (selector) => { one(selector)?.click(); return Boolean(one(selector)); };

const actions = {
  tie: () => choose(form().querySelectorAll(".scale input"), 4),
  both_bad: () => choose(form().querySelectorAll(".scale input"), 8),
  submit: () => { form().requestSubmit(); return true; },
  skip: () => follow("[data-later]"),
  undo: () => follow("[data-undo]"),
  why: () => { form().elements.note.focus(); return true; },
  guidelines: () => follow("[data-guidelines]"),
};
for (let value = 1; value <= 7; value++) actions[`choice_${value}`] = () => number(value);

const act = (event) => {
  const target = event.target;
  if (!form() || event.isComposing || event.altKey || event.repeat || target.closest("select")) return false;
  if (event.ctrlKey || event.metaKey) return event.key === "Enter" && actions.submit();
  const isWriting = target.matches("textarea, input:not([type=radio], [type=checkbox])");
  if (isWriting && event.key === "Escape") { target.blur(); return true; }
  const isSingle = event.key.length === 1;
  if (isWriting || (isSingle && localStorage.getItem("single-keys") === "off")) return false;
  if (event.key === "Enter" && target.closest("a, button, summary")) return false;
  const key = isSingle ? event.key.toLowerCase() : event.key;
  const action = actions[actionOf.get(key)];
  if (action) return action();
  if (CAUSES.includes(key)) return choose(form().querySelectorAll("[name=cause]"), CAUSES.indexOf(key) + 1);
  return /^[1-9]$/.test(key) && number(Number(key));
};
document.addEventListener("keydown", (event) => { if (act(event)) event.preventDefault(); });

// The next disagreement arrived: attention goes to its question, not to where the note of the one before was written.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.elt !== document.body) return;
  (one("#verdict .notice.bad") ?? one(".conversation") ?? byId("main")).focus();
});
