// Texts typed into a task are kept in this tab as they are typed, so that a reload, a login on the way or a crash of the
// server costs none. A draft belongs to one assignment (the form's address) and goes when the task was sent.

const draftKey = (form) => `draft:${form.getAttribute("action")}`;
const texts = (form) => [...form.querySelectorAll("textarea")];

const keepDraft = (form) => {
  const changed = texts(form).filter((text) => text.value !== text.defaultValue).map((text) => [text.name, text.value]);
  if (changed.length) sessionStorage.setItem(draftKey(form), JSON.stringify(Object.fromEntries(changed)));
  else sessionStorage.removeItem(draftKey(form));
};
const restoreDraft = () => {
  const form = document.getElementById("judgment");
  const draft = form && sessionStorage.getItem(draftKey(form));
  if (!draft) return;
  const kept = JSON.parse(draft);
  for (const text of texts(form)) {
    if (!(text.name in kept)) continue;
    text.value = kept[text.name];
    const correction = text.closest("details.correct");
    if (correction) correction.open = true;
  }
};

document.addEventListener("input", (event) => { if (event.target.matches("#judgment textarea")) keepDraft(event.target.form); });
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.elt;
  if (event.detail.successful && form.matches("#judgment")) sessionStorage.removeItem(draftKey(form));
});
document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "task") restoreDraft(); });
restoreDraft();
