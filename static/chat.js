// A chat's page. What is typed is kept in this browser until it is sent; Ctrl + Enter sends; when the answers are there,
// what can be done next gets the focus that the Stop button had.

import { forget, keep, kept } from "./kept.js";

const form = () => document.getElementById("say");
const field = () => form()?.elements.text;
const name = () => form().dataset.keep;

const restore = () => { if (form() && !field().value) field().value = kept(name()) ?? ""; };
document.addEventListener("input", (event) => {
  if (event.target !== field()) return;
  if (event.target.value) keep(name(), event.target.value); else forget(name());
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.isComposing || event.target !== field()) return;
  event.preventDefault();
  form().requestSubmit();
});

// Sent twice is said once, but a second click need not wait for the first.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "yes";
});
addEventListener("pageshow", () => { for (const each of document.forms) delete each.dataset.sent; });

let hadFocus = false;
document.addEventListener("htmx:oobBeforeSwap", () => { hadFocus = document.getElementById("foot").contains(document.activeElement); });
document.addEventListener("htmx:oobAfterSwap", () => {
  restore();
  if (hadFocus) document.getElementById("foot").focus();
  hadFocus = false;
});
restore();
// After something was sent one goes on typing; not on a phone, whose keyboard would cover what there is to read.
if (location.hash && form() && matchMedia("(hover: hover)").matches) field().focus({ preventScroll: true });
