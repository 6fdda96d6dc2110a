// The layers that one scrolls within: they stay at the map's top as pictures of their rows, and lead back to them.
import { ROW, fillRow, newRow } from "./map_rows.js";
import { ancestorsOf, stickyRows } from "./map_window.js";

const MOST_STUCK = 3;

export class StuckRows {
  constructor(place) {
    this.place = place;
    this.elements = new Map();
  }

  clear() {
    this.elements.forEach((element) => element.remove());
    this.elements.clear();
  }

  /** Brings the pictures to where the map is scrolled; `look` is what all rows of one drawing share. */
  draw(map, look) {
    const stuck = stickyRows(map.rows, map.kin, map.offsets, map.parts.scroll.scrollTop, ROW, MOST_STUCK);
    const wanted = new Set();
    for (const { index, top } of stuck) {
      const element = this.elementFor(map, index);
      wanted.add(element);
      element.px.row = index;
      element.style.transform = `translateY(${top}px)`;
      fillRow(element, { ...map.viewOf(index, look), stuck: true }, map.columns);
    }
    this.elements.forEach((element, key) => {
      if (wanted.has(element)) return;
      element.remove();
      this.elements.delete(key);
    });
  }

  elementFor(map, index) {
    const row = map.rows[index];
    let element = this.elements.get(row.key);
    if (!element) {
      element = newRow(row, map.columns, map.data.precisions, true);
      element.addEventListener("click", () => goTo(map, element.px.row));
      this.elements.set(row.key, element);
      this.place.append(element);
    }
    return element;
  }
}

/** How far the map is scrolled where a row is the first below its ancestors. */
export function topOf(map, index) {
  return (map.offsets[index] ?? 0) - Math.min(MOST_STUCK, ancestorsOf(map.kin, index).length) * ROW;
}

function goTo(map, index) {
  map.parts.scroll.scrollTop = topOf(map, index);
  map.focus(index, 0);
}
