// The precision map: virtual rows and optimistic clicks. Python owns the truth; a click only asks.
import { laneRows } from "./lane.js";
import { buildBar, fillHelp, showAnswer, showHidden, showOrder } from "./map_bar.js";
import { MapActions } from "./map_actions.js";
import { gridOf, hiddenFacts, recallHidden, shownColumns } from "./map_columns.js";
import { barActions, clearFilter, explainHeader, fitColumns, heardFilter, recallSort, sortBy } from "./map_controls.js";
import { readCosts, readProposal } from "./map_costs.js";
import { fillDetail, newDetail, stopOf } from "./map_detail.js";
import { attachHeader, headerCells, markSort } from "./map_header.js";
import { attachInput } from "./map_input.js";
import { RowList } from "./map_list.js";
import { buildParts, fillFormats, fillScale, followTheme, showNotices, showPlace } from "./map_parts.js";
import { ROW, columnsOf, fillRow, newRow } from "./map_rows.js";
import { loneLanes, nextSort } from "./map_sort.js";
import { notices, placeholder } from "./map_states.js";
import { recipeReader } from "./map_plan.js";
import { fillAxis, readStrips } from "./map_strip.js";
import { StuckRows, topOf } from "./map_stuck.js";
import { kinship, offsetsOf, windowOf } from "./map_window.js";
import { complain, dress, line, listen, markPage, put, soon } from "./shared.js";
import { newTip } from "./tip.js";
import { residuals } from "./tree.js";
import { undone } from "./undone.js";

const NO_TABLE = { ops: [], precisions: [], options: [], links: [] };

/** The table as it crossed, with each op's options looked up. */
function unpack(table) {
  if (!table || !table.ops) return NO_TABLE;
  return { ...table, options: table.options.map((row) => row.map((kind) => table.option_kinds[kind])) };
}

