// The five cards' words: a measured payload -> {title, tag, kind, n, big, facts, tone}, a latency with more. Pure.
// Its `state` is opening, running or idle, or why the page's session has stopped: ended or lost.
import { latencyWords } from "./latency_card.js";
import { bytes, count, difference, duration, isNumber, plural, score, small, speedup, three } from "./numbers.js";
import { bandWords, besideWords } from "./price_words.js";

const TAG = {
  predicted: "predicted", measured: "measured", emulated: "emulated", recorded: "recorded", pending: "pending", absent: "not recorded",
};

/** `facts`: what is below the number, each an idea with a line of its own. */
function card(title, part, big, facts, tone = "") {
  const kind = TAG[part.kind] ? part.kind : "pending";
  return { title, kind, tag: TAG[kind], n: part.n ?? "", big: kind === "absent" ? ABSENT : big, facts: facts.filter(Boolean), tone };
}

/** Of a session that stopped: why a number is not there, and is not to come. */
const STOPPED = { ended: "not measured: the session ended", lost: "not measured: no connection" };
const ABSENT = "\u2013";

/** Why a number is not there yet, in words. */
function waiting(payload) {
  if (STOPPED[payload.state]) return STOPPED[payload.state];
  if (payload.state === "opening") return "opening the model\u2026";
  return payload.state === "running" ? "measuring\u2026" : "not measured: press Measure";
}

function samples(part) {
  if (!isNumber(part.n)) return "";
  return isNumber(part.total) && part.n < part.total ? `first ${count(part.n)} of ${count(part.total)}` : `n = ${count(part.n)}`;
}

export function qualityCard(payload) {
  const q = payload.quality;
  const title = q.name || "Score";
  if (!isNumber(q.score)) return card(title, q, "\u2026", [q.error || waiting(payload)]);
  if (payload.baseline) return card(title, q, score(q.score, q.unit), ["FP32 baseline", samples(q)]);
  const unit = q.unit === "%" ? " points" : "";
  const between = `95 % between ${difference(q.lo, q.unit)} and ${difference(q.hi, q.unit)}`;
  const tone = q.hi < 0 ? "bad" : q.lo > 0 ? "good" : "";
  const known = isNumber(q.lo) && isNumber(q.hi) ? between : "";
  return card(title, q, score(q.score, q.unit), [`${difference(q.difference, q.unit)}${unit} against FP32`, known, samples(q)], tone);
}

/** The card of a KL that is only predicted so far: with its band, and the words where it is beyond its validity. */
function guessCard(k, payload) {
  return card(costName(k.predicted.unit), { ...k, kind: "predicted" }, small(k.predicted.cost), [...bandWords(k.predicted).split(" \u00b7 "), k.error || waiting(payload)]);
}

const costName = (unit) => (unit === "squared error" ? "Squared error" : "KL to FP32");

export function klCard(payload) {
  const k = payload.kl;
  const title = costName(k.unit);
  const beside = (whole) => besideWords(k.predicted, k.value, whole);
  if (k.kind === "predicted" && !payload.baseline) return guessCard(k, payload);
  if (!isNumber(k.n)) return card(title, { ...k, kind: k.kind === "absent" ? "absent" : "pending" }, "\u2026", [k.error || waiting(payload), k.predicted && !isNumber(k.predicted.cost) ? beside(false) : ""]);
  if (!isNumber(k.value) && (k.broken || isNumber(k.agreement))) return card(title, k, "NaN", ["outputs became NaN or Inf: Findings below says where", samples(k)], "bad");
  if (!isNumber(k.value)) return card(title, k, "none", ["not kept when this was measured", payload.baseline ? "" : beside(false), samples(k)], "quiet");
  if (payload.baseline) return card(title, k, small(k.value), ["FP32 baseline, nothing to differ from"]);
  const between = isNumber(k.lo) && isNumber(k.hi) && k.lo < k.hi ? `95 % ${small(k.lo)} to ${small(k.hi)}` : "";
  const agree = isNumber(k.agreement) ? `same answer on ${score(k.agreement)}` : "";
  return card(title, k, small(k.value), [between, beside(k.n === k.total), agree, samples(k)]);
}

export function latencyCard(payload) {
  const l = payload.latency;
  const title = "Latency";
  if (l.kind === "emulated") {
    const ops = l.emulated_ops || 1;
    const why = `${plural(ops, "op")} ${ops === 1 ? "has" : "have"} no kernel here, so the time means nothing`;
    const seen = l.over_eager ? `(emulation ran at ${speedup(l.over_eager.value)})` : "";
    return card(title, l, "no real speed", [`emulated: ${why} ${seen}`.trim()], "quiet");
  }
  if (!l.over_eager) {
    if (!isNumber(l.predicted_ms)) return card(title, l, "\u2026", [l.error || waiting(payload)]);
    const against = isNumber(l.baseline_ms) ? `against ${three(l.baseline_ms)} ms eager FP32` : "from the per-op table";
    return card(title, l, `${three(l.predicted_ms)} ms`, [against, l.error || waiting(payload)]);
  }
  const words = latencyWords(l, payload.baseline);
  return { ...card(title, l, words.big, words.facts, words.tone), ...words };
}

export function memoryCard(payload) {
  const m = payload.memory;
  if (!isNumber(m.weights)) return card("Weights", m, "\u2026", [m.error || waiting(payload)]);
  const total = m.weights + (m.scales || 0);
  const scales = m.scales ? `${bytes(m.scales)} of it scales` : "";
  const acts = isNumber(m.activations) ? `activations peak ${bytes(m.activations)} of ${bytes(m.activations_fp32)}${m.activations_kind ? `, ${m.activations_kind}` : ""}` : "";
  const of = payload.baseline ? "FP32 baseline" : `of ${bytes(m.weights_fp32)} in FP32`;
  return card("Weights", m, bytes(total), [of, scales, acts], total < 0.995 * m.weights_fp32 ? "good" : "");
}

export function castsCard(payload) {
  const c = payload.casts;
  if (!isNumber(c.count)) return card("Casts", c, "\u2026", [c.error || waiting(payload)]);
  if (c.count === 0) return card("Casts", c, "0", ["no tensor changes format"]);
  const inside = c.inside ? `${count(c.inside)} done inside other calls` : "";
  const time = isNumber(c.time_us) ? (c.inside === c.count ? "" : `${duration(c.time_us)} in all`) : "time not measured";
  return card("Casts", c, count(c.count), [`${count(c.down)} down, ${count(c.up)} up`, time, inside]);
}

/** The five cards in reading order, each with its test id and the term that its title is. */
export function cards(payload) {
  const score = (payload.quality.name || "").toLowerCase() === "accuracy" ? "accuracy" : "score";
  const kl = klCard(payload);
  const all = [
    { id: "delta-quality", term: score, ...qualityCard(payload) },
    { id: "delta-kl", term: kl.title.startsWith("KL") ? "KL" : "squared error", ...kl },
    { id: "delta-latency", term: "latency", ...latencyCard(payload) },
    { id: "delta-memory", term: "weights", ...memoryCard(payload) },
    { id: "delta-casts", term: "cast", ...castsCard(payload) },
  ];
  return STOPPED[payload.state] ? all.map((one) => (one.kind === "pending" ? { ...one, big: ABSENT, tag: "missing" } : one)) : all;
}
