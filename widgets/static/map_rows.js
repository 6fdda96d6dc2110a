// One row of the map: its elements once, then patched in place so that focus and hover survive.
import { arcPath, family } from "./lane.js";
import { costOf, costWords, movedTo, paintOf } from "./map_costs.js";
import { drawStrip } from "./map_strip.js";
import { change, micros } from "./numbers.js";
import { h, put, svg } from "./shared.js";
import { lastName, limitOf } from "./time_rows.js";
import { standing } from "./tree.js";

export const ROW = 28;
const LINE_X = 18;
/** What means something only where the row really lies. */
const IN_PLACE = new Set(["casts", "range"]);

/** The columns left to right; one with a `draw` fills its element from the row, precisions expand to one cell each. */
export function columnsOf(precisions) {
  return [
    { key: "layer", title: "layer", least: "var(--px-w-layer)", grows: 2.5, draw: drawName },
    { key: "casts", title: "casts", least: "var(--px-w-lane)", draw: drawLane },
    { key: "range", title: "range", least: "var(--px-w-strip)", grows: 2, draw: drawStrip },
    ...precisions.map((precision, at) => ({ key: `cell:${precision}`, title: precision, least: "var(--px-w-cell)", grows: 0.4, precision: at })),
    { key: "kernel", title: "kernel", least: "90px", grows: 1.2, draw: drawKernel },
    { key: "time", title: "\u00b5s", about: "microseconds of each op, measured on this machine", least: "60px", draw: drawTime },
    { key: "change", title: "\u0394", about: "change of that time against the best FP32 kernel here", least: "54px", draw: drawChange },
    { key: "limit", title: "of limit", about: "how near an op is to the least time that this machine could take for it", least: "58px", draw: drawLimit },
  ];
}

/** A precision's name in a narrow cell: "int8_static" is "static" there, for its column says the rest. */
export function shortName(precision) {
  return precision.length > 6 ? precision.slice(precision.indexOf("_") + 1) : precision;
}

/** The elements of a row; one of a header that stays at the top is for the eye and the mouse alone. */
export function newRow(row, columns, precisions, stuck = false) {
  const element = h("div", { class: "px-row", role: "row" });
  for (const column of columns) {
    if (column.precision === undefined) {
      element.append(h("div", { class: `px-col px-col-${column.key}`, role: column.key === "layer" ? "rowheader" : "gridcell" }));
    } else {
      element.append(h("button", {
        class: "px-cell", type: "button", role: "gridcell", tabindex: "-1", "data-at": column.precision,
        "data-testid": stuck ? null : `cell:${row.key}:${precisions[column.precision]}`,
      }, h("span")));
    }
  }
  element.px = {};
  return element;
}

/** Brings a row's elements to what `view` says: {row, lane, data, choices, plan, flows, times, strips, bands, costs, proposal}. */
export function fillRow(element, view, columns) {
  const { row } = view;
  put(element, "class", `px-row px-${row.type}${view.selected ? " px-selected" : ""}`);
  put(element, "data-testid", view.stuck ? `stuck:${row.key}` : `row:${row.key}`);
  put(element, "data-key", row.key);
  put(element, "aria-level", row.depth + 1);
  put(element, "aria-expanded", String(row.type === "op" ? Boolean(view.detailed) : row.open));
  put(element, "aria-selected", String(Boolean(view.selected)));
  columns.forEach((column, at) => {
    const part = element.children[at];
    if (view.stuck && IN_PLACE.has(column.key)) return;
    if (column.precision === undefined) column.draw(part, view);
    else fillCell(part, view, column.precision);
  });
}

/** The cost of a row in each precision, kept for as long as row and costs stay the same. */
export function costsOf(row, costs, data) {
  if (row.px?.costs !== costs) {
    row.px = { costs, cells: data.precisions.map((_, precision) => costOf(row, precision, costs, data.options)) };
  }
  return row.px.cells;
}

/** What one cell says: its classes, its mark, its cost and its words. */
export function cellState(view, precision) {
  const { row, data, choices, costs } = view;
  const at = standing(row, precision, data.options, choices);
  const name = data.precisions[precision];
  const who = row.type === "op" ? row.key : `all of ${row.label}`;
  const why = row.type === "op" ? data.options[row.ops[0]][precision].reason : "";
  if (!at.possible) return { ...at, name, words: `${who}: ${name}, not possible${why ? `: ${why}` : ""}` };
  const now = at.chosen ? ", chosen" : at.share > 0 ? `, chosen for ${Math.round(100 * at.share)} %` : "";
  const found = costsOf(row, costs, data)[precision];
  const paint = paintOf(found, costs.domain);
  const moved = movedTo(row, precision, view.proposal, choices);
  const cost = found ? `. ${costWords(found, costs)}` : "";
  return { ...at, name, paint, cost: found?.cost, moved, words: `${who}: ${name}${at.emulated ? ", emulated here" : ""}${now}${moved ? ", proposed" : ""}${cost}` };
}

