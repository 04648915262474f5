// The tasks in the person's hand: the one on screen and those behind it, ready to be shown at once.

const hand = [document.getElementById("task")];
const idOf = (section) => section.dataset.assignment;

export const front = () => hand[0];
export const ids = () => hand.map(idOf).filter(Boolean);
const isNone = (section) => section?.matches(".none, .news"); // no task: none waits, or the guidelines changed
// One task behind the one in front is enough.
export const wantsMore = () => ids().length < 2 && !hand.slice(1).some(isNone);

const show = () => {
  if (!hand.length) hand.push(document.getElementById("waiting").content.firstElementChild.cloneNode(true));
  const before = document.getElementById("task");
  if (before === hand[0]) return;
  document.dispatchEvent(new CustomEvent("task:leaving"));
  before.replaceWith(hand[0]);
  document.dispatchEvent(new CustomEvent("task:arrived"));
};

// Onto the next task; gives back the one that was in front.
export const advance = () => { const left = hand.shift(); show(); return left; };

// A task fetched ahead. What says that there is none, or that one is on its way, gives place to whatever comes.
export const bring = (section) => {
  const id = idOf(section);
  if (id ? ids().includes(id) : isNone(section) && isNone(hand.at(-1))) return false;
  if (!idOf(hand.at(-1))) hand.pop();
  hand.push(section);
  show();
  return Boolean(id);
};

// A task that comes back before all others: refused with a sentence, or undone.
export const putBack = (section) => {
  const index = hand.findIndex((each) => idOf(each) && idOf(each) === idOf(section));
  if (index >= 0) hand.splice(index, 1);
  if (hand[0]?.matches(".waiting")) hand.shift();
  hand.unshift(section);
  show();
};

export const drop = (id) => {
  const index = hand.findIndex((each) => idOf(each) === id);
  if (index >= 0) hand.splice(index, 1);
  show();
};
