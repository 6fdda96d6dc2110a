// The mark over a recorded exploration: what is on show was measured elsewhere, and nothing runs here.
import { dress, h, line, listen, put } from "./shared.js";

/** What can be done with so many recorded recipes, in words. */
export function markWords(recipes) {
  return `Nothing runs here. What is called measured was measured there and then. You can switch between the ${recipes} recipes that were recorded: presets, history, and the points of the frontier.`;
}

export default {
  render({ model, el }) {
    dress(el, "recordedmark");
    const { close } = line(model, el);
    const mark = h("b", { "data-testid": "recorded-mark" });
    const words = h("span", { class: "px-sub" });
    const strip = h("div", { class: "px-recorded", role: "note" }, mark, words);
    el.append(strip);
    const draw = () => {
      const found = model.get("mark");
      put(mark, "text", found && found[0].toUpperCase() + found.slice(1));
      put(words, "text", markWords(model.get("recipes")));
      strip.hidden = !found;
    };
    draw();
    const stop = listen(model, ["mark", "recipes"], draw);
    return () => {
      stop();
      close();
      strip.remove();
    };
  },
};
