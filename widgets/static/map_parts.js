// The map's fixed parts: bar, scrolling grid, what stands in its place, legend.
import { isDark, scaleRules, ticksOf } from "./cost_scale.js";
import { family } from "./lane.js";
import { sourceWords } from "./map_costs.js";
import { padlock } from "./map_rows.js";
import { h, put } from "./shared.js";

const ACTIONS = { clear: "Clear the filter", retry: "Try again" };

/** The panel's elements by name, around a bar. */
export function buildParts(bar) {
  const header = h("div", { class: "px-row px-header", role: "row" });
  const sticky = h("div", { class: "px-stuck", "aria-hidden": "true" });
  const body = h("div", { class: "px-body", role: "rowgroup" });
  const scroll = h("div", { class: "px-scroll", role: "treegrid", "aria-label": "precision map: ops by precision", tabindex: "0" },
    h("div", { class: "px-inner" }, header, sticky, body));
  const notice = h("div", { class: "px-notices", role: "status", "data-testid": "map-notices" });
  const place = emptyPlace();
  const formats = h("span", { class: "px-legend-formats" });
  const ramp = { ticks: h("span", { class: "px-ticks", "aria-hidden": "true" }), source: h("span", { "data-testid": "cost-source", role: "status" }), colours: h("style") };
  const notes = legend(formats, ramp);
  const panel = h("div", { class: "px-panel", "data-testid": "map" }, bar.head, bar.note, bar.help, notice, scroll, place.empty, notes, ramp.colours);
  return { ...bar, panel, header, sticky, body, scroll, notice, ...place, notes, formats, ...ramp };
}

function emptyPlace() {
  const status = h("p", { role: "status" });
  const more = h("p", { class: "px-sub" });
  const action = h("button", { class: "px-btn", type: "button", "data-testid": "map-action", hidden: true });
  const bones = skeleton();
  return { empty: h("div", { class: "px-empty", "data-testid": "map-empty" }, status, more, action, bones), status, more, action, bones };
}

function skeleton() {
  const widths = [62, 48, 70, 55, 66, 44, 72, 52, 60, 46, 68, 58];
  const bone = (width) => h("div", {}, h("i", { style: `width:${width * 2.2}px` }), h("i", { class: "px-wide" }));
  return h("div", { class: "px-skeleton", "aria-hidden": "true" }, widths.map(bone));
}

function legend(formats, { ticks, source }) {
  const entry = (mark, text, about) => h("span", { title: about }, mark, text);
  return h("div", { class: "px-legend", "data-testid": "legend", role: "group", "aria-label": "legend of the map" },
    h("span", { class: "px-scale", "data-testid": "cost-legend" }, "harmless", h("span", { class: "px-ramp-box" }, h("i", { class: "px-ramp" }), ticks), "harmful", source),
    entry(h("i", { class: "px-key px-sel" }), "ring: chosen now"),
    entry(h("i", { class: "px-key" }), "real kernel here"),
    entry(h("i", { class: "px-key px-em" }), "hatched: emulated on this device", "The numbers are exact, the times mean nothing."),
    entry(h("i", { class: "px-key-no", text: "\u00b7" }), "not possible (hover or tap says why)"),
    entry(h("i", { class: "px-key-bar" }), "a layer: the longer, the costlier", "The bar of a layer is the cost of all its ops together."),
    entry(h("i", { class: "px-key-share" }), "chosen for this share of its ops"),
    entry(h("i", { class: "px-key px-prop" }), "proposed by the search"),
    entry(h("i", { class: "px-key px-seen" }), "underlined: cost measured"),
    entry(h("i", { class: "px-key-cast" }), "cast"),
    entry(h("i", { class: "px-key-arc" }), "skip connection"),
    entry(padlock(), "locked: the search leaves it"),
    entry(h("i", { class: "px-key-strip px-key-below" }), "becomes zero"),
    entry(h("i", { class: "px-key-strip px-key-above" }), "saturates"),
    formats);
}

/** Shows what stands in the rows' place, or the rows; `actions` are what its button may do. */
export function showPlace(parts, place, actions) {
  parts.scroll.hidden = Boolean(place);
  parts.empty.hidden = !place;
  if (!place) return;
  parts.bones.hidden = place.state !== "loading";
  put(parts.empty, "data-state", place.state);
  put(parts.status, "text", place.words);
  put(parts.more, "text", place.more);
  parts.action.hidden = !place.action;
  put(parts.action, "text", place.action ? ACTIONS[place.action] : "");
  parts.action.onclick = () => actions[place.action]();
}

/** Shows the lines above the rows, each with its button. */
export function showNotices(parts, lines, actions) {
  const words = lines.map((each) => `${each.tone}|${each.words}|${each.action}`).join("\n");
  if (parts.notice.px === words) return;
  parts.notice.px = words;
  const button = (action) => action && h("button", { class: "px-btn", type: "button", "data-testid": "map-retry", text: ACTIONS[action], onclick: () => actions[action]() });
  parts.notice.replaceChildren(...lines.map((each) => h("p", { "data-tone": each.tone || null }, h("span", { text: each.words }), button(each.action))));
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
  // A page without a theme of its own follows the system's.
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", look);
  look();
  const frame = requestAnimationFrame(look);
  return () => {
    watch.disconnect();
    system.removeEventListener("change", look);
    cancelAnimationFrame(frame);
  };
}
