// What the filter understands, as examples of this very model that a click puts into its box. Pure but for the elements.
import { h } from "./shared.js";

/** Examples that fit a table: [words, what they keep]. */
export function examplesOf({ ops, precisions }) {
  const kinds = new Set(ops.map((op) => op.kind));
  const kind = ["linear", "conv2d", "matmul"].find((name) => kinds.has(name)) || [...kinds][0] || "linear";
  const low = precisions.find((name) => name === "int8") || precisions.at(-1) || "fp32";
  const part = /([^./]+)\/[^/]*$/.exec(ops.find((op) => op.kind === kind)?.id || "")?.[1] || "norm";
  return [
    [part, "a part of a name; * stands for anything"],
    [`kind:${kind}`, "what the op does"],
    ["role:sensitive", "compute, sensitive (softmax, norms, sums), elementwise or view"],
    [`precision:${low}`, "what is chosen now"],
    ["changed", "not FP32 now"],
    ["cost>1e-4", "quality cost of what is chosen now"],
    [`cost:${low}>1e-3`, "its cost in one column"],
    ["time>1ms", "measured latency; \u00b5s, ms or s"],
    ["size>100k", "number of weights"],
    ["kernel:emulated", "real, emulated, refused, or part of a kernel\u2019s name"],
    ["locked", "what the search leaves as it is"],
    [`-kind:${kind}`, "a minus leaves out what it names"],
  ];
}

/** The examples as buttons; `use(words)` is called by a click. */
export function helpParts(examples, use) {
  const row = ([words, about]) => h("li", {}, h("button", { class: "px-example", type: "button", "data-testid": `example:${words}`, onclick: () => use(words), text: words }), h("span", { text: about }));
  return [h("p", { text: "Words narrow each other down: an op stays if it fits all of them. Click one to add it." }), h("ul", {}, examples.map(row))];
}

/** A filter with one more word; one that asks the same of another value takes its place. */
export function withWord(text, word) {
  const key = (one) => (/^-?[a-z]+(?::[^<>=]*)?[:<>=]/.exec(one) || [one])[0];
  const words = text.trim().split(/\s+/).filter((one) => one && key(one) !== key(word));
  return [...words, word].join(" ");
}
