// Draws a run's curves with Bokeh, and while the run goes on adds the new points every two seconds.
"use strict";

const curves = document.getElementById("curves");
const sources = new Map(); // "chart:metric" → Bokeh's source of that line
const plots = []; // [the chart's element, Bokeh's figure]

// Colours are the style sheet's, so that both themes work: a line wears the colour of its swatch in the legend.
function paint() {
  for (const [figure, plot] of plots) {
    const { borderTopColor: faint, fontFamily: font } = getComputedStyle(figure);
    const { color: muted } = getComputedStyle(figure.querySelector(".legend"));
    for (const axis of [...plot.below, ...plot.left]) {
      axis.setv({ axis_label_text_color: muted, major_label_text_color: muted, axis_line_color: faint,
        major_tick_line_color: faint, axis_label_text_font: font, major_label_text_font: font });
    }
    for (const grid of plot.center) grid.grid_line_color = faint;
    for (const { name, glyph } of plot.renderers) {
      const { color } = getComputedStyle(figure.querySelector(`[data-metric="${name}"] .swatch`));
      glyph.line_color = color;
      if ("fill_color" in glyph) glyph.fill_color = color;
    }
  }
}

// A chart is drawn when its first point comes; until then its place says that nothing was measured.
async function draw(figure, lines) {
  const item = JSON.parse(figure.querySelector("script").textContent);
  const drawn = Bokeh.require("document/document").Document.from_json(item.doc);
  const plot = drawn.roots()[0];
  for (const { data_source: source } of plot.renderers) {
    sources.set(source.name, source);
    if (lines[source.name]) source.data = lines[source.name];
  }
  plots.push([figure, plot]);
  paint();
  const place = figure.querySelector(".canvas");
  place.replaceChildren();
  await Bokeh.embed.add_document_standalone(drawn, place);
}

async function add(lines) {
  for (const figure of curves.querySelectorAll(".chart")) {
    const places = [...figure.querySelectorAll("[data-source]")].filter(({ dataset }) => lines[dataset.source]);
    if (!places.length) continue;
    const isNew = !sources.has(places[0].dataset.source);
    if (isNew) await draw(figure, lines);
    for (const place of places) {
      const name = place.dataset.source;
      if (!isNew) sources.get(name).stream(lines[name]);
      place.textContent = Number(lines[name].y.at(-1).toPrecision(3));
      place.dataset.points = sources.get(name).get_length();
    }
  }
}

// The server sends only what lies after the last step that is here, and says when there will be no more.
async function follow(after) {
  let wait = 2000;
  try {
    const answer = await fetch(`${curves.dataset.points}?after=${after}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const found = await answer.json();
    await add(found.lines);
    after = found.after;
    if (found.is_finished) { curves.dataset.finished = "true"; return; }
  } catch (error) {
    wait = 10_000; // the server is away, or restarts: the curves stay, and go on when it is back
    console.warn("curves:", error.message);
  }
  setTimeout(follow, wait, after);
}

if (curves) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  follow(-1);
}
