// A field for a key takes the key that is pressed in it. Tab, Shift, Esc and the deleting keys go on meaning what they do.

document.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches("[data-key]") || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key.length !== 1 || event.key === " ") return; // Enter sends the form, as everywhere
  event.preventDefault();
  field.value = event.key.toLowerCase();
  field.dispatchEvent(new Event("change", { bubbles: true }));
});
