// A panel of words: mounted with its line to Python, its hover sentences and its redrawing, and taken away as a whole.
import { complain, dress, line, listen, soon } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";
import { undone } from "./undone.js";
import { WORDS } from "./words.js";

/**
 * Mounts what `build(send, seen)` makes: an element `root`, and `draw`, which runs now, after changes of `traits`, and when
 * the session stops or goes on. `send(type, fields)` asks Python, and a refusal shows in the panel; `seen.get(name)` is
 * what is to be shown of a trait. Returns what unmounts.
 */
export function mountPanel({ model, el }, name, build) {
  dress(el, name);
  let draw = () => {};
  const { ask, close, stopped } = line(model, el, () => draw());
  const send = (type, fields) => ask(type, fields).catch((error) => complain(el, error));
  const seen = { get: (trait) => undone(model.get(trait), stopped()) };
  const built = build(send, seen);
  const { root, traits } = built;
  draw = built.draw;
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
