// Charts on paper: a page has another width there, and nothing waits for Bokeh to draw anew. What is on the screen is copied.

const canvases = (root) => [...root.querySelectorAll("*")].flatMap((each) =>
  [...(each instanceof HTMLCanvasElement ? [each] : []), ...(each.shadowRoot ? canvases(each.shadowRoot) : [])]);

function copy(figure) {
  const place = figure.querySelector(".canvas"), { left, top, width, height } = place.getBoundingClientRect();
  const picture = Object.assign(document.createElement("canvas"), { className: "on-paper", width: 2 * width, height: 2 * height });
  const pen = picture.getContext("2d");
  pen.scale(2, 2);
  if (matchMedia("(prefers-color-scheme: dark)").matches) pen.filter = "invert(1) hue-rotate(180deg)"; // paper is white
  for (const each of canvases(place)) {
    const box = each.getBoundingClientRect();
    if (box.width && each.width) pen.drawImage(each, box.left - left, box.top - top, box.width, box.height);
  }
  place.append(picture);
}

addEventListener("beforeprint", () => document.querySelectorAll(".chart[data-drawn]").forEach(copy));
addEventListener("afterprint", () => document.querySelectorAll(".on-paper").forEach((picture) => picture.remove()));