class MapView extends MapActions {
  constructor(model, el) {
    super();
    this.model = model;
    this.el = dress(el, "map");
    const hidden = recallHidden();
    this.hidden = hidden || new Set();
    this.columnsChosen = hidden !== null;
    this.parts = buildParts(buildBar(barActions(this)));
    this.tip = newTip();
    this.wire = line(model, el, () => this.data && this.turned());
    this.reads = recipeReader(model);
    this.rowHeight = ROW;
    this.elements = new Map();
    this.pending = new Map();
    this.details = new Map();
    this.stuck = new StuckRows(this.parts.sticky);
    this.asked = 0;
    this.queued = 0;
    this.typing = 0;
    this.parts.filter.value = model.get("filter") || "";
    el.append(this.parts.panel);
    const size = new ResizeObserver(() => fitColumns(this));
    size.observe(this.parts.scroll);
    this.stops = [
      this.attachHands(),
      attachInput(this),
      attachHeader(this.parts.header, (at) => explainHeader(this, at), (at) => this.focus(0, at)),
      () => this.parts.closeColumns(false),
      followTheme(this.parts),
      () => size.disconnect(),
      listen(model, ["table"], () => this.readTable()),
      listen(model, ["plan", "plan_since"], soon(() => this.arrangeRows())),
      listen(model, ["strips", "heights"], soon(() => this.readRanges())),
      listen(model, ["costs", "cost_bytes"], soon(() => this.readCosts())),
      listen(model, ["proposed"], () => this.readProposal()),
      listen(model, ["bands", "bands_since", "selection", "opening", "failed", "details"], () => this.drawSoon()),
      listen(model, ["times", "times_since"], soon(() => this.valuesHeard("times"))),
      listen(model, ["locked"], () => this.valuesHeard("locked")),
      listen(model, ["filter"], () => heardFilter(this)),
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
    return this.reads.plan();
  }

  times() {
    return this.reads.times();
  }

  /** Each op's precision by number: what Python said, with the clicks that it has not answered yet on top. */
  choices() {
    const now = [...this.plan().choices];
    this.pending.forEach((wish) => wish.ops.forEach((op) => { now[op] = wish.precision; }));
    return now;
  }

  /** What Python said last; once the session has stopped, nothing of it is still to come. */
  toldOf(name) {
    return undone(this.model.get(name), this.wire.stopped());
  }

  /** The session stopped, or goes on. */
  turned() {
    this.readRanges();
    this.readCosts();
  }

  ask(type, fields) {
    return this.wire.ask(type, fields).catch((error) => complain(this.el, error));
  }

  // What is shown

  readTable() {
    this.data = unpack(this.model.get("table"));
    this.list = new RowList(this.data.ops, this.data.links);
    this.list.sortBy(recallSort(this.data.precisions));
    this.at = { row: 0, column: 0 };
    this.last = this.anchor = null;
    this.joins = residuals(this.data.ops, this.data.links);
    this.pending.clear();
    this.recallDetails();
    fillHelp(this.parts, this.data);
    this.costs = this.costsNow();
    this.layColumns();
    this.readRanges();
    this.readProposal();
    this.readCosts();
  }

  /** Lays out the columns on show anew, with all rows. */
  layColumns() {
    this.allColumns = columnsOf(this.data.precisions);
    this.columns = shownColumns(this.allColumns, this.hidden);
    this.elements.forEach((element) => element.remove());
    this.elements.clear();
    this.stuck.clear();
    const grid = gridOf(this.columns);
    this.parts.panel.style.setProperty("--px-cols", grid.tracks);
    this.parts.panel.style.setProperty("--px-least", grid.least);
    this.parts.header.replaceChildren(...headerCells(this.columns, (by) => sortBy(this, nextSort(this.list.sort, by))));
    this.at.column = Math.min(this.at.column, this.columns.length - 1);
  }

  /** Costs of a former model do not fit the table of the next, and are none then. */
  costsNow() {
    return readCosts(this.toldOf("costs"), this.model.get("cost_bytes"), this.data.ops.length, this.data.precisions.length);
  }

  readCosts() {
    this.costs = this.costsNow();
    fillScale(this.parts, this.costs);
    this.valuesHeard("costs");
  }

  /** What cells show has changed: rows move only where the filter or the order goes by it. */
  valuesHeard(name) {
    if (!this.answer || this.list.restsOn(name, this.answer)) this.arrangeRows();
    else this.drawSoon();
  }

  readProposal() {
    this.proposal = readProposal(this.model.get("proposed"), this.data.ops.length);
    put(this.parts.panel, "data-proposal", this.proposal ? "true" : null);
    this.drawSoon();
  }

  readRanges() {
    const strips = readStrips(this.toldOf("strips"), this.model.get("heights"));
    // Ranges of a former model may still be on their way out when the table of the next is in.
    this.strips = strips.ops.length === this.data.ops.length ? strips : { ...readStrips(null, null), error: strips.error, state: strips.state === "ready" ? "pending" : strips.state };
    fillAxis(this.parts.header.querySelector(".px-col-range .px-heading"), this.strips);
    this.drawSoon();
  }

  bands() {
    return this.reads.bands();
  }

  /** What the filter and the order look at. */
  facts() {
    return { data: this.data, choices: this.choices(), plan: this.plan(), costs: this.costs, times: this.times(), locked: new Set(this.model.get("locked")) };
  }

  arrangeRows() {
    const facts = this.facts();
    const { flows, casts } = facts.plan;
    const { sort } = this.list;
    // Rows that sort themselves anew under a finger or a cursor would be lost from sight.
    const held = this.parts.body.matches(":hover") || this.parts.body.contains(document.activeElement);
    const found = this.list.look(this.parts.filter.value, facts, this.details, held);
    const at = this.parts.body.contains(document.activeElement) ? this.rows[this.at.row] : null;
    this.rows = found.rows;
    this.answer = found.answer;
    this.offsets = offsetsOf(this.rows, ROW);
    this.kin = kinship(this.rows);
    this.lanes = sort.by === "order" ? laneRows(this.rows, this.data.links, flows, casts, this.joins) : loneLanes(this.rows, flows, casts);
    const moved = at ? this.rows.findIndex((row) => row.key === at.key && row.type === at.type) : -1;
    this.at.row = moved >= 0 ? moved : Math.max(0, Math.min(this.at.row, this.rows.length - 1));
    this.parts.body.style.height = `${this.offsets[this.rows.length]}px`;
    put(this.parts.scroll, "aria-rowcount", this.rows.length);
    showAnswer(this.parts, found.answer, found.kept?.size ?? null, this.data.ops.length);
    showOrder(this.parts, sort, found.stale);
    showHidden(this.parts, hiddenFacts(this.allColumns, this.hidden, facts.choices));
    markSort(this.parts.header.children, this.columns, sort);
    fillFormats(this.parts, facts.plan);
    this.draw();
  }

  drawSoon() {
    this.queued ||= requestAnimationFrame(() => {
      this.queued = 0;
      this.draw();
    });
  }

  draw() {
    const state = {
      opening: this.wire.stopped() ? "" : this.model.get("opening"), failed: this.model.get("failed"), model: this.data.model, ops: this.data.ops.length, shown: this.data.ops.length,
      rows: this.rows.length, filter: this.parts.filter.value, more: this.data.more, costs: this.costs, strips: this.strips, stopped: Boolean(this.wire.stopped()),
    };
    const actions = { clear: () => clearFilter(this), retry: () => this.ask("measure") };
    showPlace(this.parts, placeholder(state), actions);
    showNotices(this.parts, state.ops ? notices(state) : [], actions);
    this.parts.notes.hidden = state.ops === 0;
    this.drawRows();
    if (!state.model) return;
    put(this.el, "data-ready", "true");
    markPage(this.el, { "data-testid": "page", "data-ready": "true", "data-model": state.model });
  }

  drawRows() {
    const { scrollTop, clientHeight } = this.parts.scroll;
    const { first, last } = windowOf(scrollTop, clientHeight || 600, this.offsets);
    const look = this.look();
    const wanted = new Set();
    if (this.details.size) this.parts.scroll.style.setProperty("--px-view", `${this.parts.scroll.clientWidth}px`);
    for (const index of this.inSight(first, last)) {
      const row = this.rows[index];
      const element = this.elementFor(row);
      wanted.add(element);
      element.px.row = index;
      element.style.transform = `translateY(${this.offsets[index]}px)`;
      put(element, "aria-rowindex", index + 1);
      if (row.type === "detail") this.drawDetail(element, row, index, look);
      else fillRow(element, this.viewOf(index, look), this.columns);
      this.markRow(element, index, look.marked);
    }
    this.stuck.draw(this, look);
    this.elements.forEach((element, key) => {
      if (wanted.has(element)) return;
      element.remove();
      this.elements.delete(key);
    });
    this.rove();
  }

  /** The numbers of the rows to draw: those in sight, and wherever they are, the one that has the focus and the one held. */
  inSight(first, last) {
    const focused = this.parts.body.contains(document.activeElement) ? this.at.row : -1;
    const held = new Set([focused, this.dragged?.px.row ?? -1]);
    const beyond = [...held].filter((index) => index >= 0 && index < this.rows.length && (index < first || index >= last));
    return Array.from({ length: last - first }, (_, at) => first + at).concat(beyond);
  }

  drawDetail(element, row, index, { shared }) {
    const op = row.of.ops[0];
    const act = {
      again: () => this.ask("look", { op: row.key }),
      close: () => this.toggleDetail(row.of),
      set: ({ ops, precision }) => this.choose(ops.map((id) => this.data.ops.findIndex((one) => one.id === id)).filter((at) => at >= 0), this.data.precisions.indexOf(precision)),
    };
    fillDetail(element, {
      row, op, act, data: shared.data, choices: shared.choices, costs: shared.costs, found: this.toldOf("details")?.ops?.[row.key],
      shown: this.columns.filter((column) => column.precision !== undefined), live: index === this.at.row,
    });
    this.fitDetail(row.key, element.firstChild.offsetHeight);
  }

  /** What all rows of one drawing share. */
  look() {
    const plan = this.plan();
    return {
      marked: this.marked(),
      shared: { data: this.data, choices: this.choices(), plan, times: this.times(), strips: this.strips, bands: this.bands(), flows: plan.flows, costs: this.costs, proposal: this.proposal },
      selection: new Set(this.model.get("selection")), locked: new Set(this.model.get("locked")), waiting: new Set([...this.pending.values()].flatMap((wish) => wish.ops)),
    };
  }

  viewOf(index, { shared, selection, locked, waiting, marked }) {
    const row = this.rows[index];
    const within = marked !== null && index >= marked.first && index <= marked.last;
    const marks = { selected: within || (row.type === "op" && selection.has(row.key)), waiting: row.ops.some((op) => waiting.has(op)), detailed: this.details.has(row.key), locked: row.ops.filter((op) => locked.has(this.data.ops[op].id)).length };
    return { ...shared, ...marks, row, lane: this.lanes[index] };
  }

  elementFor(row) {
    const key = `${row.type}:${row.key}`;
    let element = this.elements.get(key);
    if (!element) {
      element = row.type === "detail" ? newDetail() : newRow(row, this.columns, this.data.precisions);
      this.elements.set(key, element);
      this.parts.body.append(element);
    }
    return element;
  }

  // What a person does

  /** Opens or closes a row with rows inside; true where that changed something. */
  toggle(index, open) {
    const row = this.rows[index];
    if (!row || row.type === "op" || row.type === "detail" || open === row.open) return false;
    if (row.open) this.list.closed.add(row.key);
    else this.list.closed.delete(row.key);
    this.arrangeRows();
    return true;
  }

  focus(index, column) {
    this.at = { row: Math.max(0, Math.min(index, this.rows.length - 1)), column };
    this.bring(this.at.row);
    this.draw();
    const row = this.rows[this.at.row];
    const target = row && stopOf(this.elementFor(row), column);
    if (target) target.focus({ preventScroll: column === 0 });
  }

  /** Scrolls a row into sight, below the headers that stay at the top. */
  bring(index) {
    const { scroll } = this.parts;
    const top = topOf(this, index);
    const foot = (this.offsets[index] ?? 0) + 2 * ROW + 4 - scroll.clientHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (foot > scroll.scrollTop) scroll.scrollTop = foot;
  }

}

export default {
  render({ model, el }) {
    const view = new MapView(model, el);
    return () => view.remove();
  },
};
