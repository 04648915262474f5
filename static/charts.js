// Draws curves with Bokeh, of one run or of several over one another, and while a run goes on adds the new points every
// two seconds. Every [data-feed] is an address that is followed; with data-run its lines are that run's.
"use strict";

const curves = document.getElementById("curves");
const sources = new Map(); // "chart:metric" or "chart:metric:run" → Bokeh's source of that line
const plots = []; // [the chart's element, Bokeh's figure]
const waiting = new Map(); // the points of charts that are not drawn yet, by the names that their sources will have
const due = new Set(); // those charts

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
      if ("line_color" in glyph) glyph.line_color = color;
      if ("fill_color" in glyph) glyph.fill_color = color;
    }
  }
}

// A click on a curve leads to the page of the nearest step that it has; by keyboard, the table's steps do.
function leadToSteps(figure, plot, view) {
  figure.querySelector(".canvas").addEventListener("click", ({ clientX }) => {
    const start = view.el.getBoundingClientRect().left;
    const x = view.frame.x_scale.invert(clientX - start);
    const steps = plot.renderers.flatMap(({ data_source: source }) => [...(source.data.x ?? [])]);
    if (!steps.length) return;
    const step = steps.reduce((best, each) => (Math.abs(each - x) < Math.abs(best - x) ? each : best));
    location.assign(curves.dataset.step.replace("/0/", `/${step}/`));
  });
}

// A chart is drawn after its first point has come; until then its place says that nothing was measured.
async function draw(figure) {
  const item = JSON.parse(figure.querySelector("script").textContent);
  const drawn = Bokeh.require("document/document").Document.from_json(item.doc);
  const plot = drawn.roots()[0];
  for (const { data_source: source } of plot.renderers) {
    sources.set(source.name, source);
    if (waiting.has(source.name)) source.data = waiting.get(source.name);
    waiting.delete(source.name);
  }
  plots.push([figure, plot]);
  paint();
  const place = figure.querySelector(".canvas");
  place.replaceChildren();
  figure.dataset.drawn = "true";
  const views = await Bokeh.embed.add_document_standalone(drawn, place);
  if (curves.dataset.step && !("path" in figure.dataset)) leadToSteps(figure, plot, views.get(plot));
}

const SMOOTHED = "~"; // behind a source: the same line, smoothed (training/points.py)
const named = (source, run) =>
  !run ? source : source.endsWith(SMOOTHED) ? `${source.slice(0, -1)}:${run}${SMOOTHED}` : `${source}:${run}`;

const placesOf = (figure, has) => [...figure.querySelectorAll("[data-source]")].filter(({ dataset }) => has(dataset.source));

// The newest value of each line, in the legend.
function say(figure) {
  for (const place of placesOf(figure, (name) => sources.get(name)?.get_length())) {
    const source = sources.get(place.dataset.source);
    place.textContent = Number(source.data.y.at(-1).toPrecision(3));
    place.dataset.points = source.get_length();
  }
}

// Drawing takes its time: what is on the screen comes first, then the nearest to it, each when the page has time for it.
const distance = (figure) => {
  const { top, bottom } = figure.getBoundingClientRect();
  return Math.max(top - innerHeight, -bottom, 0);
};
const idle = () => new Promise((go) => (window.requestIdleCallback ?? setTimeout)(go, { timeout: 200 }));
let isDrawing = false;

async function drawDue() {
  if (isDrawing) return;
  isDrawing = true;
  try {
    while (due.size) {
      const figure = [...due].reduce((best, each) => (distance(each) < distance(best) ? each : best));
      if (distance(figure)) await idle();
      await draw(figure);
      say(figure);
      due.delete(figure);
    }
  } finally {
    isDrawing = false;
  }
  finish();
}

function finish() {
  if (!due.size && !curves.querySelector("[data-feed]:not([data-finished])")) curves.dataset.finished = "true";
}

const joined = (before, points) =>
  Object.fromEntries(Object.entries(points).map(([column, values]) => [column, [...before[column], ...values]]));

function add(lines, { run, isWhole }) {
  const found = new Map(Object.entries(lines).map(([source, points]) => [named(source, run), points]));
  for (const figure of curves.querySelectorAll(".chart")) {
    const places = placesOf(figure, (name) => found.has(name));
    if (!places.length) continue;
    for (const name of places.flatMap(({ dataset }) => [dataset.source, dataset.source + SMOOTHED])) {
      const source = sources.get(name), points = found.get(name), before = waiting.get(name);
      if (!points) continue;
      if (source && isWhole) source.data = points;
      else if (source) source.stream(points);
      else waiting.set(name, before && !isWhole ? joined(before, points) : points);
    }
    if (figure.dataset.drawn) say(figure);
    else due.add(figure);
  }
  drawDue();
}

// The server sends only what lies after the last step that is here, and says when there will be no more.
async function follow(feed, after) {
  const { feed: address, run } = feed.dataset;
  let wait = 2000;
  try {
    const answer = await fetch(`${address}&after=${after}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const found = await answer.json();
    add(found.lines, { run, isWhole: found.is_whole });
    after = found.after;
    if (found.is_finished) {
      feed.dataset.finished = "true";
      finish();
      return;
    }
  } catch (error) {
    wait = 10_000; // the server is away, or restarts: the curves stay, and go on when it is back
    console.warn("curves:", error.message);
  }
  setTimeout(follow, wait, feed, after);
}

if (curves) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  for (const feed of curves.querySelectorAll("[data-feed]")) follow(feed, -1);
}
