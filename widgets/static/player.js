// A recorded page without a kernel: what Python would have answered was recorded, and is looked up here.
import { readPatched } from "./patched.js";

const ASKS = {
  share: "This file is the offline page: pass the file itself on. explorer show opens the bundle that it was made from.",
  share_link: "This page is a file and has no address for others: pass the file itself on.",
  open: "Another model needs the explorer: explorer demo --model <name>.",
};
const REFUSED = "This page is a recording: nothing runs in it. Open the model with explorer demo, or the recording with explorer show, for that.";

/** The value of an entry: bytes are views of a buffer, as Jupyter hands them to widgets. */
function valueOf(entry) {
  if (!entry || typeof entry.bytes !== "string") return entry;
  return new DataView(Uint8Array.from(atob(entry.bytes), (character) => character.charCodeAt(0)).buffer);
}

/** The model of one view: its traits, who listens, and a line to the player in the kernel's place. */
class PlayedModel {
  constructor(answer) {
    this.traits = {};
    this.heard = new Map();
    this.answer = answer;
  }

  get(name) {
    return this.traits[name];
  }

  set(name, value) {
    this.traits[name] = value;
  }

  save_changes() {}

  on(name, run) {
    this.heard.set(name, [...(this.heard.get(name) || []), run]);
  }

  off(name, run) {
    this.heard.set(name, (this.heard.get(name) || []).filter((each) => each !== run));
  }

  tell(name, ...given) {
    for (const run of this.heard.get(name) || []) run(...given);
  }

  /** Writes all traits before anyone hears of one, as a kernel's message does. */
  take(traits) {
    const changed = Object.keys(traits).filter((name) => traits[name] !== this.traits[name]);
    Object.assign(this.traits, traits);
    changed.forEach((name) => this.tell(`change:${name}`));
  }

  send(content) {
    queueMicrotask(() => {
      let reply = { id: content.id, ok: true, type: content.type };
      try {
        reply = { ...reply, ...this.answer(content) };
      } catch (error) {
        reply = { id: content.id, ok: false, error: error.message };
      }
      const { buffers = [], ...words } = reply;
      this.tell("msg:custom", words, buffers);
    });
  }
}

/** Which recorded recipe has these precisions, as numbers by op; null where none has. */
export function findRecipe(choices, wanted) {
  const text = wanted.join(" ");
  return Object.keys(choices).find((hash) => choices[hash].join(" ") === text) || null;
}

/** The point of a front that a budget buys: the least cost within it, or null. */
export function pointWithin(points, objective, budget) {
  const name = { latency: "latency_ms", memory: "memory_bytes", bits: "bits" }[objective];
  const within = points.filter((point) => point[name] !== null && point[name] <= budget && point.price);
  return within.reduce((best, point) => (!best || point.price.cost < best.price.cost ? point : best), null);
}

/** A plot's points as CSV: series, x, y. */
export function csvOf(figure) {
  const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value ?? ""));
  const rows = figure.data.flatMap((trace) => Array.from(trace.x || [], (x, at) => [trace.name || "", x, (trace.y || [])[at]]));
  return [["series", "x", "y"], ...rows].map((row) => row.map(quoted).join(",")).join("\n");
}

export class Player {
  constructor(film, views) {
    this.film = film;
    this.views = views;
    this.values = film.values.map(valueOf);
    this.choices = Object.fromEntries(Object.entries(film.frames).map(([hash, frame]) => [hash, this.planOf(frame).choices]));
    this.models = {};
    this.elements = {};
    this.visited = [film.facts.start];
    this.at = 0;
    this.selection = [];
    this.open = [];
    this.axis = null;
    this.compared = { one: "before", other: "now" };
  }

  get hash() {
    return this.visited[this.at];
  }

  traitsOf(entry) {
    return Object.fromEntries(Object.entries(entry || {}).map(([name, number]) => [name, this.values[number]]));
  }

  planOf(frame) {
    const traits = this.traitsOf(frame[this.node("map")]);
    return readPatched(traits.plan, traits.plan_since);
  }

  node(name) {
    return this.film.nodes[name];
  }

  modelOf(id) {
    if (!this.models[id]) {
      this.models[id] = new PlayedModel((content) => this.answer(id, content));
      this.models[id].take(this.traitsOf((this.film.frames[this.hash] || {})[id]));
    }
    return this.models[id];
  }

  // -- layout ---------------------------------------------------------------------------------------------------------

  build(id) {
    if (this.elements[id]) return this.elements[id];
    const node = this.film.layout[id];
    const element = document.createElement("div");
    this.elements[id] = element;
    if (node.kind === "view") {
      this.mount(id, node, element);
      return element;
    }
    element.className = node.classes.join(" ");
    this.fill(id);
    return element;
  }

