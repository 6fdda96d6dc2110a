// The cast lane: which line, notch and arcs each visible row draws. Pure.

export const TRACKS = 3;

/** Formats fall into families that share a colour. */
export function family(format) {
  const name = String(format || "").toLowerCase();
  for (const known of ["fp32", "tf32", "bf16", "fp16", "nvfp4", "mxfp8", "mxfp6", "mxfp4", "mxint8", "fp8", "fp6", "fp4"]) {
    if (name.startsWith(known)) return known.startsWith("mx") || known === "nvfp4" ? "block" : known;
  }
  if (name.startsWith("int8") || name.startsWith("uint8")) return "int8";
  if (name === "w8" || name === "w16") return "w8";
  if (name.startsWith("w4") || name.startsWith("int4") || name.startsWith("int2")) return "w4";
  return "other";
}

/** The row that shows each op: the deepest visible one; an open header shows none itself. */
export function rowsOfOps(rows) {
  const shown = new Map();
  rows.forEach((row, at) => {
    if (!row.open) row.ops.forEach((op) => shown.set(op, at));
  });
  return shown;
}

/** Lines to the next row, and arcs past it: a source has one arc, which branches off to each row that reads it. */
function skips(rows, links, shown, joins) {
  const stops = rows.map((row, at) => (row.open ? -1 : at)).filter((at) => at >= 0);
  const next = new Map(stops.map((at, i) => [at, stops[i + 1]]));
  const direct = new Set();
  const buses = new Map();
  for (const [from, to] of links) {
    const a = shown.get(from);
    const b = shown.get(to);
    if (a === undefined || b === undefined || a >= b) continue;
    if (next.get(a) === b) {
      direct.add(a);
      continue;
    }
    const bus = buses.get(a) || { from: a, source: from, to: b, stops: new Set(), joins: false };
    bus.stops.add(b);
    bus.to = Math.max(bus.to, b);
    bus.joins ||= joins.has(to);
    buses.set(a, bus);
  }
  return { direct, buses: [...buses.values()], next };
}

/**
 * Gives each arc the innermost free track, short arcs first; those without room are left out, and before skip connections
 * (which `joins` marks) what else is read from further up, such as masks and positions.
 */
export function packArcs(arcs, tracks = TRACKS) {
  const used = Array.from({ length: tracks }, () => []);
  const packed = [];
  const first = (arc) => (arc.joins ? 0 : 1);
  for (const arc of [...arcs].sort((a, b) => first(a) - first(b) || a.to - a.from - (b.to - b.from) || a.from - b.from)) {
    const track = used.findIndex((taken) => taken.every((other) => arc.to <= other.from || arc.from >= other.to));
    if (track < 0) continue;
    used[track].push(arc);
    packed.push({ ...arc, track });
  }
  return packed;
}

/**
 * One drawing per row: {above, below, node, format, casts, arcs, left}.
 * `above` and `below` are {format, flows} or null; node is none | dot | cast; arcs are {track, part, format, source}; left: how
 * many arcs begin or end here that had no room. joins: the ops that add a skip connection to the stream.
 */
export function laneRows(rows, links, flows, casts, joins = new Set()) {
  const shown = rowsOfOps(rows);
  const { direct, buses, next } = skips(rows, links, shown, joins);
  const lanes = rows.map(() => ({ above: null, below: null, node: "none", format: "", casts: [], arcs: [], left: 0 }));
  rows.forEach((row, at) => {
    if (row.open) return;
    const format = flows[row.ops[row.ops.length - 1]] || "";
    lanes[at].node = "dot";
    lanes[at].format = format;
    const until = next.get(at);
    if (until === undefined) return;
    const line = { format, flows: direct.has(at) };
    lanes[at].below = line;
    for (let between = at + 1; between < until; between += 1) lanes[between] = { ...lanes[between], above: line, below: line };
    lanes[until].above = line;
  });
  for (const cast of casts) {
    for (const at of new Set(cast.consumers.map((op) => shown.get(op)))) {
      if (at === undefined) continue;
      lanes[at].casts.push({ ...cast, inside: shown.get(cast.source) === at });
      if (shown.get(cast.source) !== at) lanes[at].node = "cast";
    }
  }
  const packed = packArcs(buses);
  for (const bus of packed) drawArc(lanes, bus, flows[bus.source] || "");
  const drawn = new Set(packed.map((bus) => bus.from));
  for (const bus of buses) if (!drawn.has(bus.from)) [bus.from, ...bus.stops].forEach((at) => { lanes[at].left += 1; });
  return lanes;
}

function drawArc(lanes, bus, format) {
  for (let at = bus.from; at <= bus.to; at += 1) {
    const part = at === bus.from ? "start" : at === bus.to ? "end" : bus.stops.has(at) ? "branch" : "through";
    lanes[at].arcs.push({ track: bus.track, part, format, source: bus.source });
  }
}

/** The path of one arc's part inside a row of the given height; `x` is the line, `gap` the distance of tracks. */
export function arcPath(part, track, height, x = 18, gap = 6) {
  const mid = height / 2;
  const out = x + 11 + track * gap;
  const bend = 6;
  const start = `M${x} ${mid} H${out - bend} Q${out} ${mid} ${out} ${mid + bend}`;
  const end = `V${mid - bend} Q${out} ${mid} ${out - bend} ${mid} H${x}`;
  if (part === "start") return `${start} V${height}`;
  if (part === "end") return `M${out} 0 ${end}`;
  if (part === "branch") return `M${out} 0 V${height} M${out} ${mid - bend} Q${out} ${mid} ${out - bend} ${mid} H${x}`;
  return `M${out} 0 V${height}`;
}
