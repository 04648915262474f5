// The task page. What the person says is put into the outbox and the next task, fetched ahead, is shown at once; the
// answer to what was sent brings one more. Without this file the page still works, a redirect for each task.

import * as hand from "./hand.js";
import * as outbox from "./outbox.js";
import { ask, more as address, project, say } from "./server.js";
import "./clock.js";
import "./drafts.js";
import "./keys.js";

const byId = (id) => document.getElementById(id);
const left = new Map(); // the sections whose answers are on their way, by assignment: they come back if refused
const sent = new Set(); // those that were sent from here: an answer that was slow may bring one of them again
const AGAIN = 5000; // milliseconds before asking again for a task that could not be fetched

// --- What comes from the server ---
const receive = (page, { isLate = false } = {}) => {
  const answer = page.getElementById("answer");
  if (!isLate) byId("today").replaceWith(document.adoptNode(page.getElementById("today")));
  // Said once: the fetch of one more task, which says nothing, does not take back what a screen reader is about to read.
  if (answer.dataset.said) byId("announcement").textContent = answer.dataset.said;
  const notice = answer.querySelector(":scope > .notice");
  if (notice) { byId("notice").firstElementChild.textContent = notice.textContent; byId("notice").hidden = false; }
  const section = page.getElementById("task");
  if (!section || sent.has(section.dataset.assignment)) return false;
  return hand.bring(document.adoptNode(section));
};
const comeBack = (section) => {
  sent.delete(section.dataset.assignment);
  hand.putBack(document.adoptNode(section));
  document.querySelector("#task [role=alert]")?.focus();
};

let isAsking = false, turns = 0; // how often something was sent or answered
const answered = (page) => { turns++; return receive(page); };
const more = async () => {
  if (isAsking || !hand.wantsMore() || outbox.unsent().length) return;
  isAsking = true;
  const before = turns;
  const answer = await ask(`${address}?${new URLSearchParams(hand.ids().map((id) => ["held", id]))}`);
  isAsking = false;
  const isLate = turns !== before; // it may know nothing of what was sent, or answered, in the meantime
  if (answer.outcome !== "kept") { say(answer.outcome); setTimeout(more, AGAIN); return; }
  say("");
  if (receive(answer.page, { isLate }) || isLate) more();
};

// --- What goes to the server ---
// A correction that was left as it is says nothing, and is two thirds of what would be sent.
const said = (form) => [...new FormData(form)].filter(([name, value]) => {
  const field = form.elements[name]; // a draft's text came with the page, and is a correction
  return !name.includes("correction") || "corrected" in field.dataset || value.replace(/\r\n/g, "\n") !== field.defaultValue;
});
const send = (form) => {
  const assignment = hand.front().dataset.assignment;
  const entry = { address: form.getAttribute("action"), assignment, project, fields: said(form) };
  byId("notice").hidden = true;
  byId("announcement").textContent = "";
  document.dispatchEvent(new CustomEvent("task:sent", { detail: assignment }));
  turns++;
  sent.add(assignment);
  left.set(assignment, hand.advance());
  outbox.add(entry);
};
let isUndoing = false;
const undo = async (form) => {
  if (isUndoing) return;
  isUndoing = true;
  turns++;
  await outbox.flush();
  const answer = outbox.unsent().length ? { outcome: "waiting" } : await ask(form.getAttribute("action"), { body: new FormData(form) });
  isUndoing = false;
  say(answer.outcome === "kept" ? "" : answer.outcome);
  if (answer.outcome !== "kept") return;
  const reopened = answer.page.querySelector("#task[data-assignment]");
  reopened?.remove();
  answered(answer.page);
  if (reopened) comeBack(reopened);
};
const acknowledge = async (form) => {
  const body = new FormData(form);
  for (const id of hand.ids()) body.append("held", id);
  body.append("ahead", "1");
  const answer = await ask(form.getAttribute("action"), { body });
  say(answer.outcome === "kept" ? "" : answer.outcome);
  if (answer.outcome === "kept" && answered(answer.page)) more();
};
const SENDERS = { undo, acknowledge };
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!SENDERS[form.id] && !form.closest("#task[data-assignment]")) return;
  event.preventDefault();
  (SENDERS[form.id] ?? send)(form);
});

for (const { assignment } of outbox.unsent()) { sent.add(assignment); hand.drop(assignment); } // said before a reload
outbox.open({
  asked: (entry, others) => [
    ...[...new Set([...hand.ids(), ...others])].map((id) => ["held", id]),
    ...(entry.project === project && hand.wantsMore() ? [["ahead", "1"]] : []),
  ],
  kept: (entry, page) => { left.delete(entry.assignment); if (entry.project === project) answered(page); },
  change: (entry, page) => { left.delete(entry.assignment); comeBack(page.getElementById("task")); },
  refused: (entry) => {
    say("refused");
    if (left.has(entry.assignment)) comeBack(left.get(entry.assignment));
    else outbox.leaveText(entry);
    left.delete(entry.assignment);
  },
  sent: more,
});

// --- A task came to the front ---
document.addEventListener("task:arrived", () => {
  const conversation = document.querySelector(".conversation");
  conversation?.scrollTo({ top: conversation.scrollHeight, behavior: "instant" });
  scrollTo({ top: 0, behavior: "instant" });
  if (!document.querySelector("body > main > :popover-open")) hand.front().focus({ preventScroll: true });
  if (!hand.front().dataset.assignment) more(); // there may be one by now
});
byId("notice").querySelector("button").addEventListener("click", () => { byId("notice").hidden = true; });
addEventListener("focus", more);
