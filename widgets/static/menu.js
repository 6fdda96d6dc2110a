// A button with a menu of actions: opened by click or arrow key, walked with the arrows, left with Escape or Tab.
import { h, put } from "./shared.js";

const MENU_GAP = 4;
const MENU_EDGE = 6;

/** Where an arrow key, Home, End or a letter leads from item `at` of `labels`; null where the key means nothing here. */
export function nextItem(labels, at, key) {
  const last = labels.length - 1;
  const moves = { ArrowDown: at >= last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last };
  if (key in moves) return last < 0 ? null : moves[key];
  if (key.length !== 1 || key === " ") return null;
  const order = labels.map((_, step) => (at + 1 + step) % labels.length);
  return order.find((place) => labels[place].toLowerCase().startsWith(key.toLowerCase())) ?? null;
}

/** The left and top edge of a menu of some size below its button, above it where there is more room, within the window. */
export function menuPlace(button, size, frame) {
  const below = frame.height - button.bottom - MENU_GAP - MENU_EDGE;
  const above = button.top - MENU_GAP - MENU_EDGE;
  const top = size.height <= below || below >= above ? button.bottom + MENU_GAP : button.top - MENU_GAP - size.height;
  const left = Math.min(button.left, frame.width - size.width - MENU_EDGE);
  return { left: Math.max(MENU_EDGE, left), top: Math.max(MENU_EDGE, top) };
}

function itemOf(entry, run) {
  if (entry.line) return h("div", { class: "px-menu-line", role: "separator" });
  const checks = typeof entry.checked === "boolean";
  return h("button", {
    class: "px-menu-item", type: "button", tabindex: "-1", role: checks ? "menuitemcheckbox" : "menuitem", "aria-checked": checks ? String(entry.checked) : null,
    "aria-disabled": entry.disabled ? "true" : null, "data-testid": entry.id, onclick: () => !entry.disabled && run(entry),
  }, h("span", { class: "px-menu-check", "aria-hidden": "true", text: checks && entry.checked ? "\u2713" : "" }),
  h("span", { class: "px-menu-text" }, h("span", { text: entry.text }), entry.about && h("span", { class: "px-sub", text: entry.about })));
}

/**
 * A button that opens a menu. `entries()` is asked each time it opens, for a list of
 * {id, text, about?, run, disabled?, checked?} and {line: true}; an entry with `checked` stays open and is drawn anew.
 * Returns {element, button, close}: put `element` into the page; focus goes back to the button when the menu closes.
 */
export function menuButton({ id, text, label, title }, entries) {
  const list = h("div", { class: "px px-menu", role: "menu", popover: "manual", "aria-label": label, tabindex: "-1" });
  const button = h("button", {
    class: "px-btn", type: "button", "data-testid": id, "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label === text ? null : label, title, text,
  });
  const element = h("span", { class: "px-menu-box" }, button, list);
  const items = () => [...list.querySelectorAll("[role^=menuitem]")];
  const place = () => {
    const { left, top } = menuPlace(button.getBoundingClientRect(), list.getBoundingClientRect(), { width: innerWidth, height: innerHeight });
    // Inside an enlarged page lengths are enlarged, too; where the window begins is not.
    const zoom = list.currentCSSZoom || 1;
    list.style.left = `${left / zoom}px`;
    list.style.top = `${top / zoom}px`;
  };
  const isOpen = () => button.getAttribute("aria-expanded") === "true";
  const outside = (event) => !element.contains(event.target) && close(false);
  const close = (back = true) => {
    if (!isOpen()) return;
    put(button, "aria-expanded", "false");
    list.hidePopover();
    removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", place);
    removeEventListener("scroll", place, true);
    if (back) button.focus();
  };
  const choose = (entry) => {
    if (typeof entry.checked !== "boolean") close();
    const at = items().indexOf(document.activeElement);
    entry.run();
    if (isOpen()) fill(at);
  };
  const fill = (at) => {
    list.replaceChildren(...entries().map((entry) => itemOf(entry, choose)));
    const found = items();
    (found[Math.max(0, at < 0 ? found.length - 1 : at)] || list).focus({ preventScroll: true });
  };
  const open = (at) => {
    put(button, "aria-expanded", "true");
    list.showPopover();
    fill(at);
    place();
    addEventListener("pointerdown", outside, true);
    addEventListener("resize", place);
    addEventListener("scroll", place, true);
  };
  button.addEventListener("click", () => (isOpen() ? close() : open(0)));
  element.addEventListener("keydown", (event) => {
    if (!isOpen()) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      open(event.key === "ArrowDown" ? 0 : -1);
    } else if (event.key === "Escape") close();
    else if (event.key === "Tab") {
      close();
      return;
    } else {
      const found = items();
      const next = nextItem(found.map((item) => item.textContent.trim()), found.indexOf(document.activeElement), event.key);
      if (next === null) return;
      found[next].focus();
    }
    event.preventDefault();
    event.stopPropagation();
  });
  return { element, button, close };
}
