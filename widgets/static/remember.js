// What a browser remembers of a person, not of a session; where storing is forbidden nothing is remembered.
const PREFIX = "precision-explorer:";

/** What was kept under a name, or "": for good in "localStorage", for as long as the tab is open in "sessionStorage". */
export function recall(name, store = "localStorage") {
  try {
    return globalThis[store].getItem(PREFIX + name) || "";
  } catch {
    return "";
  }
}

/** Keeps a short text under a name; an empty one is forgotten. */
export function remember(name, text, store = "localStorage") {
  try {
    if (text) globalThis[store].setItem(PREFIX + name, text);
    else globalThis[store].removeItem(PREFIX + name);
  } catch {
    // A private window or a blocked store: the page works without.
  }
}
