// What a person does on the map, by hand or by key: choose, mark, lock, open a row, copy. The map's view is built on it.
import { attachDrag, paintMark } from "./map_drag.js";
import { copiedWords, copyRows, offerText, toClipboard, toTsv } from "./map_copy.js";
import { DETAIL_PX, MOST_DETAILS, stopOf } from "./map_detail.js";
import { newKeySheet } from "./map_keys.js";
import { lockWords, rangeOps, setWords, splitPossible, unchangedWords } from "./map_range.js";
import { newSaid } from "./map_said.js";
import { topOf } from "./map_stuck.js";
import { plural } from "./numbers.js";
import { h, put } from "./shared.js";

export class MapActions {
  /** Puts what hands need on the map; returns the function that takes it away. */
  attachHands() {
    this.said = newSaid();
    this.keys = newKeySheet();
    this.paint = this.dragged = this.shown = null;
    this.last = null;
    this.anchor = null;
    this.parts.panel.append(this.said.element);
    this.parts.head.querySelector(".px-tools").append(h("span", { class: "px-map-tools" },
      h("button", { class: "px-btn", type: "button", "data-testid": "map-copy", title: "copy the table as it is shown, for a spreadsheet (C)", onclick: () => this.copy() }, "Copy"),
      h("button", { class: "px-btn", type: "button", "data-testid": "map-keys", title: "all keys of the map (?)", onclick: () => this.keys.show(), text: "Keys" })));
    put(this.parts.scroll, "aria-multiselectable", "true");
    const undrag = attachDrag(this);
    return () => {
      undrag();
      this.said.remove();
      this.keys.remove();
    };
  }

  /** Takes the last change back, or makes it again. */
  step(type) {
    this.ask(type).then((reply) => reply && this.said.say(type === "undo" ? "Undone." : "Done again."));
  }

  // Choosing

  /** Chooses a precision for a row, or with `range` for all rows since the last one chosen. */
  pick(index, precision, range) {
    const row = this.rows[index];
    if (!row || row.type === "detail") return;
    const from = range ? this.indexOf(this.last) : -1;
    if (from < 0) this.last = row.key;
    this.at.row = index;
    this.choose(from < 0 ? row.ops : rangeOps(this.rows, from, index), precision);
    if (row.type === "op" && !this.model.get("selection").includes(row.key)) this.select(index);
  }

  /** Chooses a precision for all rows from one to another, as one change. */
  pickRange(from, to, precision) {
    this.last = this.rows[from]?.key ?? null;
    this.choose(rangeOps(this.rows, from, to), precision);
  }

  /** Chooses a precision by key: for the marked rows, or for the one that has the focus. */
  assign(precision, range) {
    const marked = this.marked();
    if (marked) this.pickRange(marked.first, marked.last, precision);
    else this.pick(this.rows[this.at.row]?.type === "detail" ? this.at.row - 1 : this.at.row, precision, range);
  }

  choose(ops, precision) {
    const { can, skipped } = splitPossible(ops, precision, this.data);
    const now = this.choices();
    const changed = can.filter((op) => now[op] !== precision);
    if (changed.length === 0) {
      this.said.say(unchangedWords(can, skipped, precision, this.data), skipped.length > 0);
      return;
    }
    const before = this.plan().casts.length;
    const locked = new Set(this.model.get("locked"));
    const wish = (this.asked += 1);
    this.pending.set(wish, { ops: changed, precision });
    this.draw();
    const fields = { ops: changed.map((op) => this.data.ops[op].id), precision: this.data.precisions[precision] };
    this.ask("set", fields).then((reply) => {
      if (!reply) return;
      const held = changed.filter((op) => locked.has(this.data.ops[op]?.id)).length;
      const change = { ops: changed, skipped, precision, casts: [before, this.plan().casts.length], locked: held };
      this.said.say(setWords(change, this.data), changed.length > 1 || skipped.length > 0 || held > 0);
    }).finally(() => {
      this.pending.delete(wish);
      this.drawSoon();
    });
  }

  // Marking

  /** The number of the row of a key; -1 where it is not shown. */
  indexOf(key) {
    return key === null ? -1 : this.rows.findIndex((row) => row.key === key && row.type !== "detail");
  }

  /** The rows marked by keys, {first, last}, or null. */
  marked() {
    const from = this.anchor === null ? -1 : this.indexOf(this.anchor);
    return from < 0 || from === this.at.row ? null : { first: Math.min(from, this.at.row), last: Math.max(from, this.at.row) };
  }

  unmark() {
    if (this.anchor === null) return false;
    this.anchor = null;
    this.drawSoon();
    return true;
  }

  sayMarked() {
    const marked = this.marked();
    if (!marked) return;
    const rows = this.rows.slice(marked.first, marked.last + 1).filter((row) => row.type !== "detail").length;
    this.said.say(`${plural(rows, "row")} marked, ${plural(rangeOps(this.rows, marked.first, marked.last).length, "op")}: a digit chooses for all of them.`);
  }

  /** Marks a drawn row, and its cell under a drag. */
  markRow(element, index, marked) {
    const row = this.rows[index];
    put(element, "data-marked", marked && index >= marked.first && index <= marked.last ? "true" : null);
    if (element.px.painted) put(element.px.painted, "data-paint", null);
    element.px.painted = null;
    const mark = this.paint && paintMark(row, index, this.paint, this.data);
    const cell = mark && this.cellAt(index, this.paint.precision);
    if (!cell) return;
    put(cell, "data-paint", mark);
    element.px.painted = cell;
  }

