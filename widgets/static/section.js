// A section's heading: opens and closes what is below it.
import { complain, dress, h, line, listen, put } from "./shared.js";

export default {
  render({ model, el }) {
    dress(el, "sectionhead");
    const { ask, close } = line(model, el);
    const state = h("span", { class: "px-sub", role: "status" });
    const button = h("button", { class: "px-section-turn", type: "button", "data-testid": `section:${model.get("title")}`, onclick: async () => {
      const held = document.activeElement === button;
      button.disabled = true;
      put(state, "text", model.get("opened") ? "" : "opening\u2026");
      try {
        await ask("turn", { open: !model.get("opened") });
      } catch (error) {
        complain(el, error);
      }
      put(state, "text", "");
      button.disabled = false;
      if (held) button.focus({ preventScroll: true });
    } }, h("span", { class: "px-twist", "aria-hidden": "true" }), h("b", { text: model.get("title") }));
    const head = h("div", { class: "px-section-head" }, button, state);
    el.append(head);
    const draw = () => {
      put(button, "aria-expanded", model.get("opened") ? "true" : "false");
      put(button.firstChild, "text", model.get("opened") ? "\u25be" : "\u25b8");
    };
    draw();
    const stop = listen(model, ["opened"], draw);
    return () => {
      stop();
      close();
      head.remove();
    };
  },
};
