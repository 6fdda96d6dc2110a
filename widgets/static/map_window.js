// Where the map's rows lie: their offsets, the slice in sight, and the headers that stay at the top. Pure.

/**
 * Each expanded row followed by a row of type "detail" as high as `details` (a Map, key -> px) says. A detail holds none of
 * the model's ops, and is open, as headers are: what looks for the row of an op passes over it.
 */
export function withDetails(rows, details) {
  if (details.size === 0) return rows;
  return rows.flatMap((row) => {
    const height = row.type === "layer" ? undefined : details.get(row.key);
    return height === undefined ? [row] : [row, { key: row.key, type: "detail", of: row, label: row.label, depth: row.depth, ops: [], open: true, height }];
  });
}

/** Where each row begins, in px, and at the end where the last one ends: rows + 1 numbers. */
export function offsetsOf(rows, rowHeight) {
  const offsets = new Float64Array(rows.length + 1);
  rows.forEach((row, at) => { offsets[at + 1] = offsets[at] + (row.height ?? rowHeight); });
  return offsets;
}

/** The number of the row that covers a height in px: the first above all, the last below all, -1 where there is none. */
export function rowAt(offsets, y) {
  let [low, high] = [0, offsets.length - 2];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (offsets[middle] <= y) low = middle;
    else high = middle - 1;
  }
  return high < 0 ? -1 : low;
}

/** The slice of rows to draw: everything when there are few, else what is in sight and a little around it. */
export function windowOf(scrollTop, height, offsets, extra = 12, few = 160) {
  const total = offsets.length - 1;
  if (total <= few) return { first: 0, last: total };
  const first = Math.max(0, rowAt(offsets, scrollTop) - extra);
  const last = Math.min(total, rowAt(offsets, scrollTop + height) + 1 + extra);
  return { first, last };
}

/** The tree of the rows by number: each row's parent (-1 for none), and the number after its last descendant. */
export function kinship(rows) {
  const parents = new Int32Array(rows.length).fill(-1);
  const ends = new Int32Array(rows.length);
  const above = [];
  rows.forEach((row, at) => {
    while (above.length && row.type !== "detail" && rows[above.at(-1)].depth >= row.depth) ends[above.pop()] = at;
    if (above.length) parents[at] = above.at(-1);
    if (row.type === "detail") ends[at] = at + 1;
    else above.push(at);
  });
  while (above.length) ends[above.pop()] = rows.length;
  return { parents, ends };
}

/** A row's ancestors by number, outermost first. */
export function ancestorsOf({ parents }, at) {
  const found = [];
  for (let now = parents[at]; now >= 0; now = parents[now]) found.unshift(now);
  return found;
}

/**
 * The rows that stay at the top while one scrolls through what is in them: [{index, top}], outermost first, `top` in px
 * below the upper edge. One whose last row is leaving is pushed up by it.
 */
export function stickyRows(rows, kin, offsets, scrollTop, rowHeight, most = 3) {
  const stuck = [];
  while (rows.length && stuck.length < most) {
    const y = scrollTop + stuck.length * rowHeight;
    const at = rowAt(offsets, y);
    const index = [...ancestorsOf(kin, at), at][stuck.length] ?? -1;
    if (index < 0 || kin.ends[index] === index + 1 || offsets[index] >= y) break;
    const top = Math.min(stuck.length * rowHeight, offsets[kin.ends[index]] - scrollTop - rowHeight);
    if (stuck.length && top <= stuck.at(-1).top) break;
    stuck.push({ index, top });
  }
  return stuck;
}
