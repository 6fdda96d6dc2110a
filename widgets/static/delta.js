// The delta bar: five cards that compare the recipe with FP32.
import { cards } from "./cards.js";
import { wholes } from "./numbers.js";
import { dress, h, line, listen, put } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";
import { WORDS } from "./words.js";

/** A number with what it is over, and the facts below it. */
function figure(name, testid) {
  const big = h("span");
  const over = h("span", { class: "px-over" });
  const facts = h("div", { class: "px-sub px-facts" });
  const box = h("div", { class: "px-figure", "data-testid": testid }, h("div", {}, big, over), facts);
  return { name, box, big, over, facts };
}

function blank(card) {
  const parts = {
    title: h("span", { class: "px-explained", tabindex: "0" }), tag: h("span", { class: "px-tag" }), main: figure("px-big", null),
    also: figure("px-also", "over-fp32"), split: h("div", { class: "px-split", "data-testid": "latency-split" }),
    rate: h("span", { class: "px-sub", "data-testid": "throughput" }), warning: h("span", { class: "px-warning", role: "status" }),
    list: h("dl"), more: null,
  };
  parts.more = h("details", { class: "px-more", "data-testid": `${card.id}-details` }, h("summary", { text: "details" }), parts.list);
  parts.more.addEventListener("keydown", (event) => {
    if (event.key === "Escape") parts.more.open = false;
  });
  const element = h("div", { class: "px-card", "data-testid": card.id, role: "group", "aria-label": card.title },
    h("div", { class: "px-card-top" }, parts.title, parts.rate, parts.tag), h("div", { class: "px-figures" }, parts.main.box));
  if (card.id === "delta-latency") {
    parts.tag.before(parts.more);
    element.lastChild.append(parts.also.box);
    element.append(h("div", { class: "px-foot" }, parts.split, parts.warning));
  }
  element.px = parts;
  return element;
}

function fill(element, card) {
  const { px } = element;
  put(element, "data-kind", card.kind);
  put(element, "data-n", card.n);
  put(px.title, "text", card.title);
  put(px.title, "data-term", card.term);
  put(px.tag, "text", card.tag);
  put(px.tag, "data-kind", card.kind);
  put(px.tag, "data-term", card.tag === card.kind ? card.kind : null);
  fillFigure(px.main, card);
  fillFigure(px.also, card.also);
  for (const name of ["split", "rate", "warning"]) fillText(px[name], card[name]);
  fillDetails(px, card.details || []);
}

function fillFigure({ name, box, big, over, facts }, card) {
  box.hidden = !card;
  if (!card) return;
  put(big, "class", `${name} ${card.tone ? `px-${card.tone}` : ""}`);
  put(big, "text", card.big);
  put(over, "text", card.over || "");
  fillFacts(facts, card.facts);
}

function fillText(element, text) {
  element.hidden = !text;
  put(element, "text", text || "");
}

/** One fact a line; where it wraps, no number is parted from its unit. */
function fillFacts(element, facts) {
  const signature = facts.join("\n");
  if (element.px === signature) return;
  element.px = signature;
  element.replaceChildren(...facts.map((fact) => h("div", {}, wholes(fact).map(([text, whole]) => (whole ? h("span", { class: "px-whole", text }) : text)))));
}

function fillDetails({ more, list }, details) {
  more.hidden = details.length === 0;
  const signature = JSON.stringify(details);
  if (list.px === signature) return;
  list.px = signature;
  list.replaceChildren(...details.flatMap(([name, words]) => [h("dt", { text: name }), h("dd", { text: words })]));
}

export default {
  render({ model, el }) {
    const bar = h("div", { class: "px-cards", "data-testid": "numbers" });
    dress(el, "delta").append(bar);
    const draw = () => {
      const numbers = model.get("delta");
      const stopped = wire.stopped();
      const list = cards(stopped ? { ...numbers, state: stopped } : numbers);
      // Numbers still move: said to screen readers, which else would read each of them aloud.
      put(bar, "aria-busy", String(!numbers.settled && !stopped));
      if (!bar.children.length) bar.append(...list.map(blank));
      list.forEach((card, i) => fill(bar.children[i], card));
    };
    const wire = line(model, el, draw);
    draw();
    const tip = newTip();
    const stops = [listen(model, ["delta"], draw), attachTerms(bar, WORDS, tip)];
    return () => {
      stops.forEach((stop) => stop());
      tip.remove();
      wire.close();
      bar.remove();
    };
  },
};
