// An expanded row: its op's three errors, what goes wrong there, what each precision is here, and the op's facts.
import { family } from "./lane.js";
import { costsOf } from "./map_rows.js";
import { costWords } from "./map_costs.js";
import { count, small } from "./numbers.js";
import { h, put } from "./shared.js";

export const DETAIL_PX = 250;   // until it is drawn and measured
export const MOST_DETAILS = 12; // as many as Python takes

const TERMS_OF_ERRORS = [
  ["local", "this op alone, on clean inputs, at its own output"],
  ["isolated", "only this op changed, at the model\u2019s output"],
  ["cumulative", "the whole recipe, seen at this op\u2019s output"],
];

/** An empty detail; what is in its one cell is as wide as what is in sight, and is called by a name, not by all its words. */
export function newDetail() {
  const inside = h("div", { class: "px-detail-cell", role: "group", tabindex: "-1" });
  const element = h("div", { class: "px-row px-detail", role: "row" }, h("div", { role: "gridcell" }, inside));
  element.px = {};
  return element;
}

/** What takes the focus for a column of a row: its cell, or what is inside of a detail's. */
export function stopOf(element, column) {
  const cell = element.children[Math.min(column, element.children.length - 1)];
  return cell?.querySelector(":scope > .px-detail-cell") ?? cell ?? null;
}

/** The words under the errors, for each state of their measurement: {words, again}; `again`: whether one may ask again. */
export function errorsNote(errors) {
  if (errors.state === "failed") return { words: errors.error, again: !/not recorded/.test(errors.error) };
  if (errors.state === "idle") return { words: "Not measured for this recipe: it was cancelled.", again: true };
  if (errors.state !== "ready") return { words: "Being measured, after what was asked before it.", again: false };
  const n = errors.samples ? ` On ${count(errors.samples)} samples.` : "";
  return { words: `${errors.words}${n}`.trim(), again: false };
}

/** The words where no finding stands, for each state of the diagnosis. */
export function causesNote(causes, precision) {
  if (causes.state === "failed") return causes.error;
  if (causes.state === "idle") return "Nobody has looked for causes in this recipe yet.";
  if (causes.state !== "ready") return "Looking for what goes wrong here.";
  if (causes.findings.length) return "";
  return precision === "fp32" ? "It runs in FP32, and nothing goes wrong here." : "Nothing to worry about: no rule finds a cause of loss in this op.";
}

/** What a finding costs alone, in words. */
export function findingCost(finding) {
  if (finding.breaks) return "output becomes NaN or Inf";
  return finding.severity > 0 ? `alone ${small(finding.severity)} ${finding.unit === "nats" ? "nats of KL" : finding.unit}` : "";
}

/** What each precision on show is for an op: [{name, chosen, state, words}]. */
export function optionLines(op, shown, data, choices) {
  return shown.map(({ precision }) => {
    const { possible, emulated, kernel, reason } = data.options[op][precision];
    const words = !possible ? `not possible: ${reason || "no reason was given"}` : emulated ? `emulated: ${reason || "this device has no kernel for it"}` : [`real: ${kernel}`, reason].filter(Boolean).join("; ");
    return { precision, name: data.precisions[precision], chosen: choices[op] === precision, state: possible ? (emulated ? "emulated" : "real") : "impossible", words };
  });
}

/**
 * Brings a detail to what `view` says: {row, op, found, shown, data, choices, costs, live, act}. found: what Python told of
 * the op, or undefined; live: whether its buttons are stops of the Tab key; act: {again, set, close}.
 */
export function fillDetail(element, view) {
  const { row, op, found, choices, costs } = view;
  const cell = element.firstChild.firstChild;
  put(element, "data-testid", `detail:${row.key}`);
  put(element, "data-state", found ? found.errors.state : "waiting");
  put(cell, "aria-label", `details of ${row.label}`);
  const seen = JSON.stringify([found, choices[op], view.shown.map((column) => column.precision)]);
  if (element.px.seen !== seen || element.px.costs !== costs) {
    element.px.seen = seen;
    element.px.costs = costs;
    const held = cell.contains(document.activeElement) && document.activeElement !== cell;
    cell.replaceChildren(...contents(view));
    if (held) cell.focus({ preventScroll: true });
  }
  cell.querySelectorAll("button").forEach((button) => { button.tabIndex = view.live ? 0 : -1; });
}

