// The delta bar: five cards that compare the recipe with FP32.
import { cards } from "./cards.js";
import { dress, h, line, listen, put } from "./shared.js";

/** A number with what it is over, and the facts below it. */
function figure(name, testid) {
  const big = h("span");
  const over = h("span", { class: "px-over" });
  const sub = h("div", { class: "px-sub" });
  const box = h("div", { class: "px-figure", "data-testid": testid }, h("div", {}, big, over), sub);
  return { name, box, big, over, sub };
}

function blank(card) {
  const parts = {
    title: h("span"), tag: h("span", { class: "px-tag" }), main: figure("px-big", null),
    also: figure("px-also", "over-fp32"), split: h("div", { class: "px-split", "data-testid": "latency-split" }),
    rate: h("span", { class: "px-sub", "data-testid": "throughput" }), warning: h("span", { class: "px-warning", role: "status" }),
    list: h("dl"), more: null,
  };
  parts.more = h("details", { class: "px-more", "data-testid": `${card.id}-details` }, h("summary", { text: "details" }), parts.list);
  parts.more.addEventListener("keydown", (event) => {
    if (event.key === "Escape") parts.more.open = false;
  });
  const foot = h("div", { class: "px-foot" }, parts.rate, parts.warning, parts.more);
  const element = h("div", { class: "px-card", "data-testid": card.id, role: "group", "aria-label": card.title },
    h("div", { class: "px-card-top" }, parts.title, parts.tag), h("div", { class: "px-figures" }, parts.main.box));
  if (card.id === "delta-latency") {
    element.lastChild.append(parts.also.box);
    element.append(parts.split, foot);
  }
  element.px = parts;
  return element;
}

function fill(element, card) {
  const { px } = element;
  put(element, "data-kind", card.kind);
  put(element, "data-n", card.n);
  put(px.title, "text", card.title);
  put(px.tag, "text", card.tag);
  put(px.tag, "data-kind", card.kind);
  fillFigure(px.main, card);
  fillFigure(px.also, card.also);
  for (const name of ["split", "rate", "warning"]) fillText(px[name], card[name]);
  fillDetails(px, card.details || []);
}

function fillFigure({ name, box, big, over, sub }, card) {
  box.hidden = !card;
  if (!card) return;
  put(big, "class", `${name} ${card.tone ? `px-${card.tone}` : ""}`);
  put(big, "text", card.big);
  put(over, "text", card.over || "");
  fillSub(sub, card.sub);
}

function fillText(element, text) {
  element.hidden = !text;
  put(element, "text", text || "");
}

/** Short facts stay on one line: "n = 397" never breaks after its "=". */
function fillSub(sub, text) {
  if (sub.px === text) return;
  sub.px = text;
  const facts = text.split(" \u00b7 ").map((fact, i, all) => (i + 1 < all.length ? `${fact} \u00b7` : fact));
  sub.replaceChildren(...facts.flatMap((fact, i) => [i ? " " : "", h("span", { class: fact.length < 26 ? "px-whole" : null, text: fact })]));
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
      const list = cards(numbers);
      // Numbers still move: said to screen readers, which else would read each of them aloud.
      put(bar, "aria-busy", String(!numbers.settled));
      if (!bar.children.length) bar.append(...list.map(blank));
      list.forEach((card, i) => fill(bar.children[i], card));
    };
    draw();
    const { close } = line(model, el);
    const stop = listen(model, ["delta"], draw);
    return () => {
      stop();
      close();
      bar.remove();
    };
  },
};
