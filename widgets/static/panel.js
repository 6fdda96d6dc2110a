// A panel of words: mounted with its line to Python, its hover sentences and its redrawing, and taken away as a whole.
import { complain, dress, line, listen, soon } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";
import { WORDS } from "./words.js";

/**
 * Mounts what `build(send)` makes: an element `root`, and `draw`, which runs now and after changes of `traits`.
 * `send(type, fields)` asks Python, and a refusal shows in the panel. Returns what unmounts.
 */
export function mountPanel({ model, el }, name, build) {
  dress(el, name);
  const { ask, close } = line(model, el);
  const send = (type, fields) => ask(type, fields).catch((error) => complain(el, error));
  const { root, draw, traits } = build(send);
  const tip = newTip();
  el.append(root);
  draw();
  const stops = [listen(model, traits, soon(draw)), attachTerms(root, WORDS, tip)];
  return () => {
    stops.forEach((stop) => stop());
    close();
    tip.remove();
    root.remove();
  };
}
