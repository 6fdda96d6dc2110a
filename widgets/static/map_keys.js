// The map's keys: what each means, and the sheet that says so in words.
import { h } from "./shared.js";

const MOVE_KEYS = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];
const LETTERS = { e: "expand", l: "lock", c: "copy", i: "inspect" };

/** The sheet's lines: keys, and what they do. */
export const KEY_LINES = [
  ["\u2191 \u2193 \u2190 \u2192", "Move. On a layer\u2019s name, \u2192 opens it and \u2190 closes it or goes to the layer around."],
  ["PageUp PageDown Home End", "Move a page, to the first row, to the last row."],
  ["Shift with \u2191 \u2193 PageUp PageDown Home End", "Mark a range of rows. Ctrl+A marks all of them, Escape none."],
  ["1 to 9", "Choose the first to the ninth precision that is shown: for the marked rows, or for the row you are on; on a layer, for all that is in it."],
  ["Enter or Space", "On a cell, choose it. On a name, open the row: a layer\u2019s ops, or an op\u2019s errors and their cause."],
  ["Shift with 1 to 9 or Enter", "Choose for every row from the one you chose last to this one; so does Shift with a click."],
  ["0 or Backspace", "Back to FP32."],
  ["E", "Open or close the row\u2019s details."],
  ["I", "Show the op in the inspector and in the panels below."],
  ["L", "Lock for the search, or set free again; you can still choose yourself."],
  ["C or Ctrl+C", "Copy the table as it is shown, or the marked rows: it can be pasted into a spreadsheet."],
  ["Ctrl+Z, Ctrl+Shift+Z", "Undo, redo."],
  ["/", "Filter. \u2193 goes from there to the rows, Escape clears it."],
  ["Mouse or finger", "Press a cell and drag along its column to choose for all rows on the way; with a finger, rest on the cell first."],
  ["?", "This sheet."],
];

/**
 * What a key means on the rows: [command, argument], or null. Commands: move and extend (a key's name), side (-1, 1), enter
 * (whether for a range), assign ({place, range}; place 0 is FP32), and those without: expand, lock, copy, inspect, all, clear.
 */
export function commandOf({ key, code = "", shiftKey = false, ctrlKey = false, metaKey = false, altKey = false }) {
  if (altKey) return null;
  if (ctrlKey || metaKey) return { c: ["copy"], a: ["all"] }[shiftKey ? "" : key.toLowerCase()] || null;
  if (MOVE_KEYS.includes(key)) return [shiftKey ? "extend" : "move", key];
  if (key === "ArrowLeft" || key === "ArrowRight") return ["side", key === "ArrowLeft" ? -1 : 1];
  if (key === "Enter" || key === " ") return ["enter", shiftKey];
  if (key === "Backspace" || key === "Delete") return ["assign", { place: 0, range: shiftKey }];
  if (key === "Escape") return ["clear"];
  if (key.toLowerCase() in LETTERS) return [LETTERS[key.toLowerCase()]];
  // By its place on the keyboard, where a layout needs Shift for a digit or gives another sign with it.
  const digit = /^[0-9]$/.test(key) ? key : shiftKey ? /^(?:Digit|Numpad)([0-9])$/.exec(code)?.[1] : undefined;
  return digit === undefined ? null : ["assign", { place: Number(digit), range: shiftKey && !/^[0-9]$/.test(key) }];
}

/** A sheet of all keys over the page: `show()`; focus goes back where it was when it closes. */
export function newKeySheet() {
  const close = h("button", { class: "px-btn", type: "button", text: "Close", onclick: () => sheet.close() });
  const sheet = h("dialog", { class: "px px-keys", "data-lm-suppress-shortcuts": "true", "aria-label": "keys of the precision map", "data-testid": "keys-sheet" },
    h("div", { class: "px-keys-head" }, h("b", { text: "Keys of the precision map" }), close),
    h("dl", {}, KEY_LINES.map(([keys, words]) => [h("dt", { text: keys }), h("dd", { text: words })]).flat()));
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  sheet.addEventListener("keydown", (event) => event.stopPropagation());
  let back = null;
  sheet.addEventListener("close", () => {
    sheet.remove();
    if (back?.isConnected) back.focus({ preventScroll: true });
  });
  const show = () => {
    if (sheet.open) return;
    back = document.activeElement;
    document.body.append(sheet);
    sheet.showModal();
    close.focus();
  };
  return { show, remove: () => sheet.remove() };
}
