// The map's fixed parts: head with filter, scrolling grid, loading skeleton, legend.
import { family } from "./lane.js";
import { h, put } from "./shared.js";

const HINT = "click a cell to choose it \u00b7 a layer's bar sets the whole layer \u00b7 \u00b5s measured per op, here";
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
  const notes = legend(formats);
  const head = h("div", { class: "px-head" }, h("b", { text: "Precision map" }), h("span", { class: "px-sub", text: HINT }), filter);
  const panel = h("div", { class: "px-panel" }, head, scroll, empty, notes);
  return { panel, filter, header, body, scroll, empty, status, bones, notes, formats };
}

function skeleton() {
  const widths = [62, 48, 70, 55, 66, 44, 72, 52, 60, 46, 68, 58];
  const bone = (width) => h("div", {}, h("i", { style: `width:${width * 2.2}px` }), h("i", { class: "px-wide" }));
  return h("div", { class: "px-skeleton", "aria-hidden": "true" }, widths.map(bone));
}

function legend(formats) {
  const entry = (mark, text) => h("span", {}, mark, text);
  return h("div", { class: "px-legend" },
    entry(h("i", { class: "px-key px-sel" }), "chosen"),
    entry(h("i", { class: "px-key" }), "real kernel here"),
    entry(h("i", { class: "px-key px-em" }), "emulated on this device"),
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
