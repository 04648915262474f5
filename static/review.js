// A blind vote by one hand, with the keys of the task page: a key chooses, Enter votes, Enter again goes on to the next.

const one = (selector) => document.querySelector(selector);
const actionOf = new Map(Object.entries(JSON.parse(one("#key-bindings").textContent)).map(([action, key]) => [key, action]));
const CHOICES = { tie: "tie", choice_1: "first", choice_2: "first", choice_3: "first", choice_4: "tie", choice_5: "second", choice_6: "second", choice_7: "second" };

const choose = (value) => { one(`[name=choice][value=${value}]`)?.focus(); return Boolean(one("[name=choice]")); };
const actions = {
  submit: () => {
    const next = document.activeElement.matches("[name=choice]") ? document.activeElement : one("[data-next]");
    next?.click();
    return Boolean(next);
  },
  why: () => { one("[name=text]")?.focus(); return Boolean(one("[name=text]")); },
};
for (const [action, value] of Object.entries(CHOICES)) actions[action] = () => choose(value);

const act = (event) => {
  const target = event.target;
  if (event.isComposing || event.altKey || event.repeat || event.ctrlKey || event.metaKey) return false;
  if (target.matches("textarea, select, input:not([type=checkbox])")) {
    if (event.key === "Escape") target.blur();
    return false;
  }
  const isSingle = event.key.length === 1;
  if (isSingle && localStorage.getItem("single-keys") === "off") return false;
  if (event.key === "Enter" && target.closest("a, button, summary")) return false;
  const key = isSingle ? event.key.toLowerCase() : event.key;
  const action = actionOf.get(key) ?? (key === "Enter" ? "submit" : /^[1-7]$/.test(key) ? `choice_${key}` : undefined);
  return Boolean(actions[action]?.());
};
document.addEventListener("keydown", (event) => { if (act(event)) event.preventDefault(); });
