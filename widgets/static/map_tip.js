// The map's one tooltip: what a cell, a notch or a kernel means, in words, and why it cannot be otherwise.
import { costWords } from "./map_costs.js";
import { costsOf, timesOf } from "./map_rows.js";
import { duration, plural } from "./numbers.js";
import { limitOf } from "./time_rows.js";
import { standing } from "./tree.js";

const MANY = 3;
const MANY_OPS = 8;

/** The lines of a cell's tooltip: [title, ...sentences], the last of what a click does, where it does anything. */
export function cellWords(...asked) {
  const { lines, action } = aboutCell(...asked);
  return action ? [...lines, action] : lines;
}

/** What is to be said of a cell, {lines, action}; `proposed`: how many of the ops the slider's recipe would move there. */
export function aboutCell(row, precision, data, choices, costs = null, proposed = 0) {
  const name = data.precisions[precision];
  const found = costs && costsOf(row, costs, data)[precision];
  const wish = proposed ? `Proposed by the search${row.ops.length > 1 ? ` for ${proposed} of its ops` : ""}.` : "";
  const title = `${row.type === "op" ? row.key : row.label} \u2192 ${name}`;
  if (row.type === "op") {
    const option = data.options[row.ops[0]][precision];
    const chosen = choices[row.ops[0]] === precision ? "Chosen now." : "Click to choose it.";
    if (!option.possible) return { lines: [title, `Not possible: ${option.reason || "no reason was given"}`], action: "" };
    const cost = costs ? costWords(found, costs, option.emulated) : "";
    const kernel = option.emulated ? [`No real kernel: ${option.reason || "this device has no kernel for it"}`, "Numbers are exact, times mean nothing."]
      : [`Real kernel: ${option.kernel}`, option.reason];
    return { lines: [option.emulated ? `${title}, emulated here` : title, cost, ...kernel, wish].filter(Boolean), action: chosen };
  }
  const at = standing(row, precision, data.options, choices);
  const can = row.ops.filter((op) => data.options[op][precision].possible);
  if (!at.possible) return { lines: [title, "Not possible for any op here.", ...reasons(row.ops, precision, data)], action: "" };
  const emulated = can.filter((op) => data.options[op][precision].emulated).length;
  const cost = costs ? costWords(found, costs, emulated > 0) : "";
  const parts = [cost, `${can.length} of ${row.ops.length} ops can${emulated ? `, ${emulated} of them emulated` : ""}.`, wish].filter(Boolean);
  return { lines: [title, ...parts], action: at.chosen ? "Chosen for all of them now." : `Click to choose it for all ${can.length}.` };
}

function reasons(ops, precision, data) {
  return [...new Set(ops.map((op) => data.options[op][precision].reason).filter(Boolean))].slice(0, MANY);
}

/** The lines for a row's lane: each cast that happens at it, and each skip connection that begins or ends there. */
export function laneWords(row, lane, data) {
  return [...castLines(row, lane, data), ...arcLines(lane, data)];
}

function arcLines(lane, data) {
  const lines = lane.arcs.filter((arc) => arc.part !== "through").map((arc) => {
    const name = data.ops[arc.source]?.id ?? "the input";
    return arc.part === "start" ? `Its result is also read further down, in ${arc.format || "its format"}.` : `Reads ${name} from further up, in ${arc.format || "its format"}.`;
  });
  return lane.left ? [...lines, `${plural(lane.left, "more connection")} past other rows ${lane.left === 1 ? "is" : "are"} not drawn.`] : lines;
}

function castLines(row, lane, data) {
  if (!lane.casts.length) return [row.label, lane.node === "none" ? "A layer that is open: its ops follow." : `No cast: ${lane.format || "one format"} flows through.`];
  const lines = lane.casts.slice(0, 6).map((cast) => {
    const time = cast.time_us ? `, ${duration(cast.time_us)}` : "";
    return `Cast ${cast.direction}: ${cast.from} \u2192 ${cast.to}, from ${data.ops[cast.source]?.id ?? "the input"}${time}`;
  });
  if (lane.casts.length > 6) lines.push(`and ${lane.casts.length - 6} more`);
  return [row.label, ...lines];
}

/** The lines for a row's kernel and time: what was asked for, what runs it, how long, and how near that is to the limit. */
export function kernelWords(row, plan, times, data, choices) {
  const lines = row.ops.slice(0, MANY_OPS).map((op) => {
    const before = row.ops.length > 1 ? `${data.ops[op].id}: ` : "";
    return before + executed(op, plan, data.precisions[choices[op]]);
  });
  if (row.ops.length > MANY_OPS) lines.push(`and ${row.ops.length - MANY_OPS} more`);
  return [row.label, ...lines, ...timeWords(row, times)];
}

/** What was asked for and what runs, which are never silently different. */
function executed(op, plan, asked) {
  const kernel = plan.kernels[op] || "no kernel named";
  if (!plan.emulated[op]) return `asked for ${asked}, runs in ${asked} on ${kernel}`;
  return `asked for ${asked}, emulated: ${plan.refusals[op] || "this device has no kernel for it"}`;
}

function timeWords(row, times) {
  const sum = timesOf(row, times);
  if (!sum.seen) return [];
  if (sum.inside === sum.seen) {
    const hosts = [...new Set(row.ops.map((op) => times[op]?.[4]).filter(Boolean))];
    return [`Done inside ${hosts.slice(0, MANY).join(", ")}, before its result is written: no time of its own.`];
  }
  if (sum.emulated) return [`${duration(sum.now)} here, but emulated, so this time means nothing.`];
  const holds = sum.holds ? ` It also does ${plural(sum.holds, "op or cast", "ops and casts")} that would be calls of their own.` : "";
  const against = sum.before ? `, ${duration(sum.before)} in best FP32` : "";
  const limit = sum.seen === row.ops.length ? limitOf(sum.now, sum.floor) : null;
  return [`${duration(sum.now)} now${against}, measured.${holds}`, limit && limit.words].filter(Boolean);
}
