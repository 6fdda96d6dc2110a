// The map's filter language: the words that a person types -> the ops that stay, or what is wrong with the words. Pure.

export const ROLES = ["compute", "sensitive", "elementwise", "view"];
const STATES = ["real", "emulated", "refused"];
const FLAGS = ["locked", "changed"];
const MICROS = { "": 1, us: 1, "\u00b5s": 1, "\u03bcs": 1, ms: 1e3, s: 1e6 };
const COUNTS = { "": 1, k: 1e3, m: 1e6, g: 1e9 };
const WORD = /(?:"[^"]*"?|[^\s"])+/g;
const COMPARISON = /^(cost|time|size)(?::([^<>=]*))?(<=|>=|<|>|=)(.*)$/;
const KEYED = /^([a-z_]+):(.*)$/;
const MOST_NAMES = 8;
const WORKS = "kind:, role:, precision:, kernel:, cost>, time>, size>, locked, changed, or a part of a name";
const COMPARE = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };
const lowered = new WeakMap();

/** The words of a filter in lower case: {text, not, kind: pattern | flag | value | comparison, ...its parts}. */
export function readWords(text) {
  return (text.toLowerCase().match(WORD) || []).map(readWord).filter((word) => word.body !== "");
}

function readWord(text) {
  const not = text.startsWith("-");
  const body = (not ? text.slice(1) : text).replaceAll('"', "");
  const compared = COMPARISON.exec(body);
  if (compared) return { text, body, not, kind: "comparison", key: compared[1], column: compared[2] || "", by: compared[3], value: compared[4] };
  const keyed = KEYED.exec(body);
  if (keyed) return { text, body, not, kind: "value", key: keyed[1], value: keyed[2] };
  return { text, body, not, kind: FLAGS.includes(body) ? "flag" : "pattern", key: body };
}

/**
 * What a filter keeps: {keep, wrong, hint, uses}. `keep` is a set of op numbers, or null where nothing is asked; `wrong` is
 * what cannot be understood, and nothing is kept by it; `hint` is what is still missing. `uses` names what the answer rests on
 * besides the table: plan, costs, times, locked.
 * `page` is {data, choices, plan, costs, times, locked}: the table, each op's precision by number, and the map's payloads.
 */
export function filterOps(text, page) {
  const terms = readWords(text).map((word, at, words) => ({ word, ...termOf(word, page, at === words.length - 1) }));
  const uses = new Set(terms.map((term) => term.uses).filter(Boolean));
  const wrong = terms.find((term) => term.wrong)?.wrong || "";
  const hint = terms.map((term) => term.hint).filter(Boolean).join(" ");
  const tests = terms.filter((term) => term.test).map(({ word, test }) => (word.not ? (op) => test(op) === false : (op) => test(op) === true));
  if (wrong || tests.length === 0) return { keep: null, wrong, hint, uses };
  const keep = new Set();
  page.data.ops.forEach((_, op) => tests.every((test) => test(op)) && keep.add(op));
  return { keep, wrong, hint, uses };
}

/** One word as a test of an op by number: true, false, or null where that is not known; or what is wrong or missing. */
function termOf(word, page, last) {
  if (word.kind === "comparison") return comparisonTerm(word, page);
  if (word.kind === "value") return valueTerm(word, page);
  if (word.kind === "flag") return word.key === "locked" ? lockedTerm(page) : changedTerm(page);
  return nameTerm(word, page, last);
}

function lockedTerm({ data, locked: ids }) {
  return { test: (op) => ids.has(data.ops[op].id), uses: "locked" };
}

function changedTerm({ data, choices }) {
  const fp32 = data.precisions.indexOf("fp32");
  return { test: (op) => choices[op] !== fp32, uses: "plan" };
}

// A part of a name

/** Each op's words in lower case, found once for a table. */
function factsOf(ops) {
  if (!lowered.has(ops)) {
    const low = (text) => String(text || "").toLowerCase();
    lowered.set(ops, ops.map((op) => ({ id: low(op.id), kind: low(op.kind), fold: low(op.fold), role: low(op.role) })));
  }
  return lowered.get(ops);
}

