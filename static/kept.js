// Small things kept in this browser, by person: what could not be sent yet, and texts the server has not got yet.
// Where the browser refuses to store (private windows, a full disk), they live as long as the page, which then asks
// before it is left.

const memory = new Map();
export const isFleeting = () => memory.size > 0;

export const keep = (name, value) => {
  const text = JSON.stringify(value);
  try { localStorage.setItem(name, text); memory.delete(name); } catch { memory.set(name, text); }
};
export const kept = (name) => {
  const text = memory.get(name) ?? localStorage.getItem(name);
  try { return text ? JSON.parse(text) : null; } catch { return null; }
};
export const forget = (name) => { memory.delete(name); localStorage.removeItem(name); };
export const names = (prefix) =>
  [...new Set([...Object.keys(localStorage), ...memory.keys()])].filter((name) => name.startsWith(prefix)).sort();

addEventListener("beforeunload", (event) => { if (isFleeting()) event.preventDefault(); });
