// The task page by one hand. Which key does what is the person's choice (account/keys/); digits always choose.

const byId = (id) => document.getElementById(id);
const one = (selector) => document.querySelector(selector);
const isWriting = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");
const bindings = JSON.parse(byId("key-bindings").textContent);
const actionOf = new Map(Object.entries(bindings).map(([action, key]) => [key, action]));

const choose = (input) => {
  input.checked = true;
  input.focus();
  input.dispatchEvent(new Event("change", { bubbles: true }));
};
const pick = (inputs, number) => { if (inputs[number - 1]) choose(inputs[number - 1]); return Boolean(inputs[number - 1]); };
const PANEL = "details.tool[open] input[type=checkbox]";
const rows = () => [...document.querySelectorAll(".criterion")];

// A number chooses in what is open: a reason for skipping, a flag; else in the task itself.
const number = (value) => {
  if (byId("skip")?.matches(":popover-open")) return pick(byId("skip").querySelectorAll("input[type=radio]"), value);
  if (one(PANEL)) { document.querySelectorAll(PANEL)[value - 1]?.click(); return true; } // never the scale behind the panel
  if (!rows().length) return value <= 7 && pick(document.querySelectorAll(".scale input"), value);
  const row = rows().find((each) => each.contains(document.activeElement)) ?? rows().find((each) => !each.querySelector(":checked")) ?? rows()[0];
  if (!pick(row.querySelectorAll("input"), value)) return false;
  rows()[rows().indexOf(row) + 1]?.querySelector("input:checked, input").focus();
  return true;
};
const submit = () => {
  const open = one("#skip:popover-open form"), form = open ?? byId("judgment") ?? byId("acknowledge");
  if (!form) return false;
  if (form.id === "judgment" && !form.checkValidity()) byId("hint").textContent = byId("hint").dataset.incomplete;
  form.requestSubmit();
  return true;
};
const unfold = (details) => { if (!details) return false; details.open = true; details.querySelector("textarea, input").focus(); return true; };
const press = (selector) => { one(selector)?.click(); return Boolean(one(selector)); };
const scroll = (step) => { one(".answers")?.scrollBy({ top: step * 160 }); return true; };
const correct = () => {
  const all = document.querySelectorAll("details.correct");
  for (const each of all) each.open = true;
  if (!unfold(all[0])) return false;
  all[0].scrollIntoView({ block: "center" });
  return true;
};
const skip = () => { byId("skip")?.showPopover(); byId("skip")?.querySelector("input[type=radio]").focus(); return Boolean(byId("skip")); };

const actions = {
  tie: () => pick(document.querySelectorAll(".scale input"), 4),
  both_bad: () => pick(document.querySelectorAll(".scale input"), 8),
  submit, skip, correct,
  flag: () => unfold(one("[data-tool=flag]")),
  why: () => unfold(one("[data-tool=why]")),
  undo: () => press("button[form=undo]"),
  guidelines: () => press("[popovertarget=guidelines]"),
  keys: () => press("[popovertarget=keys]"),
  down: () => scroll(1), up: () => scroll(-1),
};
for (let value = 1; value <= 7; value++) actions[`choice_${value}`] = () => number(value);

// On a keyboard of another script the letter's place counts where its sign means nothing here.
const keyOf = (event) => {
  if (event.key.length !== 1) return event.key;
  const key = event.key.toLowerCase();
  return actionOf.has(key) ? key : /^Key[A-Z]$/.test(event.code) && key > "\x7f" ? event.code.at(-1).toLowerCase() : key;
};
const act = (event) => {
  const target = event.target;
  if (event.isComposing || event.altKey || target.closest("select")) return false;
  if (event.ctrlKey || event.metaKey) return event.key === "Enter" && !event.repeat && submit();
  const panel = target.closest("details[open]") ?? (one(":popover-open") ? null : one("details.tool[open]"));
  if (event.key === "Escape" && (panel || isWriting(target))) { panel?.removeAttribute("open"); target.blur(); return true; }
  if (isWriting(target) || (event.key.length === 1 && !singleKeys())) return false;
  if (event.key === "Enter" && target.closest("a, button, summary")) return false;
  if (target.matches("[data-tool=why] input") && /^[^\d ]$/.test(event.key)) {
    one("[data-tool=why] textarea").focus(); // numbers choose reasons, anything else is the beginning of a text
    return false;
  }
  if (one(".drawer:popover-open, #keys:popover-open")) return false;
  const key = keyOf(event), action = actionOf.get(key) ?? (key === "Enter" ? "submit" : undefined);
  // A task of another kind may take the key for itself (it prevents the default of this event).
  const taken = !document.dispatchEvent(new CustomEvent("task:key", { cancelable: true, detail: { key, action } }));
  if (taken) return true;
  const value = /^[1-9]$/.test(key) && !action ? Number(key) : 0;
  if (!action && !value) return false;
  if (event.repeat && action !== "up" && action !== "down") return true; // a key held down says one thing once
  if (one("#skip:popover-open") && !value && !/^(submit|choice_.)$/.test(action ?? "")) return false;
  return value ? number(value) : Boolean(actions[action]?.());
};
document.addEventListener("keydown", (event) => { if (act(event)) event.preventDefault(); });
document.addEventListener("change", () => { if (byId("hint")) byId("hint").textContent = ""; });
document.addEventListener("click", (event) => { if (event.target.closest("[data-correct]")) correct(); });

// Single keys can be switched off, for people whose speech input or tremor presses them by accident.
const singleKeys = (value) => {
  if (value !== undefined) localStorage.setItem("single-keys", value ? "on" : "off");
  return localStorage.getItem("single-keys") !== "off";
};
const box = byId("single-keys");
if (box) {
  box.checked = singleKeys();
  box.closest("p").hidden = false;
  box.addEventListener("change", () => singleKeys(box.checked));
}
