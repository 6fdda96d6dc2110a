// One format's row: its bits as buttons, what they say, the neighbours and what was lost.
import { KIND_WORDS, bitGroups, caption, errorFacts, formulaPieces, shown, toneOf } from "./bits_words.js";
import { family } from "./lane.js";
import { h, put } from "./shared.js";

const STEP = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };

/** An empty row for a format with these parts; `ask(type, fields)` sends what a click means. */
export function newBitsRow(row, ask) {
  const bits = h("div", { class: "px-bitgrid", role: "group", "aria-label": `bits of ${row.label}; arrow keys move, Space toggles` },
    bitGroups(row).map((group) => newGroup(row, group, ask)));
  const step = (by, id, arrow, words) => h("button", {
    class: "px-btn px-near", type: "button", "data-testid": `${id}:${row.name}`, "data-term": "neighbours",
    "aria-description": `${words} neighbour of ${row.label}`, onclick: () => ask("step", { format: row.name, by }),
  }, by < 0 ? h("span", { text: arrow }) : h("span"), by < 0 ? h("span") : h("span", { text: arrow }));
  const element = h("div", { class: `px-bitrow px-fam-${family(row.name)}`, "data-testid": `row:${row.name}`, role: "group", "aria-label": row.label },
    h("div", { class: "px-bit-name" }, h("b", { text: row.label }), h("span", { class: "px-sub" }), h("span", { class: "px-tag" })),
    bits,
    h("div", { class: "px-bit-value" }, h("b", { "data-testid": `value:${row.name}` }), h("span", { class: "px-sub px-bit-error" })),
    h("div", { class: "px-formula" }),
    h("div", { class: "px-nears" }, step(-1, "neighbour-below", "\u25c2", "lower"), step(1, "neighbour-above", "\u25b8", "upper")),
    h("div", { class: "px-bit-words px-sub" }));
  bits.addEventListener("keydown", (event) => walk(bits, event));
  return element;
}

function newGroup(row, group, ask) {
  const button = (bit, i) => h("button", {
    class: "px-bit", type: "button", tabindex: group.first + i === 0 ? 0 : -1, "data-testid": `bit:${row.name}:${group.first + i}`,
    onclick: () => ask("flip", { format: row.name, bit: group.first + i }),
  });
  return h("div", { class: `px-bits px-part-${group.part}`, "data-n": group.bits.length },
    h("div", { class: "px-bitline" }, group.bits.map(button)), h("span", { class: "px-caption", "data-term": group.part }));
}

/** Arrow keys walk over the bits, and only one of them is a stop of the Tab key. */
function walk(bits, event) {
  const by = STEP[event.key];
  const all = [...bits.querySelectorAll(".px-bit")];
  const at = all.indexOf(event.target);
  if (by === undefined || at < 0) return;
  event.preventDefault();
  const to = all[Math.min(all.length - 1, Math.max(0, at + by))];
  all.forEach((bit) => put(bit, "tabindex", bit === to ? 0 : -1));
  to.focus();
}

/** Writes what changed into a row that `newBitsRow` made. */
export function fillBitsRow(element, row) {
  const [name, bits, value, formula, nears, words] = element.children;
  put(name.children[1], "text", `${row.parts.reduce((sum, part) => sum + part[1], 0)} bits${row.hex ? ` \u00b7 ${row.hex}` : ""}`);
  put(name.children[2], "text", KIND_WORDS[row.kind]);
  put(name.children[2], "data-term", KIND_WORDS[row.kind]);
  put(element, "data-kind", row.kind);
  put(element, "data-outcome", row.outcome);
  bitGroups(row).forEach((group, i) => fillGroup(bits.children[i], group, row));
  put(value.children[0], "text", row.kind === "none" ? "\u2013" : shown(row.value));
  put(value.children[0], "title", row.exact && row.exact !== row.value ? `exactly ${shown(row.exact)}` : null);
  put(value.children[1], "text", errorFacts(row).join(" \u00b7 "));
  fillFormula(formula, row);
  fillNear(nears.children[0], row.below, 1);
  fillNear(nears.children[1], row.above, 0);
  put(words, "text", row.words);
  put(words, "data-tone", toneOf(row.outcome));
}

function fillGroup(element, group, row) {
  group.bits.forEach((bit, i) => {
    const button = element.firstChild.children[i];
    put(button, "text", bit || "\u00b7");
    put(button, "aria-pressed", bit === "1" ? "true" : bit === "0" ? "false" : "mixed");
    put(button, "aria-label", `${row.label} bit ${group.first + i}, ${group.part}, ${bit || "no code"}`);
  });
  put(element.lastChild, "text", caption(group));
}

function fillFormula(element, row) {
  const pieces = formulaPieces(row);
  const signature = JSON.stringify(pieces);
  if (element.px === signature) return;
  element.px = signature;
  element.replaceChildren(...pieces.map((piece) => h(piece.raised ? "sup" : "span", { class: piece.part ? `px-part-${piece.part}` : null, text: piece.text })));
}

function fillNear(button, text, at) {
  put(button.children[at], "text", text ? shown(text) : "none");
  button.disabled = !text;
}
