// The history: every recipe that was chosen as a tree of lanes; a click or Enter goes there. Rows out of sight are not made.
import { inSight, layLanes, lineageOf, widthOf } from "./history_lanes.js";
import { cellsOf, numbersOf, sentencesOf, summaryOf } from "./history_rows.js";
import { complain, dress, h, line, listen, put, soon, svg } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";
import { WORDS } from "./words.js";

const ROW = 26;
const STEP = 14;
const place = (lane) => STEP / 2 + lane * STEP + 2;

/** One row's lines and dot; lines on the way from the first recipe to the current one are drawn strong. */
function graphOf(row, width, lineage, dot) {
  const picture = svg("svg", { width, height: ROW, "aria-hidden": "true" });
  const stroke = (from, path) => picture.append(svg("path", { d: path, class: lineage.has(from) ? "px-on" : "" }));
  const x = place(row.lane);
  row.passes.forEach((one) => stroke(one.from, `M${place(one.lane)} 0V${ROW}`));
  row.joins.forEach((one) => stroke(one.from, `M${place(one.lane)} 0C${place(one.lane)} ${ROW / 2} ${x} 2 ${x} ${ROW / 2}`));
  if (row.above !== null) stroke(row.above, `M${x} 0V${ROW / 2}`);
  if (row.below !== null) stroke(row.below, `M${x} ${ROW / 2}V${ROW}`);
  picture.append(svg("circle", { cx: x, cy: ROW / 2, r: dot === "now" ? 5.5 : 4, class: `px-dot-${dot}` }));
  return picture;
}

class HistoryView {
  constructor(model, el) {
    this.model = model;
    this.el = dress(el, "history");
    this.wire = line(model, el);
    this.cursor = null;
    this.mine = `px-history-${Math.random().toString(36).slice(2, 8)}`;
    this.tip = newTip();
    this.summary = h("p", { class: "px-note", role: "status" });
    const column = (name, term) => h("span", { class: "px-explained", tabindex: "0", "data-term": term, text: name });
    this.scoreHead = column("score", "score against FP32");
    this.costHead = column("KL", "KL");
    this.heads = h("div", { class: "px-hist-row px-hist-heads" }, h("span"), h("span", { text: "what changed" }), this.scoreHead, this.costHead, column("speed-up", "speed-up"));
    this.list = h("div", { class: "px-hist-list" });
    this.scroll = h("div", {
      class: "px-hist-scroll", role: "listbox", tabindex: "0", "aria-label": "every recipe that was chosen, the newest first",
      onscroll: () => this.fill(), onkeydown: (event) => this.key(event), onclick: (event) => this.click(event),
      onmousemove: (event) => this.hover(event), onmouseleave: () => this.hide(), onblur: () => this.hide(),
    }, this.list);
    const key = (dot, text) => h("span", { class: "px-hist-key" }, graphOf({ lane: 0, passes: [], joins: [], above: null, below: null }, 18, new Set(), dot), text);
    this.keys = h("div", { class: "px-hist-keys px-sub" }, key("now", "the recipe now"), key("known", "measured"), key("open", "not measured yet"), h("span", {}, h("i", { text: "slanted" }), " emulated"));
    this.root = h("div", { "data-testid": "history" }, this.summary, h("div", { class: "px-hist-grid" }, this.heads, this.scroll), this.keys);
    el.append(this.root);
    this.resize = new ResizeObserver(() => this.fill());
    this.resize.observe(this.scroll);
    this.stops = [attachTerms(this.root, WORDS, this.tip), listen(model, ["nodes", "standing"], soon(() => this.draw()))];
    this.draw();
  }

  draw() {
    const before = this.standing;
    this.nodes = (this.model.get("nodes") || []).map(([id, parent, words]) => ({ id, parent, words }));
    this.standing = { at: 0, numbers: [], name: "score", unit: "", ...this.model.get("standing") };
    this.numbers = numbersOf(this.standing.numbers);
    this.words = new Map(this.nodes.map((node) => [node.id, node.words]));
    this.lineage = lineageOf(this.nodes, this.standing.at);
    this.rows = layLanes(this.nodes);
    this.width = widthOf(this.rows) * STEP + 6;
    put(this.summary, "text", this.nodes.length ? summaryOf(this.nodes) : "No model is open yet.");
    put(this.root, "data-at", this.nodes.length ? this.standing.at : null);
    put(this.root, "data-count", this.nodes.length);
    put(this.scoreHead, "text", `${this.standing.name} \u0394`);
    const error = this.standing.cost === "squared error";
    put(this.costHead, "text", error ? "error" : "KL");
    put(this.costHead, "data-term", error ? "squared error" : "KL");
    put(this.root, "style", `--graph:${this.width}px`);
    put(this.list, "style", `height:${this.rows.length * ROW}px`);
    if (!before || before.at !== this.standing.at) {
      this.cursor = this.placeOf(this.standing.at);
      this.reveal(this.cursor);
    }
    this.fill();
  }

