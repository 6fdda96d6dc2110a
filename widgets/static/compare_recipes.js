// Two recipes side by side: a chooser for each, their numbers with the difference, and the ops that make it.
import { changeWords, costWords, FIGURES, opsNote, sideWords, timeWords } from "./compare_words.js";
import { family } from "./lane.js";
import { mountPanel } from "./panel.js";
import { h, put } from "./shared.js";
import { smallTable } from "./small_table.js";
import { nameOf } from "./time_rows.js";

const format = (name) => h("span", { class: `px-format px-fam-${family(name)}` }, h("i"), name);
const COLUMNS = [
  { key: "op", title: "op", cell: (row) => h("span", { class: "px-op-name", title: row.op, text: nameOf(row.op) }) },
  { key: "one", title: "first", cell: (row) => format(row.one) },
  { key: "other", title: "second", cell: (row) => format(row.other) },
  { key: "cost", title: "\u0394 cost alone", term: "cost alone", number: true, cell: costWords },
  { key: "us", title: "\u0394 time", term: "\u0394 time", number: true, cell: timeWords },
  { key: "share", title: "share", term: "share of the difference", number: true, cell: (row) => h("span", { class: "px-share-bar", role: "img", "aria-label": `${Math.round(100 * row.share)} % of the largest` }, h("i", { style: `width:${Math.max(2, 100 * row.share)}%` })) },
];

function sideOf(side, title, send) {
  const chooser = h("select", { "data-testid": `compare-${side}`, "aria-label": `${title} recipe`, onchange: () => send("compare", { side, key: chooser.value }) });
  const counts = h("span", { class: "px-sub" });
  const restore = h("button", { class: "px-btn", type: "button", "data-testid": `compare-restore-${side}`, text: "Use this one", title: "make it the current recipe; Undo brings yours back", onclick: () => send("restore", { side }) });
  return { chooser, counts, restore, root: h("div", { class: "px-compare-side" }, h("b", { text: title }), chooser, restore, counts) };
}

function fillChooser(chooser, groups, key) {
  const signature = JSON.stringify(groups);
  if (chooser.px !== signature) {
    chooser.px = signature;
    chooser.replaceChildren(...groups.map(([label, options]) => h("optgroup", { label }, options.map(([value, text]) => h("option", { value, text })))));
  }
  chooser.value = key;
}

function figureRow(row, found) {
  const side = (one) => {
    const { text, title } = sideWords(row.name, one, found);
    const tag = one && h("span", { class: "px-tag", "data-kind": one.kind, text: one.kind });
    return h("td", {}, h("div", { class: "px-compare-value" }, h("b", { text }), tag), h("div", { class: "px-sub", text: one ? title.replace(` (${one.kind})`, "").replace(/^(measured|emulated|predicted)$/, "") : title }));
  };
  const { text, title, tone } = changeWords(row, found);
  const { title: name, term } = FIGURES[row.name];
  return h("tr", { "data-testid": `compare:${row.name}` }, h("th", { scope: "row" }, h("span", { class: "px-explained", tabindex: "0", "data-term": term, text: name(found) })), side(row.one), side(row.other),
    h("td", {}, h("b", { class: "px-change", "data-tone": tone || null, text }), h("div", { class: "px-sub", text: title })));
}

function comparePanel(seen, send) {
  const sides = { one: sideOf("one", "First", send), other: sideOf("other", "Second", send) };
  const swap = h("button", { class: "px-btn", type: "button", "data-testid": "compare-swap", title: "exchange first and second", text: "\u21c4 Swap", onclick: () => send("swap") });
  const both = h("button", { class: "px-btn", type: "button", "data-testid": "compare-measure", onclick: () => send("measure_both") });
  const status = h("span", { class: "px-sub", role: "status" });
  const heads = ["Number", "First", "Second"].map((text) => h("th", { scope: "col", text }));
  const against = h("th", { scope: "col" }, h("span", { class: "px-explained", tabindex: "0", "data-term": "second against first", text: "Second against first" }));
  const body = h("tbody");
  const numbers = h("div", { class: "px-compare-scroll" }, h("table", { class: "px-small px-compare-numbers" }, h("thead", {}, h("tr", {}, heads, against)), body));
  const note = h("p", { class: "px-note", "data-testid": "compare-note" });
  const table = smallTable("ops that differ", COLUMNS, (row) => send("select", { ops: [row.op] }));
  const root = h("div", { "data-testid": "compare-recipes" }, h("div", { class: "px-compare-sides" }, sides.one.root, sides.other.root, swap), h("div", { class: "px-ask" }, both, status), numbers, note, table.element);
  const draw = () => {
    const found = { figures: [], ops: [], names: ["", ""], now: [true, true], selected: [], more: 0, ...seen.get("pair") };
    const choices = { groups: [], ...seen.get("choices") };
    put(root, "data-state", found.state);
    Object.entries(sides).forEach(([side, parts], at) => {
      fillChooser(parts.chooser, choices.groups, choices[side]);
      put(parts.counts, "text", found.names[at]);
      parts.restore.disabled = found.now[at];
    });
    put(both, "text", "Measure both");
    both.hidden = !found.missing && !found.error;
    both.disabled = found.state !== "ready";
    put(status, "text", found.state === "none" ? "No model is open yet." : found.state === "measuring" ? "Measuring: Cancel in the bar above stops it." : found.error || (found.missing ? "Some numbers are missing: they take a run of each recipe." : ""));
    numbers.hidden = !found.figures.length;
    body.replaceChildren(...found.figures.map((row) => figureRow(row, found)));
    put(note, "text", found.state === "none" ? "" : opsNote(found));
    table.element.hidden = !found.ops.length;
    table.fill(found.ops.map((row) => ({ ...row, testid: `compare-op:${row.op}` })), (row) => found.selected.includes(row.op));
  };
  return { root, draw, traits: ["choices", "pair"] };
}

export default {
  render({ model, el }) {
    return mountPanel({ model, el }, "compare", (send, seen) => comparePanel(seen, send));
  },
};
