// The precision map: virtual rows and optimistic clicks. Python owns the truth; a click only asks.
import { laneRows } from "./lane.js";
import { attachInput } from "./map_input.js";
import { readCosts, readProposal } from "./map_costs.js";
import { buildParts, fillFormats, fillScale, followTheme, showWords } from "./map_parts.js";
import { fillAxis, readStrips } from "./map_strip.js";
import { ROW, columnsOf, fillRow, newRow } from "./map_rows.js";
import { complain, dress, h, line, listen, markPage, put, soon } from "./shared.js";
import { newTip } from "./tip.js";
import { arrange, closedAtFirst, filterOps, flatten, opsBetween, windowOf } from "./tree.js";

const NO_TABLE = { ops: [], precisions: [], options: [], links: [] };
const NO_PLAN = { choices: [], flows: [], kernels: [], emulated: [], refusals: [], casts: [] };
const NO_BANDS = { ops: [], words: [] };
const TYPING_MS = 250;

/** The table as it crossed, with each op's options looked up. */
function unpack(table) {
  if (!table || !table.ops) return NO_TABLE;
  return { ...table, options: table.options.map((row) => row.map((kind) => table.option_kinds[kind])) };
}

class MapView {
  constructor(model, el) {
    this.model = model;
    this.el = dress(el, "map");
    this.parts = buildParts();
    this.tip = newTip();
    this.wire = line(model, el);
    this.rowHeight = ROW;
    this.elements = new Map();
    this.pending = new Map();
    this.asked = 0;
    this.queued = 0;
    this.typing = 0;
    this.parts.filter.value = model.get("filter") || "";
    el.append(this.parts.panel);
    const size = new ResizeObserver(() => this.drawSoon());
    size.observe(this.parts.scroll);
    this.stops = [
      attachInput(this),
      followTheme(this.parts),
      () => size.disconnect(),
      listen(model, ["table"], () => this.readTable()),
      listen(model, ["plan"], () => this.arrangeRows()),
      listen(model, ["strips", "heights"], soon(() => this.readRanges())),
      listen(model, ["costs", "cost_bytes"], soon(() => this.readCosts())),
      listen(model, ["proposed"], () => this.readProposal()),
      listen(model, ["times", "bands", "selection", "opening", "locked"], () => this.drawSoon()),
      listen(model, ["filter"], () => this.filterHeard()),
    ];
    this.readTable();
  }

  remove() {
    this.stops.forEach((stop) => stop());
    this.wire.close();
    clearTimeout(this.typing);
    cancelAnimationFrame(this.queued);
    this.tip.remove();
    this.parts.panel.remove();
  }

  plan() {
    return { ...NO_PLAN, ...this.model.get("plan") };
  }

  times() {
    return this.model.get("times").ops || [];
  }

  /** Each op's precision by number: what Python said, with the clicks that it has not answered yet on top. */
  choices() {
    const now = [...this.plan().choices];
    this.pending.forEach((wish) => wish.ops.forEach((op) => { now[op] = wish.precision; }));
    return now;
  }

  ask(type, fields) {
    return this.wire.ask(type, fields).catch((error) => complain(this.el, error));
  }

  // What is shown

  readTable() {
    this.data = unpack(this.model.get("table"));
    this.columns = columnsOf(this.data.precisions);
    this.items = arrange(this.data.ops, this.data.links);
    this.closed = closedAtFirst(this.items);
    this.at = { row: 0, column: 0 };
    this.last = null;
    this.pending.clear();
    this.elements.forEach((element) => element.remove());
    this.elements.clear();
    this.parts.panel.style.setProperty("--px-cols", this.columns.map((column) => column.width).join(" "));
    const title = (column) => h("div", { class: `px-col-${column.key.split(":")[0]}`, role: "columnheader", title: column.about, text: column.title.replace("_", " ") });
    this.parts.header.replaceChildren(...this.columns.map(title));
    this.readRanges();
    this.readCosts();
    this.readProposal();
    this.arrangeRows();
  }

  /** Costs of a former model do not fit the table of the next, and are none then. */
  readCosts() {
    this.costs = readCosts(this.model.get("costs"), this.model.get("cost_bytes"), this.data.ops.length, this.data.precisions.length);
    fillScale(this.parts, this.costs);
    this.drawSoon();
  }

  readProposal() {
    this.proposal = readProposal(this.model.get("proposed"), this.data.ops.length);
    put(this.parts.panel, "data-proposal", this.proposal ? "true" : null);
    this.drawSoon();
  }

  readRanges() {
    const strips = readStrips(this.model.get("strips"), this.model.get("heights"));
    // Ranges of a former model may still be on their way out when the table of the next is in.
    this.strips = strips.ops.length === this.data.ops.length ? strips : { ...readStrips(null, null), error: strips.error, state: strips.state === "failed" ? "failed" : "pending" };
    fillAxis(this.parts.header.querySelector(".px-col-range"), this.strips);
    this.drawSoon();
  }

  bands() {
    return { ...NO_BANDS, ...this.model.get("bands") };
  }

  arrangeRows() {
    const plan = this.plan();
    const names = this.choices().map((precision) => this.data.precisions[precision]);
    const keep = filterOps(this.data.ops, names, this.parts.filter.value);
    this.rows = flatten(this.items, this.closed, keep);
    this.lanes = laneRows(this.rows, this.data.links, plan.flows, plan.casts);
    this.at.row = Math.max(0, Math.min(this.at.row, this.rows.length - 1));
    this.parts.body.style.height = `${this.rows.length * ROW}px`;
    put(this.parts.scroll, "aria-rowcount", this.rows.length);
    fillFormats(this.parts, plan);
    this.draw();
  }