/** A cell's name: what is seen is in it as words of its own, not in brackets, for people who speak to the page. */
export function cellName(words, shown) {
  if (!shown || words.split(/[\s,:.]+/).includes(shown)) return words;
  return `${words.endsWith(".") ? words : `${words}.`} ${shown}`;
}

function fillCell(button, view, precision) {
  const state = cellState(view, precision);
  const small = view.row.type === "layer";
  const { paint } = state;
  const classes = ["px-cell", `px-fam-${family(state.name)}`];
  if (small) classes.push("px-mini");
  if (!state.possible) classes.push("px-no");
  if (state.emulated) classes.push("px-em");
  if (state.chosen) classes.push("px-sel");
  if (state.moved) classes.push("px-prop");
  if (view.waiting) classes.push("px-wait");
  put(button, "class", classes.join(" "));
  const shown = small ? "" : !state.possible ? "\u00b7" : paint ? paint.text : state.chosen ? shortName(state.name) : "";
  put(button, "aria-label", state.possible ? cellName(state.words, shown) : state.words);
  put(button, "aria-disabled", state.possible ? null : "true");
  put(button, "aria-selected", String(state.chosen));
  put(button, "data-state", !state.possible ? "impossible" : state.emulated ? "emulated" : "real");
  put(button, "data-chosen", state.chosen ? "true" : null);
  put(button, "data-proposed", state.moved ? "true" : null);
  put(button, "data-cost", paint ? String(Number(state.cost.toPrecision(3))) : null);
  put(button, "data-kind", paint ? paint.kind : null);
  put(button, "data-step", paint ? paint.step : null);
  const inner = button.firstChild;
  put(inner, "text", shown);
  put(inner, "style", styleOf(state, small));
}

/** A closed layer's bar is as long as its cost is high; a line below says for which share of its ops it is chosen. */
function styleOf({ possible, paint, share, chosen }, small) {
  const parts = [];
  if (possible && small && paint) parts.push(`--bar: ${Math.max(8, paint.bar)}%`);
  if (possible && share > 0 && !chosen) parts.push(`--share: ${Math.round(100 * share)}%`);
  return parts.length ? parts.join("; ") : null;
}

function drawName(part, { row, data, locked, detailed, stuck }) {
  const signature = `${row.label}|${row.path}|${row.open}|${row.depth}|${row.type}|${row.ops.length}|${locked}|${detailed}`;
  if (part.px === signature) return;
  part.px = signature;
  const first = data.ops[row.ops[0]];
  const sub = row.type === "op" ? first.sub : row.type === "fold" ? `${first.fold_kind || "one idea"} \u00b7 ${row.ops.length} ops` : layerSub(row, data);
  const opened = row.type === "op" ? detailed : row.open;
  const twist = h("button", {
    class: "px-twist", type: "button", tabindex: "-1", "aria-hidden": "true", "data-open": opened ? "true" : null,
    title: row.type === "op" ? "errors of this op, their cause, and why each precision is what it is here (E)" : null, text: opened ? "\u25be" : "\u25b8",
  });
  part.style.setProperty("--depth", row.depth);
  part.title = `${row.key}\n${sub}${row.type === "op" && first.source ? `\n${first.source}` : ""}`;
  const all = locked === row.ops.length;
  const lock = h("button", {
    class: "px-lock", type: "button", tabindex: "-1", "data-locked": locked ? (all ? "all" : "some") : null, "data-testid": stuck ? null : `lock:${row.key}`,
    "aria-label": all ? "locked for the search" : locked ? `${locked} ops locked for the search` : "lock for the search",
    title: all ? "Locked: a search leaves it as it is; you can still choose. Click to set it free (L)" : `Lock${locked ? ` all of it (${locked} are)` : ""}: a search leaves it as it is; you can still choose (L)`,
  }, padlock(locked > 0), locked && !all ? h("span", { text: String(locked) }) : null);
  const path = row.path ? h("span", { class: "px-path", text: row.path }) : null;
  part.replaceChildren(...[twist, h("span", { class: "px-name", text: row.label }), lock, path, h("span", { class: "px-sub", text: sub })].filter(Boolean));
}

/** A padlock, as it stands in rows and in the legend; its bow is open where nothing is locked. */
export function padlock(locked = true) {
  const picture = svg("svg", { viewBox: "0 0 12 12", class: "px-padlock", "aria-hidden": "true" });
  picture.append(svg("path", { d: locked ? "M3.5 5.5V4a2.5 2.5 0 0 1 5 0v1.5" : "M3.5 5.5V3.6a2.5 2.5 0 0 1 4.9 -.7" }), svg("rect", { x: 2.2, y: 5.5, width: 7.6, height: 5.2, rx: 1.2 }));
  return picture;
}