/** A word alone is part of an op's id, kind, fold or present precision; the beginning of a word of the language waits for its end. */
function nameTerm(word, { data, choices }, last) {
  const fits = matcher(word.body);
  const facts = factsOf(data.ops);
  const chosen = data.precisions.map((name) => fits(name.toLowerCase()));
  const test = (op) => fits(facts[op].id) || fits(facts[op].kind) || fits(facts[op].fold) || chosen[choices[op]] === true;
  const ways = last ? completions(word.body) : [];
  if (ways.length && !facts.some((_, op) => test(op))) return { hint: `${ways.join(", ")} \u2026` };
  return { test, uses: chosen.includes(true) ? "plan" : "" };
}

/** The words of the language that begin so. */
export function completions(start) {
  const words = ["kind:", "role:", "precision:", "kernel:", "cost>", "time>", "size>", ...FLAGS];
  return words.filter((word) => word.startsWith(start) && word !== start);
}

/** A test of names for a part, or for a glob with "*" and "?" that fits a whole name or whole parts of it. */
function matcher(word) {
  if (!/[*?]/.test(word)) return (fact) => fact.includes(word);
  const source = word.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, ".*").replace(/\?/g, ".");
  const pattern = new RegExp(`^${source}$|(^|[./])${source}($|[./])`);
  return (fact) => pattern.test(fact);
}

// kind:, role:, precision:, kernel:

function valueTerm(word, page) {
  if (word.key === "kernel") return kernelTerm(word, page);
  const { data, choices } = page;
  const facts = factsOf(data.ops);
  const known = {
    kind: { names: () => [...new Set(facts.map((fact) => fact.kind))], of: (op) => facts[op].kind, what: "kind of op in this model" },
    role: { names: () => ROLES, of: (op) => facts[op].role, what: "role" },
    precision: { names: () => data.precisions.map((name) => name.toLowerCase()), of: (op) => (data.precisions[choices[op]] || "").toLowerCase(), what: "precision offered here", uses: "plan" },
  }[word.key];
  if (!known) return comparable(word);
  const names = known.names();
  const chosen = chooseNames(word, names);
  if (!chosen) return { hint: `${word.key}: ${fewNames(names)}` };
  if (chosen.wrong) return { wrong: `\u201c${word.text}\u201d: there is no ${known.what} like \u201c${chosen.wrong}\u201d. There are ${fewNames(names)}.` };
  return { test: (op) => chosen.has(known.of(op)), uses: known.uses };
}

/** "cost:int8" without a number yet, or a key that does not exist. */
function comparable(word) {
  if (["cost", "time", "size"].includes(word.key)) return { hint: `${word.body}> and a number, such as ${word.key === "cost" ? "cost:int8>1e-3" : `${word.key}>${word.key === "time" ? "1ms" : "100k"}`}` };
  return { wrong: `\u201c${word.text}\u201d: the filter knows no \u201c${word.key}:\u201d. It knows ${WORKS}.` };
}

/**
 * The names that a value asks for, as a set: those equal to it, else those that hold it; commas join several. Null where the
 * value is still empty; {wrong} for the first part that no name fits.
 */
function chooseNames({ value }, names) {
  const parts = value.split(",").filter(Boolean);
  if (parts.length === 0) return null;
  const chosen = new Set();
  for (const part of parts) {
    const found = names.includes(part) ? [part] : names.filter(matcher(part));
    if (found.length === 0) return { wrong: part };
    found.forEach((name) => chosen.add(name));
  }
  return chosen;
}

function kernelTerm(word, page) {
  const { plan, data } = page;
  if (!word.value) return { hint: `kernel: ${STATES.join(", ")}, or a part of a kernel's name` };
  const states = { real: (op) => !plan.emulated[op], emulated: (op) => Boolean(plan.emulated[op]), refused: (op) => Boolean(plan.refusals[op]) };
  if (word.value in states) return { test: states[word.value], uses: "plan" };
  const offered = (data.option_kinds || []).map((option) => option.kernel || "").concat(plan.kernels);
  const names = [...new Set(offered.map((name) => name.toLowerCase()).filter(Boolean))];
  const chosen = chooseNames(word, names);
  if (!chosen) return {};
  if (chosen.wrong) return { wrong: `\u201c${word.text}\u201d: no kernel here is named like \u201c${chosen.wrong}\u201d. It can be ${STATES.join(", ")}, or part of ${fewNames(names)}.` };
  return { test: (op) => chosen.has((plan.kernels[op] || "").toLowerCase()), uses: "plan" };
}