  mount(id, node, element) {
    this.modelOf(id);
    if (this.mounted) this.views[node.script]().render({ model: this.models[id], el: element });
    else this.waiting = [...(this.waiting || []), () => this.views[node.script]().render({ model: this.models[id], el: element })];
  }

  /** Puts a box's children into it; a section shows its body once it is opened. */
  fill(id) {
    const node = this.film.layout[id];
    const element = this.elements[id];
    if (!element || node.kind === "view") return;
    const { children } = this.modelOf(id).traits;
    const shown = node.kind === "section" && !this.modelOf(node.head).get("opened") ? [node.head] : children || [];
    const wanted = shown.map((child) => this.build(child));
    if (wanted.length !== element.children.length || wanted.some((child, at) => child !== element.children[at])) element.replaceChildren(...wanted);
  }

  start(root) {
    const page = this.node("page");
    for (const [id, node] of Object.entries(this.film.layout)) if (node.kind === "section") this.modelOf(node.head).take({ opened: this.film.opened.includes(id) });
    root.replaceChildren(this.build(page));
    this.mounted = true;
    (this.waiting || []).forEach((run) => run());
    this.waiting = [];
    this.show();
  }

  // -- what is on show ------------------------------------------------------------------------------------------------

  patch(entries) {
    for (const [id, entry] of Object.entries(entries || {})) {
      const traits = this.traitsOf(entry);
      const node = this.film.layout[id];
      if (node.type === "SectionHead") delete traits.opened;
      if (node.type === "MessageBanner") delete traits.message;
      this.modelOf(id).take(traits);
    }
    for (const id of Object.keys(entries || {})) this.fill(id);
  }

  show() {
    const { hash, film } = this;
    this.patch(film.frames[hash]);
    if (this.axis) this.patch((film.variants[hash] || {})[`axis:${this.axis}`]);
    const top = this.modelOf(this.node("top"));
    top.take({ top: { ...top.get("top"), can_undo: this.at > 0, can_redo: this.at + 1 < this.visited.length } });
    this.modelOf(this.node("mark")).take({ recipes: Object.keys(film.frames).length });
    this.select(this.selection);
    this.detail();
    this.compare();
  }

  /** The open rows of the map, with what was recorded of their ops. */
  detail() {
    const [seen, facts] = [this.film.details[this.hash] || {}, this.film.inspections[this.hash] || {}];
    const missing = { state: "failed", error: "not recorded for this op" };
    const rowOf = (op) => ({ facts: facts[op] ? this.values[facts[op][1]] : [], errors: seen[op] ? this.values[seen[op][0]] : missing, causes: seen[op] ? this.values[seen[op][1]] : missing });
    this.modelOf(this.node("map")).take({ details: { hash: this.hash, ops: Object.fromEntries(this.open.map((op) => [op, rowOf(op)])) } });
  }

  select(ops) {
    this.selection = ops;
    this.modelOf(this.node("map")).take({ selection: ops });
    const search = this.modelOf(this.node("search"));
    search.take({ search: { ...search.get("search"), selection: ops.slice(0, 1) } });
    const seen = (this.film.inspections[this.hash] || {})[ops[0]];
    const model = this.modelOf(this.node("inspector"));
    if (seen) {
      this.patch(this.film.inspector[seen[0]]);
      model.take({ inspected: { ...model.get("inspected"), facts: this.values[seen[1]] } });
    } else {
      this.patch(pick(this.film.frames[this.hash], Object.keys(this.film.inspector[0] || {})));
      if (ops.length) model.take({ inspected: { state: "failed", op: ops[0], error: "not recorded for this op" } });
    }
  }

  compare() {
    const model = this.modelOf(this.node("compare"));
    const keys = this.film.keys[this.hash] || {};
    for (const side of ["one", "other"]) if (!(this.compared[side] in keys)) this.compared[side] = "now";
    const [one, other] = [keys[this.compared.one], keys[this.compared.other]];
    const number = this.film.pairs[`${one} ${other}`];
    const choices = { ...model.get("choices"), ...this.compared };
    if (number === undefined) model.take({ choices, pair: { state: "ready", error: "Not recorded: of these two, one was not measured.", same: false, missing: false, names: ["not recorded", "not recorded"], now: [one === this.hash, other === this.hash] } });
    else model.take({ choices, pair: { ...this.values[number], missing: false, now: [one === this.hash, other === this.hash] } });
  }

  go(hash) {
    if (!this.film.frames[hash]) throw new Error(`This recipe was not recorded. ${Object.keys(this.film.frames).length} recipes were: presets, history, and points of the frontier.`);
    if (hash === this.hash) return;
    this.visited = [...this.visited.slice(0, this.at + 1), hash];
    this.at += 1;
    this.show();
  }

  step(by) {
    const to = this.at + by;
    if (to < 0 || to >= this.visited.length) return;
    this.at = to;
    this.show();
  }

  // -- what the views ask ---------------------------------------------------------------------------------------------

