// What every page needs beside htmx. The keyboard of the task page is in annotate.js, curves are in charts.js.

const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);

// The token of the cookie wins over the one printed into the page: somebody whose login expired logs in again in
// another tab, which changes the token, and the text they typed here can still be sent.
document.addEventListener("htmx:configRequest", (event) => {
  const token = cookie("csrftoken");
  if (!token || event.detail.verb === "get") return;
  event.detail.headers["X-CSRFToken"] = token;
  event.detail.parameters.delete?.("csrfmiddlewaretoken");
});

// A request that failed leaves the page as it is, with a sentence; nothing typed is lost.
const say = (text) => {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = !text;
};
document.addEventListener("htmx:beforeRequest", () => say(""));
// The sentences are the body's, or those of what asked: what asks again by itself says so.
const sentence = (event, name) => event.target.closest(`[data-${name}]`).dataset[name];
document.addEventListener("htmx:sendError", (event) => say(sentence(event, "unreachable")));
document.addEventListener("htmx:timeout", (event) => say(sentence(event, "unreachable")));
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  say(sentence(event, status === 401 || status === 403 ? "refused" : "failed"));
});

// Menus close when the attention goes elsewhere; a language is set as soon as it is chosen.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit-on-change]")) event.target.form.requestSubmit();
});
document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-select-on-focus]")) event.target.select();
});

// A bar of links that is too wide for the screen begins where the open page's link is.
for (const link of document.querySelectorAll("nav [aria-current=page]")) {
  const bar = link.parentElement;
  bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
}