function layerSub(row, data) {
  const params = row.ops.reduce((sum, op) => sum + (data.ops[op].params || 0), 0);
  const size = params >= 1e6 ? `${(params / 1e6).toFixed(1)} M` : params >= 1e3 ? `${Math.round(params / 1e3)} k` : String(params);
  return `${row.ops.length} ops${params ? ` \u00b7 ${size} weights` : ""}`;
}

function drawLane(part, { lane }) {
  const signature = JSON.stringify(lane);
  if (part.px === signature) return;
  part.px = signature;
  const picture = svg("svg", { width: "100%", height: ROW, "aria-hidden": "true" });
  for (const arc of lane.arcs) {
    picture.append(svg("path", { d: arcPath(arc.part, arc.track, ROW, LINE_X), class: `px-arc px-fam-${family(arc.format)}` }));
  }
  const half = (line, y1, y2) => line && picture.append(svg("line", {
    x1: LINE_X, x2: LINE_X, y1, y2, class: `px-flow px-fam-${family(line.format)}${line.flows ? "" : " px-apart"}`,
  }));
  half(lane.above, 0, ROW / 2);
  half(lane.below, ROW / 2, ROW);
  if (lane.node === "dot") picture.append(svg("circle", { cx: LINE_X, cy: ROW / 2, r: 3.6, class: `px-dot px-fam-${family(lane.format)}` }));
  if (lane.node === "cast") picture.append(...notch(lane));
  part.replaceChildren(picture);
  put(part, "aria-label", lane.casts.length ? lane.casts.map((cast) => `cast ${cast.from} to ${cast.to}`).join(", ") : "no cast");
}

function notch(lane) {
  const cast = lane.casts.find((one) => !one.inside);
  const mid = ROW / 2;
  const diamond = `M${LINE_X} ${mid - 6.2} L${LINE_X + 6.2} ${mid} L${LINE_X} ${mid + 6.2} L${LINE_X - 6.2} ${mid} Z`;
  return [svg("path", { d: diamond, class: `px-notch px-fam-${family(cast.to)}` })];
}

function drawKernel(part, { row, plan, times }) {
  const hosts = new Set(row.ops.map((op) => times[op]?.[4] || ""));
  const kernels = new Set(row.ops.map((op) => plan.kernels[op] || ""));
  const emulated = row.ops.some((op) => plan.emulated[op]);
  const host = hosts.size === 1 ? [...hosts][0] : "";
  put(part, "text", host ? `inside ${lastName(host)}` : kernels.size === 1 ? [...kernels][0] : `${kernels.size} kernels`);
  put(part, "data-emulated", emulated || host ? "true" : null);
}

/** The measured times of a row's ops, summed; those done inside another call add nothing. `floor` is null where unknown. */
export function timesOf(row, times) {
  const sum = { now: 0, before: 0, seen: 0, inside: 0, holds: 0, floor: 0, emulated: false };
  for (const op of row.ops) {
    const entry = times[op];
    if (!entry) continue;
    const [now, before, emulated, floor, inside, holds] = entry;
    sum.now += now;
    sum.before += before || 0;
    sum.seen += 1;
    sum.inside += inside ? 1 : 0;
    sum.holds += holds || 0;
    sum.emulated = sum.emulated || Boolean(emulated);
    if (now > 0) sum.floor = sum.floor === null || typeof floor !== "number" ? null : sum.floor + floor;
  }
  return sum;
}

function drawTime(part, { row, times }) {
  const sum = timesOf(row, times);
  const fused = sum.seen > 0 && sum.inside === sum.seen;
  put(part, "text", sum.seen === 0 ? "" : fused ? "fused" : sum.seen < row.ops.length ? `${micros(sum.now)}+` : micros(sum.now));
  put(part, "data-kind", sum.seen ? (fused ? "fused" : sum.emulated ? "emulated" : "measured") : null);
}

/** The change against best FP32; an op that still runs in FP32 has none, only noise. */
function drawChange(part, { row, times, data, choices }) {
  const sum = timesOf(row, times);
  const changed = row.ops.some((op) => data.precisions[choices[op]] !== "fp32");
  const whole = changed && sum.seen === row.ops.length && !sum.emulated && sum.now > 0;
  put(part, "text", sum.emulated ? "emul." : whole ? change(sum.now, sum.before) : "");
  put(part, "data-tone", whole && sum.before ? (sum.now < 0.97 * sum.before ? "good" : sum.now > 1.03 * sum.before ? "bad" : "") : null);
}

/** How near the row is to what this machine could do at best: a bar and its percentage. */
function drawLimit(part, { row, times }) {
  const sum = timesOf(row, times);
  const limit = sum.emulated || sum.seen < row.ops.length ? null : limitOf(sum.now, sum.floor);
  const percent = limit ? Math.round(100 * limit.share) : 0;
  if (!part.firstChild) part.append(h("span"), h("i"));
  put(part.firstChild, "text", limit ? `${percent} %` : "");
  put(part.lastChild, "style", limit ? `--share: ${percent}%` : null);
  put(part, "data-known", limit ? "true" : null);
}
