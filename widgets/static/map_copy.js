// The table as it is shown, as tab-separated text with raw numbers, and its way to the clipboard.
import { costsOf, timesOf } from "./map_rows.js";
import { plural } from "./numbers.js";
import { h } from "./shared.js";

/** A field that a spreadsheet takes for text: no tabs, no line ends, and no formula. */
function field(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = String(value ?? "").replace(/[\t\r\n]+/g, " ");
  return /^[=+@-]/.test(text) ? `'${text}` : text;
}

function one(values, many) {
  const found = new Set(values);
  return found.size === 1 ? [...found][0] : many;
}

/**
 * The rows as lines of fields. view: {data, columns, choices, plan, times, costs}; times in microseconds, change as a
 * fraction of best FP32's time; a layer's costs and times are the sums that its row shows.
 */
export function copyRows(rows, view) {
  const shown = view.columns.filter((column) => column.precision !== undefined);
  const unit = `${view.costs.unit === "nats" ? "nats" : "squared error"} per ${view.costs.per}`;
  const header = [
    "row", "level", "name", "op or layer", "kind", "precision", ...shown.map((column) => `cost ${column.title} [${unit}]`),
    "costs are", "kernel", "time [us]", "best FP32 [us]", "change", "time is",
  ];
  return [header, ...rows.filter((row) => row.type !== "detail").map((row) => lineOf(row, shown, view))];
}

function lineOf(row, shown, { data, choices, plan, times, costs }) {
  const found = costsOf(row, costs, data);
  const here = shown.map((column) => found[column.precision]);
  const kinds = here.filter(Boolean).map((cost) => cost.kind);
  const sum = timesOf(row, times);
  const fused = sum.seen > 0 && sum.inside === sum.seen;
  const whole = sum.seen === row.ops.length && sum.seen > 0 && !fused;
  const changed = whole && sum.before > 0 && !sum.emulated && row.ops.some((op) => data.precisions[choices[op]] !== "fp32");
  return [
    row.type, row.depth, row.label, row.key,
    one(row.ops.map((op) => data.ops[op].kind), row.type), one(row.ops.map((op) => data.precisions[choices[op]]), "mixed"),
    ...here.map((cost) => (cost ? cost.cost : "")), kinds.length ? one(kinds, "predicted and measured") : "",
    one(row.ops.map((op) => plan.kernels[op] || ""), "mixed"),
    whole ? sum.now : "", whole && sum.before > 0 ? sum.before : "", changed ? sum.now / sum.before - 1 : "",
    fused ? `inside ${one(row.ops.map((op) => times[op][4]), "others")}` : !whole ? "" : sum.emulated ? "emulated" : "measured",
  ];
}

/** Rows of fields as tab-separated lines. */
export function toTsv(lines) {
  return `${lines.map((line) => line.map(field).join("\t")).join("\n")}\n`;
}

/** "31 rows copied, with a header line"; `marked`: whether they were chosen from more. */
export function copiedWords(n, marked) {
  return `${plural(n, marked ? "marked row" : "row")} copied, with a header line: paste ${n === 1 ? "it" : "them"} into a spreadsheet.`;
}

/** Whether the text is on the clipboard now: pages that are not served securely, and some browsers, do not let us. */
export async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Where the clipboard is refused: the text in a box, selected, so that the browser's own copying works. */
export function offerText(text, words) {
  const back = document.activeElement;
  const area = h("textarea", { class: "px-input", readonly: true, rows: "10", "aria-label": "the table as text", "data-testid": "copy-text" });
  area.value = text;
  const close = h("button", { class: "px-btn", type: "button", text: "Close", onclick: () => box.close() });
  const box = h("dialog", { class: "px px-keys", "data-lm-suppress-shortcuts": "true", "aria-label": "copy the table" }, h("div", { class: "px-keys-head" }, h("b", { text: words }), close), area);
  box.addEventListener("keydown", (event) => event.stopPropagation());
  box.addEventListener("close", () => {
    box.remove();
    if (back?.isConnected) back.focus({ preventScroll: true });
  });
  document.body.append(box);
  box.showModal();
  area.select();
}
