import assert from "node:assert/strict";
import { test } from "node:test";
import { fitsCentred, placeCard, sharedBox, sliceOf } from "../../widgets/static/tour_place.js";
import { phaseOf, pickCell, stepsFor } from "../../widgets/static/tour_steps.js";

const FACTS = {
  recorded: false, hash: "a", entry: { hash: "a", budget: "" }, start: "a", painted: true, op: "stem.0", precision: "int8", preset: "int8-dynamic", kind: "measured", casts: "2",
  castsOpen: false, searchOpen: false, searched: false, searching: false, budget: "", historyOpen: false, share: true,
};

/** A stream of the same numbers at every run. */
function numbers(seed) {
  let state = seed;
  return (least, most) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return least + Math.floor((state / 2147483648) * (most - least + 1));
  };
}

test("a callout never covers what it points at and never leaves the window, whatever their sizes", () => {
  const draw = numbers(7);
  const sides = new Set();
  for (let run = 0; run < 3000; run += 1) {
    const frame = { width: draw(360, 2000), height: draw(480, 1400) };
    const size = { width: Math.min(360, frame.width - 16), height: draw(120, 300) };
    const box = { left: draw(0, frame.width - 40), top: draw(0, frame.height - 40), width: draw(20, frame.width), height: draw(20, 900) };
    // As it is after it was scrolled to: at the top where it is too large for the middle.
    const seen = { ...sharedBox(box, { left: 0, top: 0, ...frame }) };
    const target = sliceOf({ ...seen, top: fitsCentred(seen, size, frame) ? (frame.height - seen.height) / 2 : 12 }, size, frame);
    const place = placeCard(target, size, frame);
    sides.add(place.side);
    assert.equal(sharedBox({ ...place, ...size }, target), null, JSON.stringify({ frame, size, target, place }));
    assert.deepEqual(sharedBox({ left: 0, top: 0, ...frame }, { left: place.left, top: place.top, ...size }), { left: place.left, top: place.top, ...size });
  }
  assert.ok(sides.size > 1, [...sides].join());
});

test("a callout without a target stands at the foot of the window, and a huge target is pointed at in part", () => {
  const frame = { width: 360, height: 640 };
  assert.deepEqual(placeCard(null, { width: 340, height: 200 }, frame), { left: 10, top: 434, side: "none" });
  assert.equal(sliceOf({ left: 0, top: 12, width: 360, height: 3000 }, { width: 340, height: 200 }, frame).height, 404);
});

test("a live page has five steps, a recording has those that need no kernel", () => {
  const names = (facts) => stepsFor(facts).map((step) => step.name);
  assert.deepEqual(names(FACTS), ["map", "choose", "casts", "search", "back"]);
  assert.deepEqual(names({ recorded: true, searched: true }), ["map", "choose", "casts", "search", "back"]);
  assert.deepEqual(names({ recorded: true, searched: false }), ["map", "choose", "casts", "back"]);
  const shown = stepsFor({ recorded: true, searched: true }).flatMap((step) => step.phases.map((phase) => phase.show)).filter(Boolean);
  assert.deepEqual(shown, ["preset", "openCasts", "openSearch", "drag", "openHistory", "goBack"]);
});

test("what a person does leads from phase to phase, and a step ends with a phase that asks for nothing", () => {
  const [, choose, casts, search, back] = stepsFor(FACTS);
  const at = (step, more) => step.phases[phaseOf(step, { ...FACTS, ...more })].at;
  assert.deepEqual([at(choose, {}), at(choose, { hash: "b" })], ["cell", "cost"]);
  assert.deepEqual([at(casts, {}), at(casts, { castsOpen: true })], ["castsHead", "castsList"]);
  const open = { searchOpen: true };
  const found = { ...open, searched: true, entry: { hash: "a", budget: "10" } };
  assert.deepEqual([at(search, {}), at(search, open), at(search, { ...open, searching: true }), at(search, { ...found, budget: "10" }), at(search, { ...found, budget: "7" })],
    ["searchHead", "searchStart", "searchNote", "slider", "proposal"]);
  assert.deepEqual([at(back, { hash: "b" }), at(back, { hash: "b", historyOpen: true }), at(back, { historyOpen: true })], ["historyHead", "historyStart", "share"]);
  for (const step of stepsFor(FACTS)) assert.equal(step.phases.at(-1).done, undefined);
});

test("a recording does not promise to measure, and a strip that is not on show is not explained", () => {
  const said = (facts, step, phase) => stepsFor(facts)[step].phases[phase].text(facts);
  const recorded = { ...FACTS, recorded: true, kind: "predicted" };
  assert.match(said(recorded, 1, 1), /not measured when the page was recorded/);
  assert.match(said({ ...recorded, kind: "absent" }, 1, 1), /not measured when the page was recorded, and no cost was predicted/);
  assert.doesNotMatch(said({ ...recorded, painted: false }, 0, 0), /being worked out|stands out/);
  assert.match(said({ ...recorded, recorded: false }, 1, 1), /turn from predicted to measured/);
  assert.deepEqual([true, false].map((strip) => /band/.test(said({ ...FACTS, strip }, 0, 0))), [true, false]);
  // On a machine that never saw this model the first number is measured before anything was predicted.
  assert.doesNotMatch(said(FACTS, 1, 1), /predicted/);
});

test("every phase says something plain for every state of the page", () => {
  for (const more of [{}, { painted: false }, { kind: "predicted" }, { kind: "pending", casts: "0" }, { kind: "emulated", share: false }, { recorded: true, searched: true }, { recorded: true, painted: false, kind: "absent" }]) {
    const facts = { ...FACTS, ...more };
    for (const phase of stepsFor(facts).flatMap((step) => step.phases)) {
      assert.match(phase.text(facts), /^[A-Z].{40,500}[.]$/s);
      if (phase.done) assert.match(phase.todo(facts), /^[A-Z].{8,90}[.]$/);
    }
  }
});

test("the tour asks for a cell that really runs here and is not chosen yet", () => {
  const cell = (precision, state, chosen = false) => ({ precision, state, chosen });
  const rows = [
    { key: "a", cells: [cell("fp32", "real", true), cell("int8", "impossible"), cell("bf16", "real")] },
    { key: "b", cells: [cell("fp32", "real"), cell("int8", "real", true)] },
    { key: "c", cells: [cell("fp32", "real", true), cell("int8", "real")] },
  ];
  assert.deepEqual(pickCell(rows), { key: "c", precision: "int8" });
  assert.deepEqual(pickCell(rows.slice(0, 2)), { key: "a", precision: "bf16" });
  assert.deepEqual(pickCell([{ key: "d", cells: [cell("fp32", "real", true), cell("mxfp4", "emulated")] }]), { key: "d", precision: "mxfp4" });
  assert.equal(pickCell([{ key: "e", cells: [cell("fp32", "real", true)] }]), null);
});
