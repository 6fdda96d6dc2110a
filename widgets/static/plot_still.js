// A figure stands still under a hand: drawn anew between aiming and clicking, another point would lie there, or none.

/** So long after its last movement a pointer is still aiming. */
const AIM_MS = 1500;
const MOVES = { pointermove: "aim", pointerdown: "press", pointerleave: "rest" };
const LIFTS = ["pointerup", "pointercancel"];

/**
 * `change()` runs `draw` at once, or where a pointer aims or presses within `box`, once it is let go, leaves or rests;
 * changes that came meanwhile are one. `page`: where a button is let go that was pressed here. `stop()` ends all that.
 */
export function keepStill(box, draw, page = globalThis) {
  let pressed = false;
  let aiming = 0;
  let due = false;
  const rest = () => {
    clearTimeout(aiming);
    aiming = 0;
    if (pressed || !due) return;
    due = false;
    draw();
  };
  const hand = {
    aim: () => {
      clearTimeout(aiming);
      aiming = setTimeout(rest, AIM_MS);
    },
    press: () => { pressed = true; },
    rest,
    // Plotly learns of the click by events that follow this one.
    lift: () => pressed && setTimeout(() => {
      pressed = false;
      rest();
    }),
  };
  const pairs = [...Object.entries(MOVES).map(([name, does]) => [box, name, hand[does]]), ...LIFTS.map((name) => [page, name, hand.lift])];
  pairs.forEach(([place, name, run]) => place.addEventListener(name, run));
  return {
    change: () => {
      if (!pressed && !aiming) return draw();
      due = true;
      return undefined;
    },
    stop: () => {
      clearTimeout(aiming);
      due = false;
      pairs.forEach(([place, name, run]) => place.removeEventListener(name, run));
    },
  };
}
