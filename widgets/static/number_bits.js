// One number through any format, bit by bit. Python owns the number; a click only asks for another.
import { fillBitsRow, newBitsRow } from "./bits_row.js";
import { MODE_WORDS, TERMS, shown } from "./bits_words.js";
import { complain, dress, h, line, listen, markPage, put, soon } from "./shared.js";
import { newTip } from "./tip.js";
import { attachTerms, termButtons } from "./terms.js";

const TYPING_MS = 250;
const TRY = ["0.1", "1/3", "3.14159", "448", "65504", "65520", "1e-5", "1e-8", "-0", "inf", "nan"];
const NEW_NUMBER = new Set(["flip", "step"]);
const SCALES = ["1", "1/127"];
const LEGEND = ["sign", "exponent", "mantissa", "integer", "bias", "normal", "subnormal", "ulp", "saturated", "flushed", "overflowed", "neighbours", "scale"];

/** A field whose text is asked for after a pause in typing, and at once on Enter; what is typed is never lost. */
function liveField(attributes, send) {
  const input = h("input", { type: "text", spellcheck: "false", autocomplete: "off", class: "px-input", ...attributes });
  let timer = 0;
  const go = async () => {
    clearTimeout(timer);
    const text = input.value;
    if (!input.px) return;
    if (await send(text)) input.px = input.value !== text;
  };
  input.addEventListener("input", () => {
    input.px = true;
    clearTimeout(timer);
    timer = setTimeout(go, TYPING_MS);
  });
  input.addEventListener("keydown", (event) => event.key === "Enter" && go());
  input.addEventListener("blur", go);
  return input;
}

/** Python's text replaces what is in a field, unless it holds something that is not sent yet, or was refused. */
function showText(input, text, force) {
  if (input.px && !force) return;
  input.px = false;
  if (input.value !== text) input.value = text;
}

function buildControls(ask, tell) {
  const trying = (type, key) => async (text) => {
    try {
      await ask(type, { [key]: text });
      tell("");
      return true;
    } catch (error) {
      tell(error.message);
      return false;
    }
  };
  const number = liveField({ class: "px-input px-number", "data-testid": "number-input", "aria-label": "number" }, trying("number", "text"));
  const scale = liveField({ class: "px-input px-short", "data-testid": "scale", "aria-label": "scale of the integers" }, trying("scale", "text"));
  const mode = h("select", { "data-testid": "rounding", "aria-label": "rounding" });
  const saturate = h("input", { type: "checkbox", "data-testid": "saturate" });
  const seed = h("input", { type: "number", class: "px-input px-short", min: 0, max: 2147483647, "data-testid": "seed", "aria-label": "seed" });
  const chips = h("div", { class: "px-chips", role: "group", "aria-label": "numbers to try" }, h("span", { class: "px-sub", text: "try" }),
    TRY.map((text) => h("button", { class: "px-pill", type: "button", "data-testid": `try:${text}`, text: shown(text), onclick: () => {
      number.px = false;
      trying("number", "text")(text);
    } })));
  const scales = h("span", { class: "px-chips" }, SCALES.map((text) => h("button", { class: "px-pill", type: "button", "data-testid": `scale:${text}`, text, onclick: () => {
    scale.px = false;
    trying("scale", "text")(text);
  } })));
  const formats = h("div", { class: "px-chips", role: "group", "aria-label": "formats on show" });
  return { number, scale, mode, saturate, seed, chips, scales, formats };
}

function layControls(parts, again) {
  const labelled = (text, control, term) => h("label", { class: "px-labelled" }, h("span", { class: "px-sub", text, "data-term": term }), control);
  parts.draw = h("span", { class: "px-labelled" }, labelled("seed", parts.seed), h("button", { class: "px-btn", type: "button", "data-testid": "draw-again", text: "Draw again", onclick: again }));
  parts.scaleBox = h("span", { class: "px-labelled" }, labelled("integer scale", parts.scale, "scale"), parts.scales);
  return h("div", { class: "px-bit-controls" },
    h("div", { class: "px-line" }, h("label", { class: "px-labelled" }, h("b", { text: "Number" }), parts.number), parts.chips),
    parts.error = h("p", { class: "px-status", role: "status", "data-testid": "number-error", "data-tone": "bad" }),
    h("div", { class: "px-line" }, labelled("rounding", parts.mode, "rounding"), parts.draw,
      h("label", { class: "px-labelled" }, parts.saturate, h("span", { class: "px-sub", "data-term": "saturated", text: "saturate" })), parts.scaleBox),
    h("div", { class: "px-line" }, parts.formats));
}

