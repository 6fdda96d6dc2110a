// The map's fixed parts: head with filter, scrolling grid, loading skeleton, legend.
import { isDark, scaleRules, ticksOf } from "./cost_scale.js";
import { family } from "./lane.js";
import { sourceWords } from "./map_costs.js";
import { h, put } from "./shared.js";

const HINT = "colour = predicted quality cost of running only this op so \u00b7 click a cell to choose it, a layer's bar for the whole layer";
const FILTER = "/ filter: qkv, linear, int8, *mlp*";

/** The panel's elements by name. */
export function buildParts() {
  const filter = h("input", {
    class: "px-input", type: "search", "data-testid": "filter", placeholder: FILTER, "aria-label": "filter rows", spellcheck: "false", maxlength: "200",
  });
  const header = h("div", { class: "px-row px-header", role: "row" });
  const body = h("div", { class: "px-body", role: "rowgroup" });
  const scroll = h("div", { class: "px-scroll", role: "treegrid", "aria-label": "precision map: ops by precision", tabindex: "0" },
    h("div", { class: "px-inner" }, header, body));
  const status = h("p", { role: "status" });
  const bones = skeleton();
  const empty = h("div", { class: "px-empty" }, status, bones);
  const formats = h("span", { class: "px-legend-formats" });
  const ramp = { ticks: h("span", { class: "px-ticks", "aria-hidden": "true" }), source: h("span", { "data-testid": "cost-source", role: "status" }), colours: h("style") };
  const notes = legend(formats, ramp);
  const head = h("div", { class: "px-head" }, h("b", { text: "Precision map" }), h("span", { class: "px-sub", text: HINT }), filter);
  const panel = h("div", { class: "px-panel" }, head, scroll, empty, notes);
  panel.append(ramp.colours);
  return { panel, filter, header, body, scroll, empty, status, bones, notes, formats, ...ramp };
}

function skeleton() {
  const widths = [62, 48, 70, 55, 66, 44, 72, 52, 60, 46, 68, 58];
  const bone = (width) => h("div", {}, h("i", { style: `width:${width * 2.2}px` }), h("i", { class: "px-wide" }));
  return h("div", { class: "px-skeleton", "aria-hidden": "true" }, widths.map(bone));
}

function legend(formats, { ticks, source }) {
  const entry = (mark, text) => h("span", {}, mark, text);
  return h("div", { class: "px-legend" },
    h("span", { class: "px-scale", "data-testid": "cost-legend" }, "harmless", h("span", { class: "px-ramp-box" }, h("i", { class: "px-ramp" }), ticks), "harmful", source),
    entry(h("i", { class: "px-key px-sel" }), "chosen"),
    entry(h("i", { class: "px-key" }), "real kernel here"),
    entry(h("i", { class: "px-key px-em" }), "emulated on this device"),
    entry(h("i", { class: "px-key px-prop" }), "proposed by the search"),
    entry(h("i", { class: "px-key px-seen" }), "cost measured"),
    entry(h("i", { class: "px-key-no", text: "\u00b7" }), "not possible (hover says why)"),
    entry(h("i", { class: "px-key-cast" }), "cast"),
    entry(h("i", { class: "px-key-strip px-key-below" }), "becomes zero"),
    entry(h("i", { class: "px-key-strip px-key-above" }), "saturates"),
    formats);
}

/** Shows the rows, or in their place the words: loading with a skeleton, or nothing found. */
export function showWords(parts, words, loading) {
  parts.scroll.hidden = Boolean(words);
  parts.empty.hidden = !words;
  parts.bones.hidden = !loading;
  put(parts.empty, "data-state", words ? (loading ? "loading" : "nothing") : null);
  put(parts.status, "text", words);
}

/** The formats that flow now, in their lanes' colours. */
export function fillFormats(parts, plan) {
  const flowing = [...new Set(plan.flows.concat(plan.casts.map((cast) => cast.to)).filter(Boolean))];
  if (parts.formats.px === flowing.join()) return;
  parts.formats.px = flowing.join();
  parts.formats.replaceChildren(...flowing.map((format) => h("span", { class: `px-fam-${family(format)}` }, h("i", { class: "px-key-line" }), format)));
}

/** What the colours mean now: the ticks under the ramp, and where the costs come from. */
export function fillScale(parts, costs) {
  const ticks = costs.ready ? ticksOf(costs.domain) : [];
  parts.ticks.replaceChildren(...ticks.map(([place, text]) => h("i", { style: `left: ${100 * place}%`, text })));
  put(parts.source, "text", sourceWords(costs));
  put(parts.panel, "data-measured", costs.any ? "true" : null);
}

/** Writes the colours for a light or a dark page, and again when its theme changes; returns what stops that. */
export function followTheme(parts) {
  let dark = null;
  const look = () => {
    const now = isDark(getComputedStyle(parts.panel).backgroundColor);
    if (now !== dark) parts.colours.textContent = scaleRules(now);
    dark = now;
  };
  const watch = new MutationObserver(() => requestAnimationFrame(look));
  watch.observe(document.body, { attributes: true });
  look();
  const frame = requestAnimationFrame(look);
  return () => {
    watch.disconnect();
    cancelAnimationFrame(frame);
  };
}
