// The page's address: tells Python what it asked for, and shows what reproduces the view; nothing to see here.
import { line, listen } from "./shared.js";

const NAMES = ["model", "recipe", "page"];
const OTHERS = /\/(lab|tree|notebooks|doc|consoles|edit)(\/|$)/;

/** Whether the document is the page alone: another application's address is not ours to write. */
export function isOwnPage({ protocol, pathname }) {
  return /^https?:$/.test(protocol) && !OTHERS.test(pathname);
}

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

export default {
  render({ model, el }) {
    el.hidden = true;
    const { ask, close } = line(model, el);
    const own = isOwnPage(location);
    const write = () => {
      const ours = model.get("query");
      if (!own || !ours) return;
      const query = mergedQuery(location.search, ours);
      history.replaceState(history.state, "", `${location.pathname}?${query}${location.hash}`);
    };
    const stop = listen(model, ["query"], write);
    ask("arrive", own ? askedIn(location.search) : askedIn("")).catch(() => {}).finally(write);
    return () => {
      stop();
      close();
    };
  },
};
