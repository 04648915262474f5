// What the person types and chooses is kept in this browser as they go, so that a reload or a login on the way costs
// none of it. A draft belongs to one assignment and goes when that was sent.

import { forget, keep, kept } from "./kept.js";
import { person } from "./server.js";

const form = () => document.getElementById("judgment");
const nameOf = (assignment) => `draft:${person}:${assignment}`;
const UNKEPT = new Set(["csrfmiddlewaretoken", "submission_key"]);

const values = () => {
  const found = {};
  for (const [name, value] of new FormData(form())) if (!UNKEPT.has(name)) (found[name] ??= []).push(value);
  return found;
};
const restore = () => {
  const draft = form() && kept(nameOf(document.getElementById("task").dataset.assignment));
  if (!draft) return;
  for (const control of form().elements) {
    if (!control.name || UNKEPT.has(control.name)) continue;
    const given = draft[control.name] ?? [];
    if (control.matches("[type=radio], [type=checkbox]")) control.checked = given.includes(control.value);
    else if (given.length) control.value = given[0];
    const correction = control.closest("details.correct");
    if (correction && control.value !== control.defaultValue) correction.open = true;
  }
  document.dispatchEvent(new CustomEvent("task:restored"));
};

for (const name of ["input", "change"])
  document.addEventListener(name, (event) => {
    if (event.target.form === form() && form()) keep(nameOf(document.getElementById("task").dataset.assignment), values());
  });
document.addEventListener("task:sent", (event) => forget(nameOf(event.detail)));
document.addEventListener("task:arrived", restore);
restore();
