// What the findings panel says. Pure.
import { isNumber, plural, small, three } from "./numbers.js";

/** The line above the findings, for each state of the panel. */
export function findingsNote(found) {
  const { state, error, changed, rows, more } = found;
  if (state === "opening") return "No model is open yet.";
  if (state === "failed") return error;
  if (state === "waiting") return "Looking at every op that is not in FP32\u2026 Cancel is in the bar above.";
  if (state === "idle") return "Why the recipe loses what it loses, op by op, and what could be done about it.";
  if (rows.length === 0) return `Nothing to worry about: looked at ${changed ? `${plural(changed, "op")} in lower precision` : `all ${plural(found.ops, "op")}, every one in FP32`}, and no rule found a cause of loss.`;
  return `${plural(rows.length + (more || 0), "finding")}, worst first; looked at ${plural(changed, "op")} in lower precision.`;
}

/** What a finding costs at the model's output. */
export function costWords(row, kind) {
  if (row.breaks) return `output becomes NaN or Inf (${kind})`;
  return isNumber(row.severity) && row.severity > 0 ? `alone ${small(row.severity)} nats of KL (${kind})` : "";
}

/** What trying a remedy showed: {words, tone}. */
export function previewWords(remedy) {
  if (remedy.state === "waiting") return { words: "being tried\u2026", tone: "" };
  if (remedy.state === "failed") return { words: remedy.error, tone: "bad" };
  if (remedy.state !== "ready") return { words: "", tone: "" };
  const kl = isNumber(remedy.before) || isNumber(remedy.after);
  const name = kl ? "KL to FP32" : "SQNR";
  const [before, after] = kl ? [told(remedy.before, small), told(remedy.after, small)] : [told(remedy.sqnr_before, three), told(remedy.sqnr_after, three)];
  const verdict = remedy.helps ? "it helps" : "it does not help";
  return { words: `${name} ${before} \u2192 ${after}${kl ? " nats" : " dB"}: ${verdict} (${remedy.kind}, ${remedy.n} samples)`, tone: remedy.helps ? "good" : "bad" };
}

function told(x, write) {
  return isNumber(x) ? write(x) : "NaN";
}

/** "share_above_largest" -> "share above largest" */
export function evidenceName(name) {
  return name.replace(/_/g, " ");
}
