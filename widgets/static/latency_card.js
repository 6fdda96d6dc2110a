// The latency card's words: over which baseline, where the gain comes from, and how sure that is. Pure.
import { bytes, count, duration, isNumber, plural, speedup, three } from "./numbers.js";

const SAME = 0.02;
const ENGINES = { eager: "plain calls, one after the other", compile: "through torch.compile", cudagraph: "as one CUDA graph" };
const NEEDED = { p90: 100, p99: 1000 };

const ms = (x) => `${three(x)} ms`;

/** How sure a ratio is: its interval, and whether it tells the two apart. */
export function surely(ratio) {
  if (!ratio || !isNumber(ratio.low) || !isNumber(ratio.high)) return "";
  const open = ratio.low <= 1 && ratio.high >= 1 ? ", no clear difference" : "";
  return `95 % ${speedup(ratio.low)} to ${speedup(ratio.high)}${open}`;
}

export function toneOf(ratio) {
  if (!ratio) return "";
  return ratio.low > 1 ? "good" : ratio.high < 1 ? "bad" : "";
}

/** Where a speed-up over eager FP32 comes from: "= 1.20x from better kernels x 1.75x from lower precision". */
export function splitWords(l, baseline) {
  if (!isNumber(l.kernel_gain) || !isNumber(l.precision_gain)) return "";
  if (baseline) return "from kernels alone: every op is in FP32";
  const kernels = `${speedup(l.kernel_gain)} from ${l.kernel_gain >= 1 + SAME ? "better " : ""}kernels`;
  const slower = l.over_fp32 && l.over_fp32.high < 1 ? ", which is slower here" : "";
  return `= ${kernels} \u00d7 ${speedup(l.precision_gain)} from lower precision${slower}`;
}

/** Empty where the machine kept its pace. */
export function driftWords(l) {
  if (l.steady !== false) return "";
  const by = l.drift && isNumber(l.drift.value) ? ` by ${Math.max(1, Math.round(100 * Math.abs(l.drift.value - 1)))} %` : "";
  return `unsteady: the machine drifted${by}`;
}

function percentiles(l) {
  const found = l.percentiles || {};
  const known = ["p50", "p90", "p99"].filter((name) => isNumber(found[name]));
  if (!known.length) return "";
  const next = ["p90", "p99"].find((name) => !isNumber(found[name]));
  const missing = next ? ` \u00b7 ${next} needs ${count(NEEDED[next])} runs` : "";
  return known.map((name) => `${name} ${ms(found[name])}`).join(" \u00b7 ") + missing;
}

/** "36.9 ms of 38.4 ms, 1.5 ms (4 %) unexplained". */
export function sumWords({ sum_us: sum, whole_us: whole, rest_us: rest }) {
  if (!isNumber(sum) || !isNumber(whole) || !isNumber(rest) || sum <= 0) return "";
  const share = whole > 0 ? ` (${Math.round((100 * Math.abs(rest)) / whole)} %)` : "";
  const left = rest < 0 ? `${duration(-rest)}${share} less together than one by one` : `${duration(rest)}${share} unexplained`;
  return `${duration(sum)} of ${duration(whole)}, ${left}`;
}

function machine(l) {
  if (l.steady === null || l.steady === undefined) return "";
  const by = l.drift && isNumber(l.drift.value) ? Math.round(100 * (l.drift.value - 1)) : null;
  const pace = by ? `the second half of the run took ${Math.abs(by)} % ${by > 0 ? "more" : "less"} than the first` : "";
  const words = l.steady ? ["steady", pace && `${pace}, within the noise`] : ["unsteady", pace, "measure again when nothing else runs"];
  return words.filter(Boolean).join(" \u00b7 ");
}

/** What the card folds away: [name, words] for everything that is known. */
export function detailsOf(l) {
  const rows = [
    ["your eager FP32", isNumber(l.eager_ms) ? `${ms(l.eager_ms)} \u00b7 the model as you run it` : ""],
    ["best FP32", isNumber(l.fp32_ms) ? `${ms(l.fp32_ms)} \u00b7 same weights on the fastest FP32 kernels here` : ""],
    ["this recipe", isNumber(l.candidate_ms) ? [ms(l.candidate_ms), ENGINES[l.engine]].filter(Boolean).join(" \u00b7 ") : ""],
    ["spread", percentiles(l)],
    ["predicted", isNumber(l.predicted_ms) ? `${ms(l.predicted_ms)} \u00b7 the sum of its ops and casts` : ""],
    ["ops and casts", sumWords(l)],
    ["machine", machine(l)],
    ["energy", isNumber(l.energy_mj) ? `${three(l.energy_mj)} mJ a batch` : ""],
    ["peak memory", isNumber(l.peak_bytes) ? bytes(l.peak_bytes) : ""],
    ["measured", [isNumber(l.n) ? `${plural(l.n, "run")} of each, taking turns at random` : "", l.conditions].filter(Boolean).join(" \u00b7 ")],
  ];
  return rows.filter(([, words]) => words);
}

/** A measured latency as the card shows it: both speed-ups, their split, what is in doubt, and the details. */
export function latencyWords(l, baseline) {
  const rate = [`${ms(l.candidate_ms)} a batch`, isNumber(l.throughput) ? `${count(l.throughput)} samples/s` : ""];
  const figure = (ratio, from, name) => ({
    big: speedup(ratio.value), over: name, tone: toneOf(ratio), facts: [surely(ratio), isNumber(from) ? `from ${ms(from)}` : ""].filter(Boolean),
  });
  const best = !baseline && l.over_fp32 && isNumber(l.over_fp32.value);
  return {
    ...figure(l.over_eager, l.eager_ms, "over your eager FP32"), also: best ? figure(l.over_fp32, l.fp32_ms, "over best FP32") : null,
    split: splitWords(l, baseline), rate: rate.filter(Boolean).join(" \u00b7 "), warning: driftWords(l), details: detailsOf(l),
  };
}
