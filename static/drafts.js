// What the person types and chooses is kept as they go: at once in this browser, a moment later on the server, from where
// any browser of theirs brings it back. While the person is at work, everything the page holds stays lent to them.

import { isAtWork, stamp } from "./clock.js";
import * as hand from "./hand.js";
import { forget, keep, kept } from "./kept.js";
import { ask, person, say } from "./server.js";

const PAUSE = 1000; // milliseconds after the last key before the server is told
const LONGEST = 300_000; // between two signs of life to the server
const UNKEPT = new Set(["csrfmiddlewaretoken", "submission_key"]);
const lease = Number(document.getElementById("connection").dataset.lease) * 1000;

// The form and the task it belongs to are those in the document: while one task gives place to another, the hand has
// moved on already, and what was typed into the one must never become a draft of the other.
const form = () => document.getElementById("judgment");
const section = () => document.getElementById("task");
const front = () => section().dataset;
const nameOf = (assignment) => `draft:${person}:${assignment}`;

const values = () => {
  const found = {};
  for (const [name, value] of new FormData(form())) if (!UNKEPT.has(name)) (found[name] ??= []).push(value);
  return found;
};
// The copy in this browser is there only while the server has not got it, so it is the newer one.
const restore = () => {
  const draft = form() && kept(nameOf(front().assignment));
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
  plan();
};

// --- To the server: the draft when something changed, and that the person is at work ---
let timer, last = performance.now(), isChanged = false;
const plan = () => { isChanged = true; clearTimeout(timer); timer = setTimeout(tell, PAUSE); };
const tell = async () => {
  const { assignment, draft: address } = front();
  if (!address || !form()) return;
  stamp();
  const text = JSON.stringify(values()), body = new URLSearchParams(new FormData(form()));
  for (const id of hand.ids()) body.append("held", id);
  if (isChanged) body.append("changed", "1");
  isChanged = false; last = performance.now();
  const answer = await ask(address, { body });
  if (front().assignment !== assignment) return; // sent in the meantime
  if (answer.outcome !== "kept") { isChanged = true; timer = setTimeout(tell, LONGEST / 10); if (answer.outcome !== "change") say(answer.outcome); return; }
  if (form() && JSON.stringify(values()) === text) forget(nameOf(assignment));
  tidy(JSON.parse(answer.text), assignment);
};
// What waits behind and is not the person's any more is dropped; of what is in front they are told, and keep it.
const tidy = ({ lost, done }, assignment) => {
  for (const id of [...lost, ...done].map(String)) if (id !== assignment) hand.drop(id);
  say(lost.map(String).includes(assignment) ? "lost" : done.map(String).includes(assignment) ? "done" : "");
};
const stayLent = () => { if (isAtWork() && performance.now() - last > Math.min(lease / 3, LONGEST)) tell(); };
setInterval(stayLent, Math.min(lease / 12, LONGEST / 4));

for (const name of ["input", "change"])
  document.addEventListener(name, (event) => {
    if (!form() || event.target.form !== form()) return;
    // A field that has the focus when its task leaves says "change": that task is sent.
    if (section() !== hand.front()) return;
    keep(nameOf(front().assignment), values());
    plan();
  });
document.addEventListener("task:sent", (event) => { clearTimeout(timer); isChanged = false; forget(nameOf(event.detail)); });
document.addEventListener("task:leaving", () => { clearTimeout(timer); if (isChanged) tell(); });
document.addEventListener("task:arrived", () => { last = performance.now(); restore(); });
restore();
