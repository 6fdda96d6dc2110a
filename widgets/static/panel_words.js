// What the words of the panels on numbers mean, one sentence each; and how such a number is shown.
import { h } from "./shared.js";

export const TERMS = {
  "SQNR": "Signal to quantisation noise ratio: how far the error of rounding lies below the values, in decibels; 20 dB more is a tenth of the error.",
  "saturated": "The share of elements beyond the largest value that the format holds: they become that value, in a plain cast Inf.",
  "flushed to zero": "The share of elements that are not zero but too small for the format: they become zero.",
  "largest magnitude": "The largest number of the tensor without its sign; a shared scale has to reach it.",
  "zeros": "The share of elements that are zero already; NaN and Inf are counted beside it.",
  "outlier channels": "Channels far wider than the others: one scale for all must reach them, and leaves little resolution for the rest.",
  "tensor": "What goes into the op, what comes out of it, and its weights.",
  "format": "The number format to hold the tensor against, with how many scales it has.",
  "channels": "The largest magnitude of each channel: of each feature of a token, of each map of an image, of each output of a weight.",
  "local error": "How far this op alone, in its precision and on clean FP32 inputs, is from itself in FP32.",
  "largest error": "The largest difference between this op's output in its precision and in FP32.",
  "exact": "The share of the outputs that are the same in both precisions.",
  "predicted": "Worked out from the histogram of the tensor; the op was not run in this precision.",
  "measured": "Counted or computed on this model's data.",
  "emulated": "Computed bit for bit as the format would, without a kernel of this device for it: right in value, meaningless in time.",
  "local": "The error of each op alone, on clean inputs, at its own output.",
  "isolated": "The error at the model's output when only this op is lowered and all others stay in FP32.",
  "cumulative": "The error at each op when the whole recipe runs: what it makes itself and what it was given.",
  "heals": "Its own error mostly vanishes before the output: what follows does not care.",
  "amplifies": "Its own error reaches the output larger than usual: what follows depends on it.",
  "first NaN or Inf": "The first op in the order of execution whose output holds NaN or Inf on some sample.",
};

/** A number with its word, and what it is a number of. */
export function figureCard(figure) {
  const tag = h("span", { class: "px-tag", "data-kind": figure.kind, "data-term": figure.kind, text: figure.kind });
  return h("div", { class: "px-fig", "data-testid": `figure:${figure.term}`, "data-kind": figure.kind },
    h("div", { class: "px-fig-top" }, h("span", { class: "px-term-word", tabindex: "0", "data-term": figure.term, text: figure.term }), tag),
    h("div", { class: `px-fig-big${figure.tone ? ` px-${figure.tone}` : ""}`, text: figure.big }),
    h("div", { class: "px-sub", text: figure.sub }));
}

/** Marks the box around a view and its plots once it is on the page: tests and tutorials look for it there. */
export function markBox(el, name, testid) {
  let tries = 200;
  const mark = () => {
    const box = el.isConnected && el.closest(`.px-${name}`);
    if (box) box.setAttribute("data-testid", testid);
    else if ((tries -= 1) > 0) requestAnimationFrame(mark);
  };
  mark();
}
