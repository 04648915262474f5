// A ranking by keyboard: the numbers of the answers, typed from the best to the worst, give them their places. T before a
// number ties it with the one before; the arrows move the last one up and down, through ties; Backspace takes its place
// away. The places are radio buttons, so everything else (mouse, drafts, no script at all) needs nothing of this.

const rows = () => [...document.querySelectorAll("#task .place")];
const places = (row) => [...row.querySelectorAll("input")];
const placeOf = (row) => Number(row.querySelector("input:checked")?.value ?? 0); // 0: none yet
const hint = (text) => { const line = document.getElementById("hint"); if (line) line.textContent = text; };

let last = -1; // the answer that was placed or picked last, by its place on the page
let ties = false; // whether the next number is tied with it

const changed = (row) => row.dispatchEvent(new Event("change", { bubbles: true })); // the draft is kept by it
const mark = (index) => {
  last = index;
  ties = false;
  for (const row of rows()) row.classList.toggle("picked", row === rows()[index]);
  document.querySelectorAll("#task .answers.several .answer").forEach((answer, number) => answer.classList.toggle("picked", number === index));
};
const put = (row, place) => {
  for (const input of places(row)) input.checked = Number(input.value) === place;
};
const show = (index) => {
  const row = rows()[index];
  mark(index);
  (row.querySelector("input:checked") ?? places(row)[0]).focus();
  document.querySelectorAll("#task .answers.several .answer")[index]?.scrollIntoView({ block: "nearest" });
  changed(row);
};

// --- The order as groups of answers from the best to the worst; those of a group are tied ---
const groups = () => {
  const found = new Map();
  rows().forEach((row, index) => { if (placeOf(row)) found.set(placeOf(row), [...(found.get(placeOf(row)) ?? []), index]); });
  return [...found].sort(([a], [b]) => a - b).map(([, members]) => members);
};
const write = (order) => {
  let place = 1;
  for (const members of order) {
    for (const index of members) put(rows()[index], place);
    place += members.length; // after two firsts comes the third
  }
};

const place = (index) => {
  const order = groups();
  if (!order.some((members) => members.includes(index))) {
    const tiedTo = ties && order.find((members) => members.includes(last));
    tiedTo ? tiedTo.push(index) : order.push([index]);
    write(order);
  } else if (ties && index !== last) {
    const kept = order.map((members) => members.filter((each) => each !== index));
    kept.find((members) => members.includes(last))?.push(index);
    write(kept.filter((members) => members.length));
  }
  show(index);
};
const move = (step) => {
  const order = groups(), at = order.findIndex((members) => members.includes(last));
  if (at < 0) return false;
  const isTied = order[at].length > 1;
  order[at] = order[at].filter((each) => each !== last);
  if (isTied) order.splice(step < 0 ? at : at + 1, 0, [last]); // out of the tie, beside it
  else if (order[at + step]) order[at + step].push(last); // into the neighbour's place
  else order[at].push(last);
  write(order.filter((members) => members.length));
  show(last);
  return true;
};
const clear = () => {
  const order = groups().map((members) => members.filter((each) => each !== last)).filter((members) => members.length);
  put(rows()[last], 0);
  write(order);
  show(last);
};

const pressed = ({ key, action }) => {
  const number = /^choice_([1-7])$/.exec(action ?? "")?.[1] ?? (/^[1-9]$/.test(key) ? key : 0);
  if (number) { if (rows()[number - 1]) place(number - 1); return true; }
  if (action === "tie") {
    if (last < 0) return true;
    ties = true;
    hint(document.querySelector("#task .places").dataset.tie.replace("%(letter)s", rows()[last].dataset.letter));
    return true;
  }
  if (action === "both_bad") return true;
  if (key === "Backspace" && last >= 0) { clear(); return true; }
  if ((key === "ArrowUp" || key === "ArrowDown") && last >= 0) return move(key === "ArrowUp" ? -1 : 1);
  return false;
};
document.addEventListener("task:key", (event) => {
  if (!rows().length || document.querySelector("#skip:popover-open, details.tool[open]")) return;
  if (pressed(event.detail)) event.preventDefault();
});
document.addEventListener("focusin", (event) => { // by mouse or Tab: the keys go on from there
  const index = rows().indexOf(event.target.closest("#task .place"));
  if (index >= 0 && index !== last) mark(index);
});
document.addEventListener("task:arrived", () => mark(-1));