  answer(id, content) {
    const { type } = content;
    const run = this[`on_${type}`];
    try {
      if (!run) throw new Error(ASKS[type] || REFUSED);
      const reply = run.call(this, content, id) || {};
      if (type !== "hello") this.say("");
      return reply;
    } catch (error) {
      this.say(error.message);
      throw error;
    }
  }

  say(message) {
    this.modelOf(this.node("banner")).take({ message });
  }

  on_hello() {}

  on_arrive() {}

  on_dismiss() {}

  on_cancel() {}

  on_turn({ open }, id) {
    this.modelOf(id).take({ opened: open });
    const section = Object.keys(this.film.layout).find((each) => this.film.layout[each].head === id);
    this.fill(section);
  }

  on_select({ ops }) {
    this.select(ops);
  }

  on_detail({ ops }) {
    this.open = ops;
    this.detail();
  }

  on_filter({ text }) {
    this.modelOf(this.node("map")).take({ filter: text });
  }

  on_preset({ name }) {
    this.go(this.film.facts.presets[name]);
  }

  on_go_to({ node }) {
    this.go(this.film.facts.history[String(node)] || this.hash);
  }

  on_undo() {
    this.step(-1);
  }

  on_redo() {
    this.step(1);
  }

  on_reset() {
    this.goTo(this.choices[this.hash].map(() => 0));
  }

  on_set({ ops, precision }) {
    const { facts } = this.film;
    const to = facts.precisions.indexOf(precision);
    const places = new Set(ops);
    this.goTo(this.choices[this.hash].map((now, at) => (places.has(facts.ops[at]) ? to : now)));
  }

  goTo(choices) {
    this.go(findRecipe(this.choices, choices));
  }

  on_apply({ json }) {
    const { ops } = JSON.parse(json);
    this.goTo(this.film.facts.ops.map((op) => this.film.facts.precisions.indexOf((ops[op] || {}).precision)));
  }

  on_recipe_json() {
    return { json: this.film.facts.json[this.hash], name: `${this.film.facts.model}-${this.hash.slice(0, 8)}.recipe.json` };
  }

  on_axis({ value }) {
    this.axis = value;
    this.patch(this.film.variants[this.hash][`axis:${value}`]);
  }

  on_unit({ value }) {
    this.patch(this.film.variants[this.hash][`unit:${value}`]);
  }

  on_click({ of }, id) {
    return id === this.node("errorplot") ? this.select([of]) : this.go(of);
  }

  on_budget({ value }) {
    const model = this.modelOf(this.node("search"));
    const now = model.get("search");
    const point = pointWithin(now.points || [], now.for, value);
    if (!point) throw new Error("No recorded proposal is within this budget.");
    model.take({ search: { ...now, budget: value, proposal: this.proposalOf(point, value) } });
    const choices = this.choices[point.hash];
    if (choices) this.modelOf(this.node("map")).take({ proposed: new DataView(Uint8Array.from(choices).buffer) });
  }

  proposalOf(point, value) {
    const { precisions } = this.film.facts;
    const [mine, its] = [this.choices[this.hash], this.choices[point.hash]];
    const frame = this.film.frames[point.hash];
    if (!its) return { ...point, changes: 0, ops: mine.length, emulated: 0, counts: [], solved: value };
    const counts = precisions.map((name, at) => [name, its.filter((each) => each === at).length]).filter(([, n]) => n > 0);
    const emulated = this.planOf(frame).emulated.filter(Boolean).length;
    return { ...point, changes: its.filter((each, at) => each !== mine[at]).length, ops: its.length, emulated, counts, solved: value };
  }

  on_take_proposal({ hash }) {
    this.go(hash);
  }

  on_compare({ side, key }) {
    this.compared = { ...this.compared, [side]: key };
    this.compare();
  }

  on_swap() {
    this.compared = { one: this.compared.other, other: this.compared.one };
    this.compare();
  }

  on_restore({ side }) {
    this.go(this.film.keys[this.hash][this.compared[side]]);
  }

  on_choose() {
    throw new Error("Only the tensor and the format that the op was given are recorded; explorer show compares others.");
  }

  on_csv(_, id) {
    const text = csvOf(JSON.parse(this.models[id].get("drawn")));
    return { buffers: [new TextEncoder().encode(text)] };
  }
}

function pick(entries, names) {
  return Object.fromEntries(names.filter((name) => entries[name]).map((name) => [name, entries[name]]));
}

/** Text that was gzipped and written in base64. */
export async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/** Plotly is evaluated when the first plot asks for it: most of a page needs none. */
export function offerPlotly(slot, base64) {
  let loaded = null;
  const load = async () => {
    const script = document.createElement("script");
    script.textContent = await unpack(base64());
    document.head.append(script);
    return globalThis.Plotly;
  };
  Object.defineProperty(globalThis, slot, { configurable: true, set() {}, get: () => (loaded = loaded || load()) });
}
