// The task page by one hand, and the time at work. Without this file the page still works by mouse and Tab.

const IDLE_AFTER = 60_000; // milliseconds without a sign of life after which nobody is at work
const byId = (id) => document.getElementById(id);
const one = (selector) => document.querySelector(selector);
const isWriting = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");

// --- Time at work: the gaps between signs of life, idle ones left out ---
let active = 0, lastSign = performance.now();
const sign = () => {
  const now = performance.now();
  if (now - lastSign < IDLE_AFTER) active += now - lastSign;
  lastSign = now;
};
for (const name of ["keydown", "pointermove", "pointerdown", "wheel", "touchmove"])
  document.addEventListener(name, sign, { passive: true, capture: true });
document.addEventListener("visibilitychange", () => { document.hidden ? sign() : (lastSign = performance.now()); });
const stampTime = (form) => { sign(); if (form.elements.active_seconds) form.elements.active_seconds.value = (active / 1000).toFixed(1); };
document.addEventListener("submit", (event) => { if (event.target.id === "judgment") stampTime(event.target); }, true);

// --- Choosing and sending ---
const choose = (input) => {
  input.checked = true;
  input.focus();
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const FLAGS = "details.tool[open] input[type=checkbox]";
const rows = () => [...document.querySelectorAll(".criterion")];
const digit = (number) => {
  if (byId("skip")?.matches(":popover-open")) return pick(byId("skip").querySelectorAll("input[type=radio]"), number);
  if (one(FLAGS)) { document.querySelectorAll(FLAGS)[number - 1]?.click(); return true; } // never the scale behind the panel
  if (!rows().length) return number <= 7 && pick(document.querySelectorAll(".scale input"), number);
  const row = rows().find((each) => each.contains(document.activeElement)) ?? rows().find((each) => !each.querySelector(":checked")) ?? rows()[0];
  if (!pick(row.querySelectorAll("input"), number)) return false;
  rows()[rows().indexOf(row) + 1]?.querySelector("input:checked, input").focus();
  return true;
};
const pick = (inputs, number) => { if (inputs[number - 1]) choose(inputs[number - 1]); return Boolean(inputs[number - 1]); };
const submit = () => {
  const open = one("#skip:popover-open form"), form = open ?? byId("judgment");
  if (!form) return false;
  if (!open && !form.checkValidity()) byId("hint").textContent = byId("hint").dataset.incomplete;
  form.requestSubmit();
  return true;
};
const unfold = (details) => { details.open = true; details.querySelector("textarea, input").focus(); return true; };
const press = (selector) => { one(selector)?.click(); return Boolean(one(selector)); };
const scroll = (step) => { one(".answers")?.scrollBy({ top: step * 160 }); return true; };

const keys = {
  t: () => pick(document.querySelectorAll(".scale input"), 4),
  x: () => pick(document.querySelectorAll(".scale input"), 8),
  s: () => { byId("skip")?.showPopover(); byId("skip")?.querySelector("input[type=radio]").focus(); return Boolean(byId("skip")); },
  f: () => unfold(document.querySelectorAll("details.tool")[0]),
  n: () => unfold(document.querySelectorAll("details.tool")[1]),
  e: () => { const all = document.querySelectorAll("details.correct"); for (const each of all) each.open = true; unfold(all[0]); all[0].scrollIntoView({ block: "center" }); return true; },
  u: () => press("button[form=undo]"),
  g: () => press("[popovertarget=guidelines]"),
  "?": () => press("[popovertarget=keys]"),
  j: () => scroll(1), k: () => scroll(-1),
  Enter: submit,
};
const act = (event) => {
  const target = event.target;
  if (event.isComposing || event.altKey || target.closest("select")) return false;
  if (event.ctrlKey || event.metaKey) return event.key === "Enter" && submit();
  const panel = target.closest("details[open]") ?? (one(":popover-open") ? null : one("details.tool[open]"));
  if (event.key === "Escape" && (panel || isWriting(target))) { panel?.removeAttribute("open"); target.blur(); return true; }
  if (isWriting(target) || (event.key.length === 1 && !singleKeys())) return false;
  if (event.key === "Enter" && target.closest("a, button, summary")) return false;
  if (one(".drawer:popover-open, #keys:popover-open")) return false;
  if (/^[1-9]$/.test(event.key)) return digit(Number(event.key));
  if (one("#skip:popover-open") && event.key !== "Enter") return false;
  return byId("judgment") || "ug?".includes(event.key) ? keys[event.key.length === 1 ? event.key.toLowerCase() : event.key]?.() : false;
};
document.addEventListener("keydown", (event) => { if (act(event)) event.preventDefault(); });
document.addEventListener("change", () => { if (byId("hint")) byId("hint").textContent = ""; });
document.addEventListener("click", (event) => { if (event.target.closest("[data-correct]")) keys.e(); });

// Single keys can be switched off, for people whose speech input or tremor presses them by accident.
const singleKeys = (value) => {
  if (value !== undefined) localStorage.setItem("single-keys", value ? "on" : "off");
  return localStorage.getItem("single-keys") !== "off";
};
byId("single-keys").checked = singleKeys();
byId("single-keys").closest("p").hidden = false;
byId("single-keys").addEventListener("change", (event) => singleKeys(event.target.checked));

// --- A task arrived: its time starts, readers are told, the newest turn of the conversation is in sight ---
const arrived = () => {
  active = 0; lastSign = performance.now();
  one(".conversation")?.scrollTo({ top: one(".conversation").scrollHeight });
};
arrived();
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "task") return;
  byId("announcement").textContent = byId("task").dataset.announce;
  (one("#task .notice.bad") ?? one("#task h1")).focus({ preventScroll: true });
  if (event.detail.xhr.status !== 422) arrived();
});
