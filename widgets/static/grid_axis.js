// Where the values of formats lie on a log2 axis. A format's magnitudes are numbered from 1, the smallest. Pure.

const SPARSE_PX = 3;
const LEAST_SPAN = 2 ** -20;

/** Number of magnitudes of a lane on a side (1 or -1): none of unsigned formats below zero. */
export function magnitudes(lane, side) {
  if (side < 0 && !lane.signed) return 0;
  if (!lane.float) return lane.tops[side > 0 ? 0 : 1];
  const binades = lane.high - lane.low;
  return (binades + (lane.zero ? 1 : 0)) * 2 ** lane.mantissa + lane.last + (lane.zero ? 0 : 1);
}

/** The magnitude of a number from 1 to `magnitudes`; exact in FP64. */
export function sizeAt(lane, rank) {
  if (!lane.float) return rank * lane.unit;
  const per = 2 ** lane.mantissa;
  if (rank < per) return rank * 2 ** (lane.low - lane.mantissa);
  const binade = Math.floor(rank / per) - 1;
  return (1 + (rank % per) / per) * 2 ** (lane.low + binade);
}

/** How many magnitudes are at most `size`, as if the format had no largest. */
export function rankAt(lane, size) {
  if (!lane.float) return Math.floor(size / lane.unit);
  const per = 2 ** lane.mantissa;
  const low = 2 ** lane.low;
  if (size < low) return lane.zero ? Math.floor((size / low) * per) : 0;
  const exponent = exponentOf(size);
  return (exponent - lane.low + 1) * per + Math.floor((size / 2 ** exponent - 1) * per);
}

function exponentOf(size) {
  const guess = Math.floor(Math.log2(size));
  return 2 ** guess > size ? guess - 1 : 2 ** (guess + 1) <= size ? guess + 1 : guess;
}

/** The code of a magnitude on a side, as the format's own bits. */
export function codeAt(lane, rank, side) {
  if (!lane.float) return side > 0 ? rank : 2 ** lane.bits - rank;
  return rank - (lane.zero ? 0 : 1) + (side < 0 ? 2 ** (lane.bits - 1) : 0);
}

/** Number of the magnitude nearest to a place on the axis; 0 where the side has none. */
export function nearestRank(lane, log2, side) {
  const at = ends(lane, side);
  if (!at) return 0;
  const place = Math.min(at.hi, Math.max(at.lo, log2));
  const below = Math.max(1, rankAt(lane, 2 ** place));
  const above = Math.min(magnitudes(lane, side), below + 1);
  const far = (rank) => Math.abs(Math.log2(sizeAt(lane, rank)) - place);
  return far(above) < far(below) ? above : below;
}

/** The ends of a lane on the axis: smallest value, smallest normal value, largest value, each as log2. */
export function ends(lane, side) {
  const count = magnitudes(lane, side);
  if (!count) return null;
  const normal = lane.float && lane.zero ? lane.low : Math.log2(sizeAt(lane, 1));
  return { lo: Math.log2(sizeAt(lane, 1)), normal, hi: Math.log2(sizeAt(lane, count)) };
}

/**
 * What to draw of a lane between two places, octave by octave: `ticks`, places of single values where they are
 * 3 px apart or more, else `shades`, stretches with the number of values per pixel.
 */
export function drawn(lane, view, width, side) {
  const perOctave = width / (view.hi - view.lo);
  const at = ends(lane, side);
  const ticks = [];
  const shades = [];
  if (!at) return { ticks, shades };
  const count = magnitudes(lane, side);
  const first = Math.floor(Math.max(at.lo, view.lo));
  const last = Math.floor(Math.min(at.hi, view.hi));
  for (let octave = first; octave <= last; octave += 1) {
    const from = Math.max(octave, view.lo);
    const to = Math.min(octave + 1, view.hi);
    const values = inOctave(lane, octave);
    if (values * SPARSE_PX > perOctave) {
      addShade(shades, { from: Math.max(from, at.lo), to: Math.min(to, at.hi), perPixel: values / perOctave });
      continue;
    }
    for (let rank = Math.max(1, rankAt(lane, 2 ** from)); rank <= count; rank += 1) {
      const place = Math.log2(sizeAt(lane, rank));
      if (place >= octave + 1 || place > to) break;
      if (place >= from) ticks.push(place);
    }
  }
  return { ticks, shades };
}

/** Stretches of one density are one stretch: no seams. */
function addShade(shades, shade) {
  const before = shades.at(-1);
  if (before && before.to === shade.from && before.perPixel === shade.perPixel) before.to = shade.to;
  else if (shade.to > shade.from) shades.push(shade);
}

function inOctave(lane, octave) {
  const most = rankAt(lane, 2 ** (octave + 1)) - rankAt(lane, 2 ** octave);
  return Math.max(1, most);
}

/** Marks of the axis: powers of two while they are more than an octave apart, else round binary fractions. */
export function axisMarks(view, width) {
  const room = Math.max(2, Math.floor(width / 74));
  const span = view.hi - view.lo;
  if (span > room / 2.5) {
    const step = 2 ** Math.max(0, Math.ceil(Math.log2(span / room)));
    const marks = [];
    for (let power = Math.ceil(view.lo / step) * step; power <= view.hi; power += step) marks.push({ at: power, power });
    return marks;
  }
  const [from, to] = [2 ** view.lo, 2 ** view.hi];
  const step = 2 ** Math.ceil(Math.log2((to - from) / room));
  const digits = Math.ceil(Math.log10(to / step)) + 1;
  const marks = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) marks.push({ at: Math.log2(value), value, digits });
  return marks;
}

/** The stretch of the axis that a choice of range stands for, with the number in it. */
export function rangeOf(choice, lanes, number, side) {
  const chosen = { all: () => true, sixteen: (lane) => !lane.float || lane.high < 100, eight: (lane) => lane.bits <= 8 && lane.zero }[choice];
  const here = number.log2;
  if (choice === "near") return here === null ? { lo: -2, hi: 2 } : { lo: here - 1.5, hi: here + 1.5 };
  const spans = lanes.filter(chosen).map((lane) => ends(lane, side)).filter(Boolean);
  const places = [...spans.flatMap((span) => [span.lo, span.hi]), ...(here === null ? [] : [here])];
  if (!places.length) return { lo: -10, hi: 10 };
  return { lo: Math.min(...places) - 1, hi: Math.max(...places) + 1 };
}

/** A view made wider (factor > 1) or narrower around a place that stays where it is. */
export function zoomed(view, factor, around) {
  const span = Math.min(320, Math.max(LEAST_SPAN, (view.hi - view.lo) * factor));
  const share = (around - view.lo) / (view.hi - view.lo);
  return bounded({ lo: around - share * span, hi: around + (1 - share) * span });
}

/** A view kept to where numbers are. */
export function bounded(view) {
  const by = Math.max(-1400 - view.lo, 0) + Math.min(1400 - view.hi, 0);
  return { lo: view.lo + by, hi: view.hi + by };
}
