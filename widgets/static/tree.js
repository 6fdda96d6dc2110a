// The map's rows: ops -> a tree of layers and folds -> the visible rows, filtered and windowed. Pure.

const GROUP_ROWS = 3;   // a repeated block ("blocks.0") of fewer rows is not worth a header
const BIG_ROWS = 12;    // a part without a number ("encoder") gets a header only above this

/** Ops in execution order -> nested {name, path, children}; a module that runs twice appears twice. */
export function buildTree(ops) {
  const root = { name: "", path: "", children: [] };
  let stack = [root];
  let fold = null;
  ops.forEach((op, index) => {
    if (op.fold && fold && fold.fold === op.fold) {
      fold.ops.push(index);
      return;
    }
    const names = op.layer ? op.layer.split(".") : [];
    let shared = 0;
    while (shared < names.length && shared + 1 < stack.length && stack[shared + 1].name === names[shared]) shared += 1;
    stack = stack.slice(0, shared + 1);
    for (const name of names.slice(shared)) {
      const parent = stack[stack.length - 1];
      const node = { name, path: parent.path ? `${parent.path}.${name}` : name, children: [] };
      parent.children.push(node);
      stack.push(node);
    }
    const home = stack[stack.length - 1];
    fold = op.fold ? { fold: op.fold, ops: [index] } : null;
    home.children.push(fold || { op: index });
  });
  return root;
}

function tail(id) {
  return id.slice(id.lastIndexOf("/") + 1);
}

function isHeader(name, items) {
  const rows = items.reduce((n, item) => n + (item.type === "layer" ? BIG_ROWS : 1), 0);
  if (/^\d+$/.test(name)) return rows >= GROUP_ROWS;
  return rows > BIG_ROWS && !items.some((item) => item.type === "layer");
}

/** Items directly under one node; `names` are the modules between it and the nearest header above. */
function gather(node, ops, residual, seen) {
  const items = [];
  const own = node.children.filter((child) => child.children === undefined).length;
  for (const child of node.children) {
    if (child.op !== undefined) {
      const last = residual.has(child.op) ? "+ residual" : own > 1 || !node.name ? tail(ops[child.op].id) : "";
      items.push(opItem(child.op, ops, last));
    } else if (child.fold !== undefined) {
      items.push(foldItem(child, ops, own > 1 || !node.name ? tail(child.fold) : ""));
    } else {
      const inner = gather(child, ops, residual, seen);
      if (isHeader(child.name, inner)) items.push(layerItem(child, ops, inner, seen));
      else items.push(...inner.map((item) => ({ ...item, names: [child.name, ...item.names] })));
    }
  }
  return items;
}

function opItem(op, ops, last) {
  return { type: "op", key: ops[op].id, names: [], last, ops: [op], items: [] };
}

function foldItem(child, ops, last) {
  const items = child.ops.map((op) => opItem(op, ops, tail(ops[op].id)));
  return items.length === 1 ? { ...items[0], last } : { type: "fold", key: child.fold, names: [], last, ops: child.ops, items };
}

function layerItem(child, ops, items, seen) {
  const times = (seen.get(child.path) || 0) + 1;
  seen.set(child.path, times);
  const key = times === 1 ? child.path : `${child.path}#${times}`;
  return { type: "layer", key, names: [child.name], last: "", ops: items.flatMap((item) => item.ops), items };
}

function label(item, ops) {
  const modules = item.names.join(".");
  const text = item.last.startsWith("+") ? `${modules} ${item.last}`.trim() : [modules, item.last].filter(Boolean).join(".");
  return { ...item, label: text || tail(ops[item.ops[0]].id), items: item.items.map((inner) => label(inner, ops)) };
}

/** The tree with short chains merged: items {type: layer | fold | op, key, label, ops, items}. */
export function arrange(ops, links) {
  return gather(buildTree(ops), ops, residuals(ops, links), new Map()).map((item) => label(item, ops));
}

/** Adds that join a skip connection to the stream: two or more inputs, one of them from further up. */
export function residuals(ops, links) {
  const inputs = new Map();
  for (const [from, to] of links) inputs.set(to, [...(inputs.get(to) || []), from]);
  const found = new Set();
  ops.forEach((op, index) => {
    const sources = inputs.get(index) || [];
    if (/^add/.test(op.kind) && sources.length > 1 && sources.some((from) => index - from > 1)) found.add(index);
  });
  return found;
}

/** Which items start closed: every fold, and in a large model every layer but the first two. */
export function closedAtFirst(items, limit = 160) {
  const closed = new Set();
  const total = items.reduce((n, item) => n + item.ops.length, 0);
  let layers = 0;
  const visit = (item) => {
    if (item.type === "fold") closed.add(item.key);
    if (item.type === "layer" && total > limit && (layers += 1) > 2) closed.add(item.key);
    item.items.forEach(visit);
  };
  items.forEach(visit);
  return closed;
}

/** The visible rows in order. `keep` (a set of op indices, or null) hides the rest and opens what holds a match. */
export function flatten(items, closed, keep = null, depth = 0, rows = []) {
  for (const item of items) {
    if (keep && !item.ops.some((op) => keep.has(op))) continue;
    const whole = !keep || item.ops.every((op) => keep.has(op));
    const open = item.items.length > 0 && (keep && !whole ? true : !closed.has(item.key));
    const ops = keep ? item.ops.filter((op) => keep.has(op)) : item.ops;
    rows.push({ key: item.key, type: item.type, label: item.label, path: item.path || "", depth, ops, open });
    if (open) flatten(item.items, closed, keep, depth + 1, rows);
  }
  return rows;
}

/** How a row stands towards one precision: {possible, emulated, chosen, share} over its ops. */
export function standing(row, precision, options, choices) {
  let possible = 0;
  let emulated = 0;
  let chosen = 0;
  for (const op of row.ops) {
    const option = options[op][precision];
    if (!option.possible) continue;
    possible += 1;
    if (option.emulated) emulated += 1;
    if (choices[op] === precision) chosen += 1;
  }
  const share = possible ? chosen / row.ops.filter((op) => options[op].some((option) => option.possible)).length : 0;
  return { possible: possible > 0, emulated: emulated > 0, chosen: possible > 0 && chosen === possible, share };
}
