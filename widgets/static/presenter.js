// Presenter mode: large type and few panels, for a projector; a matter of the browser, kept there, never of the session.
import { put } from "./shared.js";
import { recall, remember } from "./remember.js";

const MARK = "data-px-present";
const TYPING = "input, textarea, select, [contenteditable=true]";
/** What handles Escape itself. */
const OPEN = ".px-menu, .px-tour, dialog";
const FRONTIER = "[data-testid^='section:Frontier'][aria-expanded=false]";

/** Whether a page starts so: an address says it with `present=1` or `present=0`, else it is as it was left. */
export function startsPresenting(search, kept) {
  const asked = new URLSearchParams(search).get("present");
  return asked === null ? kept === "on" : asked === "1";
}

/** What a key does on a page: "toggle", "leave" or nothing. */
export function presenterKey({ key, ctrlKey, metaKey, altKey, shiftKey }, presents, typing) {
  if (ctrlKey || metaKey || altKey || shiftKey || typing) return "";
  return key === "p" ? "toggle" : key === "Escape" && presents ? "leave" : "";
}

/** An address without what it said of presenter mode, or null where it says nothing. */
export function withoutPresent(search) {
  const query = new URLSearchParams(search);
  if (!query.has("present")) return null;
  query.delete("present");
  return query.toString() ? `?${query}` : "";
}

/** Presenter mode of a page's document; `changed(on)` hears it. Returns {toggle, stop}. */
export function attachPresenter(page, changed) {
  const { body } = document;
  const presents = () => body.hasAttribute(MARK);
  const show = (on) => put(body, MARK, on ? "true" : null);
  const turn = (on) => {
    show(on);
    remember("present", on ? "on" : "");
    if (on) page.querySelector(FRONTIER)?.click();
    const search = on ? null : withoutPresent(location.search);
    if (search !== null) history.replaceState(history.state, "", location.pathname + search + location.hash);
  };
  const key = (event) => {
    const { target } = event;
    const here = target === body || page.contains(target);
    if (event.defaultPrevented || !here || target.closest(OPEN)) return;
    const wish = presenterKey(event, presents(), target.matches(TYPING));
    if (!wish) return;
    event.preventDefault();
    turn(wish === "toggle" && !presents());
  };
  const watch = new MutationObserver(() => changed(presents()));
  watch.observe(body, { attributes: true, attributeFilter: [MARK] });
  document.addEventListener("keydown", key);
  if (startsPresenting(location.search, recall("present"))) show(true);
  changed(presents());
  return {
    toggle: () => turn(!presents()),
    stop: () => {
      watch.disconnect();
      document.removeEventListener("keydown", key);
    },
  };
}
