// Judgments and skips on their way to the server, in the order they were made. Each is kept in the browser until the
// server has answered it, so a lost network, a reload or a new login loses none; its submission key makes sending it
// twice harmless. Only the person who made it sends it.

import { forget, keep, kept, names } from "./kept.js";
import { ask, person, say } from "./server.js";

const PREFIX = `outbox:${person}:`;
const FIRST_PAUSE = 2000, LONGEST_PAUSE = 30_000; // milliseconds before trying again
const KEEPALIVE_LIMIT = 60_000; // bytes that a browser sends on after the page is left

let count = 0, pause = FIRST_PAUSE, timer, running, isStuck = false;
let handlers = {};

// handlers: asked(entry, others) gives what goes with an entry; kept, change and refused take its outcome; sent() is
// called whenever nothing is left. Without change, what must be changed first stays for a page that can show it.
export const open = (given) => { handlers = given; show(); return flush(); };
export const add = (entry) => {
  keep(`${PREFIX}${Date.now()}-${String(count++).padStart(4, "0")}`, entry);
  show();
  return flush();
};
// What the server will not take stays in sight, for the person to copy.
const typed = (entry) => entry.fields.filter(([name]) => !/token|key|seconds/.test(name)).map(([, value]) => value).join("\n");
export const leaveText = (entry) => {
  const place = document.getElementById("refused-text");
  place.textContent = [place.textContent, typed(entry)].filter(Boolean).join("\n\n");
  place.hidden = false;
};
export const unsent = () => names(PREFIX).map((name) => ({ name, ...kept(name) }));

const show = () => {
  const place = document.getElementById("unsent"), num = names(PREFIX).length;
  place.hidden = !isStuck || num === 0;
  place.lastElementChild.textContent = num;
};

// One tab sends at a time, so that the order holds across tabs. Without locks (plain http) the keys alone protect.
const alone = (work) => (navigator.locks ? navigator.locks.request(PREFIX, work) : work());
const sendAll = async () => { for (let entry; (entry = unsent()[0]) && (await send(entry)); ); };

export const flush = () => {
  clearTimeout(timer);
  running ??= alone(sendAll).finally(() => {
    running = undefined;
    if (!unsent().length) handlers.sent();
    else if (!isStuck) flush(); // added while the lock was being given back
  });
  return running;
};

const send = async (entry) => {
  const body = new URLSearchParams(entry.fields);
  const others = unsent().filter((each) => each.name !== entry.name).map((each) => each.assignment);
  for (const [name, value] of handlers.asked(entry, others)) body.append(name, value);
  const answer = await ask(entry.address, { body, keepalive: String(body).length < KEEPALIVE_LIMIT });
  const isForLater = answer.outcome === "login" || answer.outcome === "unreachable";
  isStuck = isForLater || !handlers[answer.outcome];
  if (isStuck) say(answer.outcome);
  if (isForLater) {
    timer = setTimeout(flush, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
  if (!isStuck) {
    say("");
    pause = FIRST_PAUSE;
    forget(entry.name);
    handlers[answer.outcome](entry, answer.page);
  }
  show();
  return !isStuck;
};

for (const name of ["online", "focus"]) addEventListener(name, () => flush());
addEventListener("storage", (event) => { if (event.key?.startsWith(PREFIX)) show(); });
document.addEventListener("click", (event) => { if (event.target.closest("[data-retry]")) flush(); });
