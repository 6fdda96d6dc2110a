// What the casts panel says, row by row: payload -> words. Pure.
import { bytes, duration, isNumber, plural } from "./numbers.js";
import { lastName, nameOf } from "./time_rows.js";

/** "blocks.0.mlp.fc1, blocks.0.mlp.fc2 and 3 more": the ops of a row, short. */
export function opsWords(ops, count = ops.length, most = 2) {
  const names = ops.slice(0, most).map(nameOf);
  const more = count - names.length;
  return names.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** A cast's time: measured, not yet, or without meaning. */
export function castTime(row) {
  if (row.emulated) return "emulated";
  if (row.inside) return `in ${lastName(row.inside)}`;
  return isNumber(row.us) ? duration(row.us) : "\u2013";
}

/** The line above the table: how many, and what they cost together. */
export function castsSummary(casts) {
  const { rows } = casts;
  if (!rows.length) return "No casts: every op takes its input in the format in which it comes.";
  const of = (direction) => rows.filter((row) => row.direction === direction).length;
  const timed = rows.filter((row) => isNumber(row.us) && !row.emulated);
  const inside = rows.filter((row) => row.inside).length;
  const own = `${duration(timed.reduce((sum, row) => sum + row.us, 0))} measured for ${timed.length === rows.length ? "all of them" : `${timed.length} of them`}`;
  const time = (timed.length || inside ? own : "not timed yet") + (inside ? `, ${inside} done inside another call at no cost of their own` : "");
  const moved = bytes(rows.reduce((sum, row) => sum + row.bytes, 0));
  return `${plural(rows.length + casts.more, "cast")}: ${of("down")} down, ${of("up")} up, ${moved} read and written per batch, ${time}.`;
}

/** What a change saves, in words that say how it is known. */
export function savingWords(row) {
  const casts = `${plural(row.before, "cast")} \u2192 ${row.after}`;
  const time = !isNumber(row.saved_us) ? "time not known yet" : row.saved_us > 0 ? `saves ${duration(row.saved_us)} (predicted)` : `costs ${duration(-row.saved_us)} (predicted)`;
  const moved = row.bytes >= 0 ? `${bytes(row.bytes)} fewer` : `${bytes(-row.bytes)} more`;
  return `${casts}, ${moved}, ${time}`;
}

export function redundantWords(row) {
  if (row.kind !== "up then down") return `${opsWords(row.ops, row.ops.length, 3)}: ${row.kind} (${row.high} \u2192 ${row.low}), ${plural(row.count, "cast")}, ${bytes(row.bytes)}`;
  return `${opsWords(row.raised_by)}: ${row.low} \u2192 ${row.high} \u2192 ${row.low} for ${opsWords(row.readers)}, ${plural(row.count, "cast")}, ${bytes(row.bytes)}`;
}
