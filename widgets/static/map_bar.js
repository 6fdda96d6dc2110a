// The map's bar: filter with its help and its answer, order of the rows, choice of columns.
import { buttonWords, hiddenWords } from "./map_columns.js";
import { examplesOf, helpParts, withWord } from "./map_help.js";
import { sortWords } from "./map_sort.js";
import { menuButton } from "./menu.js";
import { h, put } from "./shared.js";

const HINT = "colour = predicted quality cost of running only this op so \u00b7 click a cell to choose it, a layer's bar for the whole layer";
const FILTER = "/ filter: qkv kind:linear";
const ORDERS = [{ by: "order", up: false }, { by: "cost", up: false }, { by: "time", up: false }, { by: "size", up: false }];
let bars = 0;

/**
 * The bar's elements by name. What a person does there calls `does`: typed() after a change of the filter, sort(order),
 * again() to sort by the values of now, and entries(), which gives the menu of columns.
 */
export function buildBar(does) {
  const id = `px-filter-${(bars += 1)}`;
  const filter = h("input", {
    class: "px-input", type: "search", "data-testid": "filter", placeholder: FILTER, "aria-label": "filter rows", "aria-describedby": `${id}-note`, spellcheck: "false", autocomplete: "off", maxlength: "200",
  });
  const ask = h("button", { class: "px-btn px-filter-ask", type: "button", "data-testid": "filter-help", "aria-expanded": "false", "aria-controls": `${id}-help`, title: "What can be filtered by", "aria-label": "what can be filtered by", text: "?" });
  const found = h("span", { class: "px-kept", "data-testid": "filter-count" });
  const order = h("select", { class: "px-order", "data-testid": "sort", "aria-label": "order of the rows", title: "Order of the rows; cost is that of what is chosen now, latency what was measured, size the number of weights" });
  const again = h("button", { class: "px-btn px-again", type: "button", "data-testid": "sort-again", title: "Values have changed since the rows were sorted; they stay where they are while you are at them", hidden: true, text: "Sort again", onclick: () => does.again() });
  const columns = menuButton({ id: "columns", text: "Columns", label: "columns of the map", title: "Which columns are shown" }, () => does.entries());
  const tools = h("span", { class: "px-tools" }, h("span", { class: "px-filter" }, filter, found, ask), order, again, columns.element);
  const head = h("div", { class: "px-head" }, h("b", { text: "Precision map" }), h("span", { class: "px-sub", text: HINT }), tools);
  const note = h("p", { class: "px-note", id: `${id}-note`, role: "status", "data-testid": "filter-note" });
  const help = h("div", { class: "px-help", id: `${id}-help`, hidden: true, "data-testid": "filter-examples", role: "group", "aria-label": "what can be filtered by" });
  ask.addEventListener("click", () => turnHelp({ ask, help }, help.hidden));
  help.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    turnHelp({ ask, help }, false);
    ask.focus();
  });
  order.addEventListener("change", () => does.sort({ by: order.value.replace(/ up$/, ""), up: order.value.endsWith(" up") }));
  return { head, filter, ask, help, note, found, order, again, columns: columns.button, closeColumns: columns.close, typed: does.typed };
}

function turnHelp({ ask, help }, open) {
  help.hidden = !open;
  put(ask, "aria-expanded", String(open));
}

/** Fills the help with examples of a table. */
export function fillHelp(bar, data) {
  const use = (words) => {
    bar.filter.value = withWord(bar.filter.value, words);
    bar.typed();
  };
  bar.help.replaceChildren(...helpParts(examplesOf(data), use));
}

/** The answer to the filter: what is wrong with it, what it still needs, how many ops it keeps. */
export function showAnswer(bar, { wrong, hint }, kept, total) {
  put(bar.note, "text", wrong || hint);
  put(bar.note, "data-tone", wrong ? "bad" : null);
  put(bar.filter, "aria-invalid", wrong ? "true" : null);
  put(bar.found, "text", kept === null ? "" : `${kept} of ${total} ops`);
}

/** The order in the chooser: one that was made by a header stands there, too. */
export function showOrder(bar, sort, stale) {
  const key = ({ by, up }) => (up ? `${by} up` : by);
  const orders = ORDERS.some((one) => key(one) === key(sort)) ? ORDERS : [...ORDERS, sort];
  const words = orders.map(key).join();
  if (bar.order.px !== words) bar.order.replaceChildren(...orders.map((one) => h("option", { value: key(one), text: sortWords(one) })));
  bar.order.px = words;
  bar.order.value = key(sort);
  bar.again.hidden = !stale;
  // While rows are sorted it may come at any time, and must then move nothing.
  put(bar.again, "data-room", !stale && sort.by !== "order" ? "true" : null);
}

/** What the columns' button says of those that are hidden. */
export function showHidden(bar, facts) {
  put(bar.columns, "text", buttonWords(facts));
  put(bar.columns, "aria-label", null);
  put(bar.columns, "title", hiddenWords(facts) || "Which columns are shown");
  put(bar.columns, "data-lost", facts.chosen ? "true" : null);
}
