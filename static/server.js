// Asking the server, and what its answer means for what was sent: kept, to be changed, refused, or to be sent later.

const about = document.getElementById("connection").dataset;
export const person = about.person, project = about.project, more = about.more;
const SECONDS = 30;

const cookie = (name) => document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);

// The person the page was made for goes with every request: what they said is never taken for another's who has logged
// in meanwhile. The token is read from the cookie, because a new login changes it.
const headers = () => ({ "HX-Request": "true", "Plumbline-Person": person, "X-CSRFToken": cookie("csrftoken") ?? "" });

// The outcome: "kept" and "change" bring the page's fragment; "login" and "unreachable" may be tried again as it was.
export const ask = async (address, { body, keepalive = false } = {}) => {
  body?.delete("csrfmiddlewaretoken"); // the form's own may be from before a new login, and would win over the header
  let response, text;
  try {
    response = await fetch(address, {
      method: body ? "POST" : "GET", body, keepalive, redirect: "manual", cache: "no-store",
      headers: headers(), signal: AbortSignal.timeout(SECONDS * 1000),
    });
    text = await response.text();
  } catch { return { outcome: "unreachable" }; }
  if (response.ok) return { outcome: "kept", page: parse(text), text };
  if (response.status === 422) return { outcome: "change", page: parse(text) };
  if (response.type === "opaqueredirect" || [401, 403, 409].includes(response.status)) return { outcome: "login" };
  if (response.status >= 500 || [408, 425, 429].includes(response.status)) return { outcome: "unreachable" };
  return { outcome: "refused" };
};
const parse = (text) => new DOMParser().parseFromString(text, "text/html");

// One sentence at a time about the way to the server; "" when all is well.
export const say = (trouble) => {
  for (const each of document.querySelectorAll("[data-trouble]")) each.hidden = each.dataset.trouble !== trouble;
};
