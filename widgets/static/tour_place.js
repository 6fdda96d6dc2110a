// Where a callout stands beside what it points at: never over it, always inside the window. Pure.
const SPACE = 12;
const LEAST = 24;

const bottomOf = (box) => box.top + box.height;
const rightOf = (box) => box.left + box.width;

/** What two boxes {left, top, width, height} share, or null. */
export function sharedBox(one, other) {
  const left = Math.max(one.left, other.left);
  const top = Math.max(one.top, other.top);
  const width = Math.min(rightOf(one), rightOf(other)) - left;
  const height = Math.min(bottomOf(one), bottomOf(other)) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}

/** The part of a target that is pointed at: all that leaves room for a callout of some size, from its top edge on. */
export function sliceOf(target, size, frame) {
  const beside = Math.max(target.left, frame.width - rightOf(target)) >= size.width + 2 * SPACE;
  const most = Math.max(LEAST, frame.height - size.height - 3 * SPACE);
  return beside || target.height <= most ? target : { ...target, height: most };
}

/** Whether a target fits into the middle of a window with the callout above or below it; else it belongs to the top. */
export function fitsCentred(target, size, frame) {
  return (frame.height - target.height) / 2 >= size.height + 2 * SPACE;
}

/** The place of a callout of some size: {left, top, side}; side says where it stands, "none" where there is no target. */
export function placeCard(target, size, frame) {
  const within = (at, length, whole) => Math.max(SPACE / 2, Math.min(at, whole - length - SPACE / 2));
  const low = frame.height - size.height - SPACE / 2;
  if (!target) return { left: within((frame.width - size.width) / 2, size.width, frame.width), top: Math.max(0, low), side: "none" };
  const left = within(target.left + target.width / 2 - size.width / 2, size.width, frame.width);
  const top = within(target.top + target.height / 2 - size.height / 2, size.height, frame.height);
  const places = [
    { side: "below", left, top: bottomOf(target) + SPACE, room: frame.height - bottomOf(target) - size.height },
    { side: "above", left, top: target.top - SPACE - size.height, room: target.top - size.height },
    { side: "right", left: rightOf(target) + SPACE, top, room: frame.width - rightOf(target) - size.width },
    { side: "left", left: target.left - SPACE - size.width, top, room: target.left - size.width },
  ];
  const found = places.find(({ room }) => room >= SPACE) || places.reduce((best, one) => (one.room > best.room ? one : best));
  return { left: within(found.left, size.width, frame.width), top: within(found.top, size.height, frame.height), side: found.side };
}
