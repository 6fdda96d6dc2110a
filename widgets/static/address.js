// The page's address: tells Python what it asked for, and shows what reproduces the view; nothing to see here.
import { isOwnPage } from "./session.js";
import { line, listen } from "./shared.js";

const NAMES = ["model", "recipe", "page", "inputs"];
const ENDED_SLOT = "precision-explorer: pages whose session ended";

/** What a query says of the page, and of nothing else. */
export function askedIn(search) {
  const query = new URLSearchParams(search);
  return Object.fromEntries(NAMES.map((name) => [name, (query.get(name) || "").slice(0, 200)]));
}

/** The query with ours in the place of what it said of the page; what others wrote there stays. */
export function mergedQuery(search, ours) {
  const query = new URLSearchParams(search);
  NAMES.forEach((name) => query.delete(name));
  new URLSearchParams(ours).forEach((value, name) => query.set(name, value));
  return query.toString();
}

/** A notebook's pages whose session ended, oldest first, as they are kept in this browser tab; `path`: the notebook's. */
export function readEnded(text, path) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found.filter((each) => each && each.path === path && typeof each.page === "string") : [];
  } catch {
    return [];
  }
}

function store() {
  try {
    return globalThis.sessionStorage;
  } catch {
    return null;
  }
}

function keepEnded(page) {
  const kept = store();
  if (!kept || !page) return;
  const others = readEnded(kept.getItem(ENDED_SLOT), location.pathname).filter((each) => each.page !== page);
  kept.setItem(ENDED_SLOT, JSON.stringify([...others, { path: location.pathname, page }]));
}

/** In a notebook the first page that appears after a session ended is the first that was there before. */
function takeEnded() {
  const kept = store();
  const [first, ...others] = readEnded(kept && kept.getItem(ENDED_SLOT), location.pathname);
  if (first) kept.setItem(ENDED_SLOT, JSON.stringify(others));
  return { ...askedIn(""), page: first ? first.page : "" };
}

export default {
  render({ model, el }) {
    el.hidden = true;
    const { ask, close, ended } = line(model, el);
    const own = isOwnPage(location);
    if (!own) ended.then(() => keepEnded(askedIn(model.get("query")).page));
    const write = () => {
      const ours = model.get("query");
      if (!own || !ours) return;
      const query = mergedQuery(location.search, ours);
      history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
    };
    const stop = listen(model, ["query"], write);
    ask("arrive", own ? askedIn(location.search) : takeEnded()).catch(() => {}).finally(write);
    return () => {
      stop();
      close();
    };
  },
};