  placeOf(id) {
    return Math.max(0, this.rows.findIndex((row) => row.id === id));
  }

  /** Scrolls just as far as needed to see a row. */
  reveal(at) {
    const { scrollTop, clientHeight } = this.scroll;
    if (at * ROW < scrollTop) this.scroll.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + clientHeight) this.scroll.scrollTop = (at + 1) * ROW - clientHeight;
  }

  fill() {
    const [first, end] = inSight(this.scroll.scrollTop, this.scroll.clientHeight || 300, ROW, this.rows.length);
    this.list.replaceChildren(...this.rows.slice(first, end).map((row, at) => this.rowOf(row, first + at)));
    put(this.scroll, "aria-activedescendant", this.rows.length ? this.name(this.rows[this.cursor]?.id) : null);
  }

  name(id) {
    return `${this.mine}-${id}`;
  }

  rowOf(row, at) {
    const found = this.numbers.get(row.id);
    const now = row.id === this.standing.at;
    const cells = cellsOf(found, this.standing.unit);
    const cell = (name) => h("span", { class: "px-hist-number", "data-unreal": cells[name] === "emulated" || (found && found.emulated && name !== "speed") ? "true" : null, text: cells[name] });
    const words = this.words.get(row.id);
    return h("div", {
      class: "px-hist-row", role: "option", id: this.name(row.id), style: `top:${at * ROW}px`, "data-node": row.id, "data-testid": `history:${row.id}`,
      "aria-selected": now ? "true" : "false", "data-cursor": at === this.cursor ? "true" : null, "data-off": this.lineage.has(row.id) ? null : "true",
      "aria-description": sentencesOf(found, this.standing).join(". "),
    }, graphOf(row, this.width, this.lineage, now ? "now" : found ? "known" : "open"), h("span", { class: "px-hist-words", text: words }), cell("score"), cell("kl"), cell("speed"));
  }

  rowAt(event) {
    const row = event.target.closest("[data-node]");
    return row && this.placeOf(Number(row.dataset.node));
  }

  click(event) {
    const at = this.rowAt(event);
    if (at !== null) this.go(at);
  }

  hover(event) {
    const at = this.rowAt(event);
    if (at === this.hovered) return;
    this.hovered = at;
    if (at === null) this.hide();
    else this.explain(at, event.target.closest("[data-node]").querySelector(".px-hist-words"));
  }

  hide() {
    this.hovered = null;
    this.tip.hide();
  }

  explain(at, anchor) {
    const { id } = this.rows[at];
    this.tip.show(anchor, [this.words.get(id), ...sentencesOf(this.numbers.get(id), this.standing)]);
  }

  key(event) {
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -this.rows.length, End: this.rows.length };
    if (event.key === "Escape") this.hide();
    else if (event.key === "Enter" || event.key === " ") this.go(this.cursor);
    else if (!(event.key in moves)) return;
    else {
      this.cursor = Math.max(0, Math.min(this.rows.length - 1, this.cursor + moves[event.key]));
      this.reveal(this.cursor);
      this.fill();
      const row = this.list.querySelector("[data-cursor] .px-hist-words");
      if (row) this.explain(this.cursor, row);
    }
    event.preventDefault();
  }

  go(at) {
    this.cursor = at;
    this.hide();
    this.fill();
    if (this.rows[at] && this.rows[at].id !== this.standing.at) this.wire.ask("go_to", { node: this.rows[at].id }).catch((error) => complain(this.el, error));
  }

  remove() {
    this.stops.forEach((stop) => stop());
    this.resize.disconnect();
    this.wire.close();
    this.tip.remove();
    this.root.remove();
  }
}

export default {
  render({ model, el }) {
    const view = new HistoryView(model, el);
    return () => view.remove();
  },
};
