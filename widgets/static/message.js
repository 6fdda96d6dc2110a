// The message banner: what went wrong last, in words, until it is dismissed.
import { complain, dress, h, line, listen, put } from "./shared.js";

export default {
  render({ model, el }) {
    dress(el, "message");
    const { ask, close } = line(model, el);
    const text = h("span");
    const dismiss = h("button", { class: "px-x", type: "button", "aria-label": "dismiss", text: "\u00d7", onclick: () => ask("dismiss").catch((error) => complain(el, error)) });
    const strip = h("div", { class: "px-strip", role: "alert", "data-testid": "message" }, text, dismiss);
    el.append(strip);
    const draw = () => {
      const now = model.get("message");
      put(text, "text", now);
      strip.hidden = !now;
    };
    draw();
    const stop = listen(model, ["message"], draw);
    return () => {
      stop();
      close();
      strip.remove();
    };
  },
};