  drawSoon() {
    this.queued ||= requestAnimationFrame(() => {
      this.queued = 0;
      this.draw();
    });
  }

  draw() {
    const opening = this.model.get("opening");
    const none = this.data.ops.length === 0;
    this.parts.notes.hidden = none;
    if (none) return showWords(this.parts, opening || "No model is open: choose one in the bar above.", Boolean(opening));
    const missed = `No op matches \u201c${this.parts.filter.value}\u201d: try part of a name, a kind such as linear, or a precision.`;
    showWords(this.parts, this.rows.length ? "" : missed, false);
    this.drawRows();
    put(this.el, "data-ready", "true");
    return markPage(this.el, { "data-testid": "page", "data-ready": "true", "data-model": this.data.model });
  }

  drawRows() {
    const { scrollTop, clientHeight } = this.parts.scroll;
    const { first, last } = windowOf(scrollTop, clientHeight || 600, ROW, this.rows.length);
    const shared = { data: this.data, choices: this.choices(), plan: this.plan(), times: this.times(), strips: this.strips, bands: this.bands(), flows: this.plan().flows, costs: this.costs, proposal: this.proposal };
    const selection = new Set(this.model.get("selection"));
    const locked = new Set(this.model.get("locked"));
    const waiting = new Set([...this.pending.values()].flatMap((wish) => wish.ops));
    const wanted = new Set();
    for (let index = first; index < last; index += 1) {
      const row = this.rows[index];
      const element = this.elementFor(row);
      wanted.add(element);
      element.px.row = index;
      element.style.transform = `translateY(${index * ROW}px)`;
      put(element, "aria-rowindex", index + 1);
      const marks = { selected: row.type === "op" && selection.has(row.key), waiting: row.ops.some((op) => waiting.has(op)), locked: row.ops.filter((op) => locked.has(this.data.ops[op].id)).length };
      fillRow(element, { ...shared, ...marks, row, lane: this.lanes[index] }, this.columns);
    }
    this.elements.forEach((element, key) => {
      if (wanted.has(element)) return;
      element.remove();
      this.elements.delete(key);
    });
  }

  elementFor(row) {
    const key = `${row.type}:${row.key}`;
    let element = this.elements.get(key);
    if (!element) {
      element = newRow(row, this.columns, this.data.precisions);
      this.elements.set(key, element);
      this.parts.body.append(element);
    }
    return element;
  }

  // What a person does

  /** Chooses a precision for a row, or with `range` for all rows since the last one chosen. */
  pick(index, precision, range) {
    const row = this.rows[index];
    if (!row) return;
    const ops = range && this.last !== null ? opsBetween(this.rows, this.last, index) : row.ops;
    if (!range) this.last = index;
    this.at.row = index;
    this.choose(ops.filter((op) => this.data.options[op][precision].possible), precision);
    if (row.type === "op" && !this.model.get("selection").includes(row.key)) this.select(index);
  }

  choose(ops, precision) {
    if (ops.length === 0) return;
    const wish = (this.asked += 1);
    this.pending.set(wish, { ops, precision });
    this.draw();
    const fields = { ops: ops.map((op) => this.data.ops[op].id), precision: this.data.precisions[precision] };
    this.ask("set", fields).finally(() => {
      this.pending.delete(wish);
      this.drawSoon();
    });
  }

  /** Opens or closes a row with rows inside; true where that changed something. */
  toggle(index, open) {
    const row = this.rows[index];
    if (!row || row.type === "op" || open === row.open) return false;
    if (row.open) this.closed.add(row.key);
    else this.closed.delete(row.key);
    this.arrangeRows();
    return true;
  }

  select(index) {
    const row = this.rows[index];
    if (row) this.ask("select", { ops: row.type === "op" ? [row.key] : [] });
  }

  /** Locks a row's ops for the search, or sets them free where all of them are locked. */
  lock(index) {
    const row = this.rows[index];
    if (!row) return;
    const ids = row.ops.map((op) => this.data.ops[op].id);
    const locked = new Set(this.model.get("locked"));
    this.ask("lock", { ops: ids, on: !ids.every((id) => locked.has(id)) });
  }

  focus(index, column) {
    this.at = { row: Math.max(0, Math.min(index, this.rows.length - 1)), column };
    const top = this.at.row * ROW;
    const { scroll } = this.parts;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + 2 * ROW + 4 > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + 2 * ROW + 4 - scroll.clientHeight;
    this.draw();
    const row = this.rows[this.at.row];
    const target = row && this.elementFor(row).children[column];
    if (!target) return;
    target.tabIndex = -1;
    target.focus({ preventScroll: column === 0 });
  }

  filterTyped() {
    this.arrangeRows();
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      const text = this.parts.filter.value;
      if (text !== this.model.get("filter")) this.ask("filter", { text });
    }, TYPING_MS);
  }

  clearFilter() {
    this.parts.filter.value = "";
    this.filterTyped();
    this.focus(0, 0);
  }

  filterHeard() {
    const { filter } = this.parts;
    if (document.activeElement === filter || filter.value === this.model.get("filter")) return;
    filter.value = this.model.get("filter");
    this.arrangeRows();
  }
}

export default {
  render({ model, el }) {
    const view = new MapView(model, el);
    return () => view.remove();
  },
};
