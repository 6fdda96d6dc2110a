// The tour: its five steps, each of one or more phases, and what is seen of the page that leads from one to the next. Pure.

/**
 * A phase: `at`, what it points at; `text(facts)`, what it says; and where something is to be done, `todo(facts)` in words,
 * `show`, the name of the action that does it, and `done(facts)`, whether it was done. The last phase of a step has none.
 *
 * facts: {recorded, hash, entry: {hash, budget}, start, painted, strip, op, precision, preset, kind, casts, castsOpen, searchOpen,
 * searched, searching, budget, historyOpen, share}: what is on the page now, and `entry` what was there when the step began.
 */
const STRIP = "The grey shape is the range of its values, small ones on the left; the tinted band behind it is what its format can hold.\n";
const map = {
  name: "map", title: "The map: every op in every precision",
  phases: [
    {
      at: "row",
      text: ({ painted, strip, recorded }) => `A row is one op of the model, in the order in which they run.\n${strip ? STRIP : ""}`
        + `Then comes a cell for each precision${painted || !recorded ? ": the more it stands out, the more it would change the model\u2019s answers" : ""}. The ring is what is chosen now; a hatched one has no kernel on this machine and is emulated.`
        + (painted || recorded ? "" : "\nThe colours are being worked out now."),
    },
  ],
};

const moved = (facts) => facts.hash !== facts.entry.hash;
const ABOUT = "This number says how far the model\u2019s answers moved from those in FP32: 0 is not at all.\n";
const NOW = {
  predicted: `${ABOUT}It is there at once, predicted from the map. Meanwhile the recipe runs on the data: watch the tag turn from predicted to measured.`,
  pending: `${ABOUT}The recipe runs on the data now: the number comes, with how sure it is.`,
  emulated: `${ABOUT}The tag says emulated: the number is right, but this machine has no kernel for this precision, so there is no speed.`,
  recorded: `${ABOUT}It was recorded: n is how many samples it comes from. The tag above each number says how it is known.`,
  measured: `${ABOUT}It was measured on the data: n is how many samples it comes from, and 95 % names the interval in which the true value most likely lies. The tag above each number says how it is known.`,
};

const choose = {
  name: "choose", title: "Choose, and the numbers move",
  phases: [
    { at: "cell", text: () => "A click on a cell chooses that precision for that op. Nothing else is needed, and Undo takes it back.", todo: ({ op, precision }) => `Click this cell: ${op} in ${precision}.`, show: "pick", done: moved },
    { at: "cost", text: ({ kind }) => NOW[kind] || NOW.measured },
  ],
};

const NOT_MEASURED = {
  predicted: "This recipe was not measured when the page was recorded: its cost is the one that the map predicts, with its band. Others say recorded, with n samples.",
  absent: "This recipe was not measured when the page was recorded, and no cost was predicted: the cards say so. Others say recorded, with n samples.",
};

/** A recording knows whole recipes, and no others. */
const chooseRecorded = {
  ...choose,
  phases: [
    { at: "preset", text: () => "This page is a recording: it can switch among the recipes that were measured.", todo: ({ preset }) => `Choose another preset here, such as ${preset}.`, show: "preset", done: moved },
    { at: "cost", text: ({ kind }) => NOT_MEASURED[kind === "pending" ? "absent" : kind] || NOW[kind] || NOW.recorded },
  ],
};

const casts = {
  name: "casts", title: "What a boundary costs",
  phases: [
    {
      at: "castsHead", text: () => "Where one op hands on another format than the next one takes, the tensor is cast. That takes time and may lose digits; in the map it is a diamond on the line.",
      todo: () => "Open the list of casts.", show: "openCasts", done: ({ castsOpen }) => castsOpen,
    },
    {
      at: "castsList",
      text: ({ casts: count }) => `${count === "0" ? "This recipe needs no cast." : `This recipe needs ${count === "1" ? "1 cast" : `${count} casts`}: a line says between which ops, how many bytes and how long.`}\nBelow it stand the changes that would spare casts. Neighbours in one precision need none between them.`,
    },
  ],
};

const drag = {
  at: "slider", text: () => "The slider is a budget: the most that a recipe may take. For each position the search has the recipe that changes the answers least.",
  todo: () => "Drag the budget, or press an arrow key on it.", show: "drag", done: ({ budget, entry }) => budget !== "" && entry.budget !== "" && budget !== entry.budget,
};
const openSearch = {
  at: "searchHead", text: () => "Choosing op by op takes long. The search does it for all of them at once.", todo: () => "Open the search.", show: "openSearch", done: ({ searchOpen }) => searchOpen,
};
const proposal = { at: "proposal", text: () => "This is the proposal: in the map, dashed cells are what it would change. Apply takes it, and like any choice it is then measured; Undo brings yours back." };

const search = {
  name: "search", title: "Search: the best recipe for a budget",
  phases: [
    openSearch,
    { at: "searchStart", text: () => "Calls that were never timed here are timed first, so the first search of a model takes a while.", todo: () => "Press Search.", show: "runSearch", done: ({ searched, searching }) => searched || searching },
    { at: "searchNote", text: () => "It is searching. You may wait here, or go on and come back later.", todo: () => "Wait for the slider.", done: ({ searched }) => searched },
    drag,
    proposal,
  ],
};
const searchRecorded = { ...search, phases: [openSearch, drag, proposal] };

const back = {
  name: "back", title: "Nothing is lost",
  phases: [
    { at: "historyHead", text: () => "Every recipe that you choose is kept, as a tree.", todo: () => "Open the history.", show: "openHistory", done: ({ historyOpen }) => historyOpen },
    { at: "historyStart", text: () => "A click brings any of them back, with its numbers; so does a click on a point of the frontier.", todo: () => "Click the line where the tour began.", show: "goBack", done: ({ hash, start }) => hash === start },
    {
      at: "share",
      text: ({ share, recorded }) => `That is the loop: look, choose, measure, search, go back. ${share && !recorded ? "What you found leaves this page here: as a link, a file, or a page that needs no server." : "A recipe leaves the page as a file that other tools can read."}`,
    },
  ],
};

/** The steps for a page: a recorded one leaves out what needs a kernel. */
export function stepsFor({ recorded, searched }) {
  if (!recorded) return [map, choose, casts, search, back];
  return [map, chooseRecorded, casts, ...(searched ? [searchRecorded] : []), back];
}

/** Which phase of a step is on: the first that is not done. */
export function phaseOf(step, facts) {
  const at = step.phases.findIndex((phase) => !phase.done || !phase.done(facts));
  return at < 0 ? step.phases.length - 1 : at;
}

const LIKED = ["int8", "bf16", "fp16", "w8", "fp8"];

/**
 * The cell that the tour asks for: of the rows [{key, cells: [{precision, state, chosen}]}] the first with a real kernel for
 * a well-known precision that it does not have yet, else whatever can be chosen; null where nothing can.
 */
export function pickCell(rows) {
  const free = ({ state, chosen }) => state !== "impossible" && !chosen;
  const wanted = [...LIKED.map((name) => (cell) => cell.precision === name && cell.state === "real"), (cell) => cell.state === "real", () => true];
  for (const fits of wanted) {
    for (const { key, cells } of rows) {
      const cell = cells.find((one) => free(one) && fits(one));
      if (cell) return { key, precision: cell.precision };
    }
  }
  return null;
}
