// The lanes of the history: where each recipe's dot stands and which lines pass by, as in a version log. Pure.

export const MOST_LANES = 12;

/**
 * Rows, the newest first, of nodes {id, parent} of which each stands after its parent; a parent that is not among them
 * is not drawn. Per row: `lane` of its dot; `above` and `below`, the node whose line reaches the dot from there, or null;
 * `joins`, other lanes whose line ends in this dot; `passes`, lanes that go by. A line is named by the node it comes
 * down from. A branch takes the leftmost free lane; from the last lane on, branches lie on one another.
 */
export function layLanes(nodes) {
  const known = new Set(nodes.map((node) => node.id));
  const lines = [];
  return [...nodes].reverse().map(({ id, parent }) => {
    const ending = lines.flatMap((line, lane) => (line && line.to === id ? [lane] : []));
    const free = lines.findIndex((line) => !line);
    const lane = ending.length ? ending[0] : free >= 0 ? free : lines.length;
    const row = { id, lane: drawn(lane), above: ending.length ? lines[lane].from : null, below: known.has(parent) ? id : null };
    row.joins = ending.slice(1).map((at) => ({ lane: drawn(at), from: lines[at].from }));
    row.passes = lines.flatMap((line, at) => (line && line.to !== id ? [{ lane: drawn(at), from: line.from }] : []));
    ending.forEach((at) => { lines[at] = null; });
    lines[lane] = known.has(parent) ? { to: parent, from: id } : null;
    while (lines.length && !lines[lines.length - 1]) lines.pop();
    return row;
  });
}

function drawn(lane) {
  return Math.min(lane, MOST_LANES - 1);
}

/** How many lanes the rows take. */
export function widthOf(rows) {
  return rows.reduce((most, row) => Math.max(most, row.lane, ...row.passes.map((line) => line.lane)), 0) + 1;
}

/** The ids from a node up to the first. */
export function lineageOf(nodes, id) {
  const parents = new Map(nodes.map((node) => [node.id, node.parent]));
  const found = new Set();
  for (let at = id; parents.has(at) && !found.has(at); at = parents.get(at)) found.add(at);
  return found;
}

/** Which rows are in sight, a few beyond each edge included: [first, end). */
export function inSight(scrolled, height, row, count, beyond = 8) {
  const first = Math.max(0, Math.min(count, Math.floor(scrolled / row)) - beyond);
  return [first, Math.min(count, Math.ceil((scrolled + height) / row) + beyond)];
}