  /** The drawn cell of a row and a precision, or null. */
  cellAt(index, precision) {
    const row = this.rows[index];
    const column = this.columns.findIndex((one) => one.precision === precision);
    return (row && column >= 0 && row.type !== "detail" && this.elements.get(`${row.type}:${row.key}`)?.children[column]) || null;
  }

  /** One stop of the Tab key for all rows: the cell that has or had the focus, or where it is not drawn, the grid itself. */
  rove() {
    const row = this.rows[this.at.row];
    const element = row && this.elements.get(`${row.type}:${row.key}`);
    const target = element ? stopOf(element, this.at.column) : null;
    if (this.stop && this.stop !== target) this.stop.tabIndex = -1;
    if (target) target.tabIndex = 0;
    this.stop = target;
    put(this.parts.scroll, "tabindex", target ? "-1" : "0");
  }

  // Selecting, locking, opening

  /** Shows a row's op in the inspector; `aloud`: says so. */
  select(index, aloud = false) {
    const row = this.rows[index]?.of ?? this.rows[index];
    if (!row) return;
    this.ask("select", { ops: row.type === "op" ? [row.key] : [] });
    if (aloud) this.said.say(row.type === "op" ? `The inspector shows ${row.key}.` : "The inspector shows single ops: open the layer and choose one.", row.type !== "op");
  }

  /** Locks the ops of a row, or of all marked rows, for the search, or sets them free where all of them are locked. */
  lock(index) {
    const marked = this.marked();
    const row = this.rows[index]?.of ?? this.rows[index];
    const ops = marked && index >= marked.first && index <= marked.last ? rangeOps(this.rows, marked.first, marked.last) : row?.ops || [];
    if (ops.length === 0) return;
    const ids = ops.map((op) => this.data.ops[op].id);
    const locked = new Set(this.model.get("locked"));
    const on = !ids.every((id) => locked.has(id));
    this.ask("lock", { ops: ids, on }).then((reply) => reply && this.said.say(lockWords(ops, on, this.data), on));
  }

  /** Opens or closes a row: a layer's or a fold's rows, or an op's details. */
  expand(index) {
    const row = this.rows[index];
    if (!row) return;
    if (row.type === "layer" || row.type === "fold") this.toggle(index);
    else this.toggleDetail(row.of ?? row);
  }

  /** The rows that Python knows to be open, for a page that is drawn anew. */
  recallDetails() {
    const known = new Set(this.data.ops.map((op) => op.id));
    const open = Object.keys(this.model.get("details")?.ops ?? {}).filter((id) => known.has(id));
    this.details = new Map(open.map((id) => [id, DETAIL_PX]));
  }

  toggleDetail(row) {
    const open = !this.details.delete(row.key);
    if (open) this.details.set(row.key, DETAIL_PX);
    for (const key of [...this.details.keys()].slice(0, -MOST_DETAILS)) this.details.delete(key);
    this.ask("detail", { ops: [...this.details.keys()] });
    this.arrangeRows();
    this.at.row = Math.max(0, this.indexOf(row.key));
    this.shown = open ? row.key : null;
    if (open) this.reveal();
    this.refocus();
    this.said.say(`Details of ${row.label} ${open ? "are open in the row below" : "are closed"}.`);
  }

  /** A drawn detail is as high as what is in it. */
  fitDetail(key, height) {
    if (!this.details.has(key) || Math.abs(this.details.get(key) - height) < 1) return;
    this.details.set(key, height);
    this.fits ||= requestAnimationFrame(() => {
      this.fits = 0;
      this.arrangeRows();
      this.reveal();
    });
  }

  /** Scrolls so that details which were opened last are in sight with their row, once for each height that they take. */
  reveal() {
    const index = this.shown ? this.indexOf(this.shown) : -1;
    if (index < 0 || this.rows[index + 1]?.type !== "detail") return;
    const { scroll } = this.parts;
    const foot = this.offsets[index + 2] + this.rowHeight + 4 - scroll.clientHeight;
    if (foot > scroll.scrollTop) scroll.scrollTop = Math.min(foot, topOf(this, index));
  }

  /** Puts the focus on the current row after a click on a part of it that takes none, or that was drawn anew. */
  refocus() {
    this.draw();
    if (this.stop && this.stop !== document.activeElement) this.stop.focus({ preventScroll: true });
  }

  /** Escape: takes the marks away, or closes the details that have the focus; false where there was nothing to leave. */
  leave() {
    this.said.hide();
    const marked = this.unmark();
    const details = !marked && this.rows[this.at.row]?.type === "detail";
    if (marked) this.said.say("No row is marked.");
    if (details) this.toggleDetail(this.rows[this.at.row].of);
    return Boolean(marked || details);
  }

  // Copying

  /** Copies the marked rows, or all that the filter leaves, as they are sorted. */
  async copy() {
    const marked = this.marked();
    const rows = (marked ? this.rows.slice(marked.first, marked.last + 1) : this.rows).filter((row) => row.type !== "detail");
    const text = toTsv(copyRows(rows, { data: this.data, columns: this.columns, choices: this.choices(), plan: this.plan(), times: this.times(), costs: this.costs }));
    if (await toClipboard(text)) this.said.say(copiedWords(rows.length, Boolean(marked)), true);
    else offerText(text, `${plural(rows.length, "row")}: this page may not write to the clipboard. Press Ctrl+C, the text is selected.`);
  }
}
