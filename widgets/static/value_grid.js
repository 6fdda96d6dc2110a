// The value grid: the picture, and what hover, click, drag and keys do. Python owns the number.
import { TERMS, shown } from "./bits_words.js";
import { bounded, codeAt, ends, magnitudes, nearestRank, rangeOf, sizeAt, zoomed } from "./grid_axis.js";
import { draw, frameOf, laneTop, plainSize } from "./grid_lanes.js";
import { complain, dress, h, line, listen, put, soon } from "./shared.js";
import { attachTerms, termButtons } from "./terms.js";
import { newTip } from "./tip.js";

const RANGES = [["sixteen", "FP16 and narrower"], ["eight", "8 bits and fewer"], ["near", "near the number"], ["all", "everything"]];
const GRID_TERMS = {
  ...TERMS,
  "a tick": "One value of the format. Where ticks would touch there is shading, darker where values are denser.",
  "hatched": "The subnormal zone: values there are evenly spaced, so on this axis they thin out toward zero.",
  "the dashed line": "The number as it was typed, before any rounding.",
  "the dot": "The value that the format makes of the number: filled where it is exact, hollow where it is not.",
  "log axis": "Every step to the right multiplies by two, so the tick spacing shows relative precision.",
};

class Grid {
  constructor(model, el) {
    this.model = model;
    this.el = dress(el, "gridview");
    const { ask, close } = line(model, el);
    this.ask = (type, fields) => ask(type, fields).catch((error) => complain(el, error));
    this.side = this.number.side < 0 ? -1 : 1;
    this.tip = newTip();
    this.hatch = `px-hatch-${Math.random().toString(36).slice(2, 10)}`;
    this.build();
    this.stops = [close, attachTerms(this.panel, GRID_TERMS, this.tip), listen(model, ["number", "rows", "blocks"], soon(() => this.changed()))];
    const resized = new ResizeObserver(() => this.draw());
    resized.observe(this.plot);
    this.stops.push(() => resized.disconnect(), () => this.tip.remove(), () => this.panel.remove());
    this.fit();
  }

  get number() { return this.model.get("number"); }

  get lanes() { return this.model.get("rows"); }

  build() {
    const button = (id, text, words, run) => h("button", { class: "px-btn", type: "button", "data-testid": id, "aria-label": words, title: words, text, onclick: run });
    this.range = h("select", { "data-testid": "grid-range", "aria-label": "range of the axis", onchange: () => this.fit() }, RANGES.map(([value, text]) => h("option", { value, text })));
    this.own = h("option", { value: "", text: "own choice", hidden: true });
    this.range.append(this.own);
    this.sideBox = h("select", { "data-testid": "grid-side", "aria-label": "sign of the values", onchange: () => { this.side = Number(this.sideBox.value); this.fit(); } },
      h("option", { value: "1", text: "positive values" }), h("option", { value: "-1", text: "negative values" }));
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("class", "px-grid-svg");
    this.plot = h("div", { class: "px-grid-plot", "data-testid": "value-grid" }, this.svg);
    this.blocks = h("div", { class: "px-blocks" });
    this.panel = h("div", { class: "px-panel" },
      h("div", { class: "px-head" }, h("b", { text: "The values of each format" }), h("span", { class: "px-sub px-with-mouse", text: "on one log axis \u00b7 hover for a value, click to take it, drag to move, Ctrl+wheel to zoom" }),
        h("span", { class: "px-sub px-with-finger", text: "on one log axis \u00b7 tap a value to take it, drag to move, + and \u2212 to zoom" }),
        h("span", { class: "px-space" }), this.range, this.sideBox,
        button("grid-out", "\u2212", "show more of the axis", () => this.zoom(2)), button("grid-in", "+", "zoom in on the number", () => this.zoom(0.5))),
      this.plot, this.blocks, termButtons(["log axis", "a tick", "hatched", "the dashed line", "the dot", "subnormal", "normal"], GRID_TERMS));
    this.el.append(this.panel);
    this.plot.addEventListener("pointermove", (event) => this.moved(event));
    this.plot.addEventListener("pointerleave", () => this.tip.hide());
    this.plot.addEventListener("pointerdown", (event) => { this.drag = { x: event.clientX, view: this.view, far: false }; });
    this.plot.addEventListener("pointerup", (event) => this.released(event));
    this.plot.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    this.plot.addEventListener("keydown", (event) => this.pressed(event));
    this.plot.addEventListener("focusin", (event) => this.focused(event));
    this.plot.addEventListener("focusout", () => this.tip.hide());
  }

  /** Shows the chosen range, with the number in it. */
  fit() {
    if (!this.range.value) this.range.value = "sixteen";
    this.view = rangeOf(this.range.value, this.lanes, this.number.side === this.side ? this.number : { log2: null }, this.side);
    this.draw();
  }

  zoom(factor) {
    const here = this.number.log2;
    const inside = here !== null && here > this.view.lo && here < this.view.hi && this.number.side === this.side;
    this.look(zoomed(this.view, factor, inside ? here : (this.view.lo + this.view.hi) / 2));
  }