function fewNames(names) {
  return names.length > MOST_NAMES ? `${names.slice(0, MOST_NAMES).join(", ")} and ${names.length - MOST_NAMES} more` : names.join(", ");
}

// cost>, time>, size>

function comparisonTerm(word, page) {
  const unit = { cost: { "": 1 }, time: MICROS, size: COUNTS }[word.key];
  const example = { cost: "cost>1e-4", time: "time>1ms or time>50\u00b5s", size: "size>100k" }[word.key];
  if (word.value === "") return { hint: `${word.key} needs a number, such as ${example}.` };
  const limit = numberOf(word.value, unit);
  if (limit === null && beginsNumber(word.value, unit)) return { hint: `${word.key} needs a number, such as ${example}.` };
  if (limit === null) return { wrong: `\u201c${word.text}\u201d: \u201c${word.value}\u201d is no ${word.key}. Write ${example}.` };
  if (word.column && word.key !== "cost") return { wrong: `\u201c${word.text}\u201d: only a cost has a column of its own. Write ${example}.` };
  const found = { cost: costsOfOps, time: timesOfOps, size: sizesOfOps }[word.key](word, page);
  if (!found.value) return found;
  const unknown = page.data.ops.reduce((n, _, op) => n + (found.value(op) === null ? 1 : 0), 0);
  const holds = COMPARE[word.by];
  const test = (op) => {
    const value = found.value(op);
    return value === null ? null : holds(value, limit);
  };
  return { test, uses: found.uses, hint: unknown && found.missing ? `${found.missing(unknown)} left out.` : "" };
}

/** A number with its unit, "1.5ms", in the unit's terms; null where it is none. */
function numberOf(text, units) {
  const found = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z\u00b5\u03bc]*)$/.exec(text);
  return found && found[2] in units ? Number(found[1]) * units[found[2]] : null;
}

/** Whether more typing can make a number of it: "1e-", "2m" of "2ms". */
function beginsNumber(text, units) {
  const found = /^[+-]?\d*\.?\d*(?:e[+-]?)?([a-z\u00b5\u03bc]*)$/.exec(text);
  return Boolean(found) && Object.keys(units).some((unit) => unit.startsWith(found[1]));
}

/** The cost of what is chosen now, or of one column; an output that becomes NaN costs more than any number. */
function costsOfOps(word, { data, choices, costs: known }) {
  const column = word.column ? data.precisions.findIndex((name) => name.toLowerCase() === word.column) : -1;
  if (word.column && column < 0) return { wrong: `\u201c${word.text}\u201d: no precision offered here is called \u201c${word.column}\u201d. There are ${fewNames(data.precisions)}.` };
  if (!known.ready && known.state === "failed") return { wrong: `\u201c${word.text}\u201d: no cost is known here: ${known.error}` };
  if (!known.ready && known.state === "absent") return { wrong: `\u201c${word.text}\u201d: this recording holds no costs.` };
  if (!known.ready) return { hint: `Costs are still being predicted: ${word.text} applies once they are there.`, uses: "costs" };
  const value = (op) => {
    const precision = column < 0 ? choices[op] : column;
    const found = data.options[op][precision]?.possible ? known.at(op, precision) : null;
    return found ? (Number.isNaN(found.cost) ? Infinity : found.cost) : null;
  };
  return { value, uses: "costs" };
}

/** Measured times; what is emulated, fused into another op or not measured has none. */
function timesOfOps(word, { times: known }) {
  if (!known.some(Boolean)) return { hint: `No time is measured yet: ${word.text} applies once there are some.`, uses: "times" };
  const value = (op) => {
    const entry = known[op];
    return entry && !entry[2] && !entry[4] ? entry[0] : null;
  };
  return { value, uses: "times", missing: (n) => `${n === 1 ? "1 op has" : `${n} ops have`} no measured time of their own (fused, emulated or not measured yet):` };
}

function sizesOfOps(_, { data }) {
  return { value: (op) => data.ops[op].params || 0 };
}