function drawControls(parts, model, force) {
  const number = model.get("number");
  showText(parts.number, number.text, force);
  showText(parts.scale, number.scale, force);
  if (!parts.mode.options.length) parts.mode.append(...number.modes.map((mode) => h("option", { value: mode, text: MODE_WORDS[mode] || mode })));
  parts.mode.value = number.mode;
  parts.saturate.checked = number.saturate;
  if (document.activeElement !== parts.seed) parts.seed.value = number.seed;
  parts.draw.hidden = number.mode !== "stochastic";
  const shown = model.get("rows").map((row) => row.name);
  parts.scaleBox.hidden = !model.get("rows").some((row) => row.parts.some(([part]) => part === "integer"));
  for (const chip of parts.formats.querySelectorAll(".px-pill")) put(chip, "aria-pressed", shown.includes(chip.px) ? "true" : "false");
}

function drawRows(list, model, ask) {
  const rows = model.get("rows");
  const old = new Map([...list.children].map((element) => [element.px, element]));
  const wanted = rows.map((row) => {
    const element = old.get(row.name) || newBitsRow(row, ask);
    element.px = row.name;
    fillBitsRow(element, row);
    return element;
  });
  for (const element of old.values()) if (!wanted.includes(element)) element.remove();
  wanted.forEach((element, i) => {
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] || null);
  });
}

export default {
  render({ model, el }) {
    dress(el, "bitsview");
    const { ask, close } = line(model, el);
    const tip = newTip();
    const tell = (text) => put(parts.error, "text", text);
    const plainly = async (type, fields) => {
      const typed = parts.number.value;
      try {
        await ask(type, fields);
        if (NEW_NUMBER.has(type) && parts.number.value === typed) {
          parts.number.px = false;
          tell("");
        }
        draw();
      } catch (error) {
        complain(el, error);
      }
    };
    const parts = buildControls(ask, tell);
    const rounding = (more = {}) => plainly("rounding", {
      mode: parts.mode.value, saturate: parts.saturate.checked, seed: Math.min(2147483647, Math.max(0, Math.round(Number(parts.seed.value) || 0))), ...more,
    });
    const controls = layControls(parts, () => rounding({ seed: (model.get("number").seed + 1) % 2147483648 }));
    for (const control of [parts.mode, parts.saturate, parts.seed]) control.addEventListener("change", () => rounding());
    const toggle = (name) => {
      const shown = model.get("rows").map((row) => row.name);
      const names = shown.includes(name) ? shown.filter((other) => other !== name) : [...shown, name];
      if (names.length) plainly("formats", { names });
    };
    parts.formats.append(h("span", { class: "px-sub", text: "formats" }), ...model.get("catalogue").map(([name, label]) => {
      const chip = h("button", { class: "px-pill", type: "button", "data-testid": `format:${name}`, text: label, onclick: () => toggle(name) });
      chip.px = name;
      return chip;
    }));
    const list = h("div", { class: "px-bitrows" });
    const panel = h("div", { class: "px-panel" },
      h("div", { class: "px-head" }, h("b", { text: "One number, bit by bit" }), h("span", { class: "px-sub", text: "type a number, or click a bit to flip it" })),
      controls, list, termButtons(LEGEND, TERMS));
    el.append(panel);
    const leave = attachTerms(panel, TERMS, tip);
    const draw = () => {
      drawControls(parts, model, false);
      drawRows(list, model, plainly);
    };
    draw();
    put(el, "data-ready", "true");
    markPage(el, { "data-testid": "format-lab", "data-ready": "true", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": "Number formats" });
    const stop = listen(model, ["number", "rows"], soon(draw));
    return () => {
      stop();
      close();
      leave();
      tip.remove();
      panel.remove();
    };
  },
};