  look(view) {
    this.view = view;
    this.range.value = "";
    this.draw();
  }

  /** After Python changed something: a chosen range follows the number, an own choice stays. */
  changed() {
    if (this.number.side !== 0 && this.number.special !== "nan") this.side = this.number.side;
    if (this.range.value) this.fit();
    else this.draw();
  }

  draw() {
    const width = this.plot.clientWidth;
    if (!width || !this.view) return;
    const focused = this.svg.contains(document.activeElement) ? document.activeElement.dataset.lane : undefined;
    this.sideBox.value = String(this.side);
    this.frame = frameOf(width, this.lanes, this.view, this.side, this.hatch);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", this.frame.height);
    this.svg.replaceChildren(...draw(this.frame, this.lanes, this.number));
    if (focused !== undefined) this.svg.querySelector(`[data-lane="${focused}"]`)?.focus();
    this.drawBlocks();
    put(this.plot, "data-lo", this.view.lo.toFixed(3));
    put(this.plot, "data-hi", this.view.hi.toFixed(3));
  }

  drawBlocks() {
    const blocks = this.model.get("blocks");
    this.blocks.hidden = !blocks.length;
    this.blocks.replaceChildren(h("b", { text: "Block formats " }), "have the values of their element\u2019s lane, times a scale that a block of neighbours shares: the lane slides along the axis to where the block\u2019s largest number fits. ",
      h("span", { class: "px-sub", text: `${blocks.join("; ")}.` }));
  }

  laneAt(event) {
    const box = this.svg.getBoundingClientRect();
    const index = Math.floor((event.clientY - box.top - laneTop(this.frame, 0)) / this.frame.lane);
    const x = event.clientX - box.left;
    return { lane: this.lanes[index], index, x, box };
  }

  /** What a place of a lane says: the nearest value, its code and the step there. */
  wordsAt(lane, rank) {
    const size = this.side * sizeAt(lane, rank);
    const code = codeAt(lane, rank, this.side).toString(16).toUpperCase().padStart(Math.ceil(lane.bits / 4), "0");
    const last = rank === magnitudes(lane, this.side);
    const step = last ? "the last on this side" : `the next is ${plainSize(sizeAt(lane, rank + 1) - sizeAt(lane, rank))} farther from zero`;
    const at = ends(lane, this.side);
    const zone = lane.float ? (Math.log2(Math.abs(size)) < at.normal ? "subnormal, " : "normal, ") : "";
    return [`${lane.label} ${shown(String(size))}`, `${zone}code 0x${code}; ${step}`, "Click to make it the number."];
  }

  moved(event) {
    if (this.drag && event.buttons) {
      const span = this.drag.view.hi - this.drag.view.lo;
      const by = ((event.clientX - this.drag.x) / (this.frame.right - this.frame.left)) * span;
      this.drag.far = this.drag.far || Math.abs(event.clientX - this.drag.x) > 4;
      if (this.drag.far) this.look(bounded({ lo: this.drag.view.lo - by, hi: this.drag.view.hi - by }));
      return;
    }
    const { lane, index, x, box } = this.laneAt(event);
    const rank = lane && x >= this.frame.left - 4 && x <= this.frame.right + 4 ? nearestRank(lane, this.frame.log2At(x), this.side) : 0;
    if (!rank) {
      this.tip.hide();
      return;
    }
    const px = Math.min(this.frame.right, Math.max(this.frame.left, this.frame.x(Math.log2(sizeAt(lane, rank)))));
    const top = box.top + laneTop(this.frame, index) + this.frame.bar;
    const spot = { left: box.left + px, width: 0, top, bottom: top + 24 };
    this.tip.show({ getBoundingClientRect: () => spot }, this.wordsAt(lane, rank));
  }

  released(event) {
    const far = this.drag && this.drag.far;
    this.drag = null;
    if (far) return;
    const { lane, x } = this.laneAt(event);
    const rank = lane && x >= this.frame.left - 4 && x <= this.frame.right + 4 ? nearestRank(lane, this.frame.log2At(x), this.side) : 0;
    if (rank) this.ask("take", { format: lane.name, code: codeAt(lane, rank, this.side) });
  }

  wheeled(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    this.look(zoomed(this.view, 1.2 ** Math.sign(event.deltaY), this.frame.log2At(x)));
  }

  pressed(event) {
    const lane = this.lanes[event.target.dataset.lane];
    const by = { ArrowRight: this.side, ArrowLeft: -this.side }[event.key];
    if (lane && by) this.ask("step", { format: lane.name, by });
    else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  focused(event) {
    const lane = this.lanes[event.target.dataset?.lane];
    if (lane && event.target.matches(":focus-visible")) this.tip.show(event.target, [`${lane.label}: ${shown(lane.value)}`, "Left and right: its neighbours. Plus and minus: zoom."]);
  }

  close() {
    for (const stop of this.stops) stop();
  }
}

export default {
  render({ model, el }) {
    const grid = new Grid(model, el);
    return () => grid.close();
  },
};
