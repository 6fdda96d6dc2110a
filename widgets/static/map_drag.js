// Painting: press on a cell, drag along its column, and every row passed is set when the finger or button is lifted.
import { rangeOps, splitPossible } from "./map_range.js";
import { rowAt } from "./map_window.js";
import { plural } from "./numbers.js";

const STILL_PX = 5;     // a hand is never quite still; less than this is a click
const HOLD_MS = 350;    // a finger that rests so long paints; one that moves at once scrolls
const EDGE_PX = 30;
const FASTEST_PX = 18;

/** How many px to scroll in one frame for a pointer at `y` between two edges: more, the nearer or further beyond it is. */
export function scrollStep(y, top, bottom) {
  const over = y < top + EDGE_PX ? y - (top + EDGE_PX) : y > bottom - EDGE_PX ? y - (bottom - EDGE_PX) : 0;
  return Math.max(-FASTEST_PX, Math.min(FASTEST_PX, Math.round(over / 2)));
}

/** What a drag would do now: {first, last, precision, can, skipped}. */
export function paintOver(rows, drag, data) {
  const [first, last] = drag.from < drag.to ? [drag.from, drag.to] : [drag.to, drag.from];
  return { first, last, precision: drag.precision, ...splitPossible(rangeOps(rows, first, last), drag.precision, data) };
}

/** How a painted row's cell is marked: "yes", "no" where none of its ops can, or null where it has no part in it. */
export function paintMark(row, index, paint, data) {
  if (!paint || index < paint.first || index > paint.last || row.ops.length === 0) return null;
  if (row.open && paint.first !== paint.last) return null;
  return row.ops.some((op) => data.options[op][paint.precision].possible) ? "yes" : "no";
}

/** Attaches painting to the map; returns the function that takes it off. `map.paint` is what is marked meanwhile. */
export function attachDrag(map) {
  const { body, scroll } = map.parts;
  let drag = null;
  let frame = 0;
  let hold = 0;
  let escaped = null;

  const begin = () => {
    clearTimeout(hold);
    drag.on = true;
    body.setPointerCapture?.(drag.pointer);
    map.tip.hide();
    follow();
    if (drag.touch) navigator.vibrate?.(10);
    frame = requestAnimationFrame(creep);
  };
  const follow = () => {
    const y = drag.y - body.getBoundingClientRect().top;
    drag.to = Math.max(0, rowAt(map.offsets, y));
    map.paint = paintOver(map.rows, drag, map.data);
    map.drawSoon();
    const cell = map.cellAt(drag.to, drag.precision);
    if (cell) map.tip.show(cell, paintWords(map.paint, map.data));
  };
  const creep = () => {
    const box = scroll.getBoundingClientRect();
    const step = scrollStep(drag.y, Math.max(box.top + map.rowHeight, 0), Math.min(box.bottom, innerHeight));
    if (step) {
      scroll.scrollTop += step;
      follow();
    }
    frame = requestAnimationFrame(creep);
  };
  const end = (apply) => {
    clearTimeout(hold);
    cancelAnimationFrame(frame);
    const was = drag;
    drag = map.paint = map.dragged = null;
    if (!was?.on) return;
    map.tip.hide();
    if (apply && was.from !== was.to) map.pickRange(was.from, was.to, was.precision);
    else map.drawSoon();
    if (body.hasPointerCapture?.(was.pointer)) body.releasePointerCapture(was.pointer);
  };

  const down = (event) => {
    if (drag || event.button !== 0 || event.shiftKey || event.ctrlKey || event.metaKey) return;
    const cell = event.target.closest?.(".px-cell");
    const element = cell?.closest(".px-row");
    if (!element || !body.contains(element)) return;
    const touch = event.pointerType === "touch";
    drag = { on: false, touch, pointer: event.pointerId, from: element.px.row, to: element.px.row, precision: Number(cell.dataset.at), y: event.clientY, x0: event.clientX, y0: event.clientY };
    map.dragged = element;
    if (touch) hold = setTimeout(begin, HOLD_MS);
  };
  const move = (event) => {
    if (!drag || event.pointerId !== drag.pointer) return;
    drag.y = event.clientY;
    const far = Math.hypot(event.clientX - drag.x0, event.clientY - drag.y0) > STILL_PX;
    if (drag.on) follow();
    else if (drag.touch && far) end(false);
    else if (far && Math.abs(event.clientY - drag.y0) > STILL_PX) begin();
  };
  const up = (event) => {
    // A click follows where the pointer is lifted over the cell that it was pressed on.
    if (drag?.on || event.pointerId === escaped) map.swallow = event.timeStamp;
    if (event.pointerId === escaped) escaped = null;
    if (drag && event.pointerId === drag.pointer) end(true);
  };
  const lost = (event) => drag && event.pointerId === drag.pointer && end(false);
  const escape = (event) => {
    if (!drag?.on || event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    escaped = drag.pointer;
    end(false);
    map.said.say("Nothing was changed.");
  };
  const still = (event) => drag?.on && event.cancelable && event.preventDefault();
  const listeners = [
    [body, "pointerdown", down], [document, "pointermove", move], [document, "pointerup", up], [document, "pointercancel", lost],
    [document, "keydown", escape, true], [body, "touchmove", still, { passive: false }],
    [body, "contextmenu", (event) => drag?.touch && event.preventDefault()], [body, "dragstart", (event) => drag && event.preventDefault()],
  ];
  listeners.forEach(([element, name, run, how]) => element.addEventListener(name, run, how));
  return () => {
    end(false);
    listeners.forEach(([element, name, run, how]) => element.removeEventListener(name, run, how));
  };
}

function paintWords(paint, data) {
  const left = paint.skipped.reduce((sum, each) => sum + each.ops.length, 0);
  const lines = [`${plural(paint.can.length, "op")} \u2192 ${data.precisions[paint.precision]}`];
  if (left) lines.push(`${left} cannot: ${paint.skipped[0].reason}`);
  return [...lines, "Let go to choose it, Escape to leave everything as it is."];
}
