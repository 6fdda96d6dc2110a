// The delta bar: five cards that compare the recipe with FP32.
import { cards } from "./cards.js";
import { dress, h, line, listen, put } from "./shared.js";

function blank(card) {
  return h("div", { class: "px-card", "data-testid": card.id, role: "group", "aria-label": card.title },
    h("div", { class: "px-card-top" }, h("span"), h("span", { class: "px-tag" })),
    h("div", { class: "px-big" }), h("div", { class: "px-sub" }));
}

function fill(element, card) {
  const [top, big, sub] = element.children;
  put(element, "data-kind", card.kind);
  put(element, "data-n", card.n);
  put(big, "class", `px-big ${card.tone ? `px-${card.tone}` : ""}`);
  put(top.children[0], "text", card.title);
  put(top.children[1], "text", card.tag);
  put(top.children[1], "data-kind", card.kind);
  put(big, "text", card.big);
  fillSub(sub, card.sub);
}

/** Short facts stay on one line: "n = 397" never breaks after its "=". */
function fillSub(sub, text) {
  if (sub.px === text) return;
  sub.px = text;
  const facts = text.split(" \u00b7 ").map((fact, i, all) => (i + 1 < all.length ? `${fact} \u00b7` : fact));
  sub.replaceChildren(...facts.flatMap((fact, i) => [i ? " " : "", h("span", { class: fact.length < 26 ? "px-whole" : null, text: fact })]));
}

export default {
  render({ model, el }) {
    const bar = h("div", { class: "px-cards" });
    dress(el, "delta").append(bar);
    const draw = () => {
      const list = cards(model.get("delta"));
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
