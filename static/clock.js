// Time at work on the task in front: the gaps between signs of life, idle ones left out. It goes with the task, in a
// field of its form, so a task that is put aside and comes back goes on counting where it was.

const IDLE_AFTER = 60_000; // milliseconds without a sign of life after which nobody is at work
let active = 0, lastSign = performance.now();

const field = () => document.querySelector("#judgment [name=active_seconds]");
const sign = () => {
  const now = performance.now();
  if (now - lastSign < IDLE_AFTER) active += now - lastSign;
  lastSign = now;
};
export const isAtWork = () => !document.hidden && performance.now() - lastSign < IDLE_AFTER;
// Not itself a sign of life: drafts are stamped by the clock, too, while nobody is there.
export const stamp = () => {
  const since = performance.now() - lastSign;
  if (field()) field().value = ((active + (since < IDLE_AFTER ? since : 0)) / 1000).toFixed(1);
};
const start = () => { active = 1000 * (Number(field()?.value) || 0); lastSign = performance.now(); };

for (const name of ["keydown", "pointermove", "pointerdown", "wheel", "touchmove"])
  document.addEventListener(name, sign, { passive: true, capture: true });
document.addEventListener("visibilitychange", () => { document.hidden ? sign() : (lastSign = performance.now()); });
document.addEventListener("submit", (event) => { if (event.target.id === "judgment") stamp(); }, true);
document.addEventListener("task:leaving", stamp);
document.addEventListener("task:arrived", start);
start();