function contents(view) {
  const { found, act } = view;
  const close = h("button", { class: "px-x px-detail-close", type: "button", "aria-label": "close the details", title: "close (E)", text: "\u00d7", onclick: act.close });
  return [close, errorsPart(view), causesPart(view), h("div", { class: "px-detail-part" }, optionsPart(view), factsPart(found))];
}

function errorsPart(view) {
  const { found, act } = view;
  const errors = found?.errors ?? { state: "waiting" };
  const note = errorsNote(errors);
  const cards = (errors.figures ?? TERMS_OF_ERRORS.map(([term, sub]) => ({ term, sub, big: errors.state === "failed" ? "\u2013" : "\u2026", kind: "pending" }))).map((figure) => card(figure, view));
  return h("div", { class: "px-detail-part" }, h("b", { text: "Errors against FP32" }), h("div", { class: "px-detail-cards" }, cards),
    h("div", { class: "px-sub", role: "status", text: note.words }),
    note.again && h("button", { class: "px-btn", type: "button", "data-testid": `again:${view.row.key}`, text: "Measure", onclick: act.again }));
}

function card(figure, view) {
  const known = figure.kind !== "pending";
  return h("div", { class: "px-fig", "data-testid": `error:${figure.term}:${view.row.key}`, "data-kind": figure.kind },
    h("div", { class: "px-fig-top" }, h("span", { "data-term": figure.term, text: figure.term }), known && h("span", { class: "px-tag", "data-kind": figure.kind, "data-term": figure.kind, text: figure.kind })),
    h("div", { class: `px-fig-big${figure.tone ? ` px-${figure.tone}` : ""}`, text: figure.big }),
    h("div", { class: "px-sub", text: figure.sub }),
    figure.term === "isolated" && predicted(view));
}

/** What the map says of the op alone at the output, which is there before anything was measured. */
function predicted({ row, op, choices, costs, data }) {
  if (data.precisions[choices[op]] === "fp32") return null;
  const found = costsOf(row.of, costs, data)[choices[op]];
  return found && h("div", { class: "px-sub", "data-testid": `predicted:${row.key}` }, h("span", { class: "px-tag", "data-kind": found.kind, "data-term": found.kind, text: found.kind }), ` ${costWords(found, costs, data.options[op][choices[op]].emulated)}`);
}

function causesPart({ found, act, choices, op, data }) {
  const causes = found?.causes ?? { state: "waiting", findings: [] };
  const note = causesNote({ findings: [], ...causes }, data.precisions[choices[op]]);
  return h("div", { class: "px-detail-part" }, h("b", { text: "What goes wrong, and what helps" }), note && h("div", { class: "px-sub", text: note }),
    (causes.findings || []).map((finding) => h("div", { class: "px-detail-finding", "data-rule": finding.rule },
      h("div", {}, h("b", { text: finding.title }), " ", h("span", { class: "px-sub", text: findingCost(finding) })),
      h("div", { text: finding.cause }),
      finding.remedies.map((remedy, at) => h("div", { class: "px-detail-remedy" }, h("span", { class: "px-sub", "data-term": "remedy", text: at ? "or" : "remedy" }), ` ${remedy.words} `,
        remedy.precision && h("button", { class: "px-btn", type: "button", text: `Choose ${remedy.precision}`, onclick: () => act.set(remedy) }))))));
}

function optionsPart({ op, shown, data, choices }) {
  const lines = optionLines(op, shown, data, choices);
  return h("div", { class: "px-detail-part px-detail-options" }, h("b", { text: "Each precision on this device" }),
    h("ul", {}, lines.map((line) => h("li", { "data-state": line.state }, h("span", { class: `px-format px-fam-${family(line.name)}` }, h("i"), line.name), line.chosen && h("b", { text: " chosen" }), ` ${line.words}`))));
}

function factsPart(found) {
  const facts = found?.facts;
  if (!facts) return null;
  return h("div", { class: "px-detail-part px-detail-facts" }, h("b", { text: "The op" }),
    h("dl", {}, facts.map(([what, words, kind]) => [h("dt", { text: what }), h("dd", {}, words, kind && h("span", { class: "px-tag", "data-kind": kind, text: kind }))]).flat()));
}
