// The search panel: what to search for, a slider over all budgets, and the proposal that follows it.
import { family } from "./lane.js";
import { mountPanel } from "./panel.js";
import { h, put } from "./shared.js";
import { POSITIONS, amount, budgetWords, changeWords, figuresOf, lockWords, noteOf, pointWords, positionOf, spentBy, valueAt, verdictOf } from "./search_words.js";

const button = (id, text, run) => h("button", { class: "px-btn", type: "button", "data-testid": id, onclick: run, text });

const MARKS = { good: "\u2713 in band", bad: "\u2717 outside", tiny: "\u2248 nothing" };

/** Sends the slider's newest position when the one before was answered, so that a drag never queues up. */
function follower(send) {
  let wish = null;
  let busy = false;
  return async (value) => {
    wish = value;
    if (busy) return;
    busy = true;
    while (wish !== null) {
      const now = wish;
      wish = null;
      await send("budget", { value: now });
    }
    busy = false;
  };
}

function buildGoal(send) {
  const objective = h("select", { "data-testid": "search-objective", "aria-label": "what the budget limits" });
  const allow = h("div", { class: "px-allow", role: "group", "aria-label": "precisions to choose from" });
  const locks = h("span", { class: "px-sub px-explained", tabindex: "0", "data-term": "locked", "data-testid": "search-locks" });
  const tools = {
    one: button("lock-selected", "Lock selected op", () => send("lock", { ops: tools.one.px, on: true })),
    mine: button("lock-mine", "Lock my choices", () => send("lock_mine")),
    none: button("unlock", "Unlock all", () => send("lock", { ops: tools.none.px, on: false })),
  };
  const ask = () => send("search_for", { objective: objective.value, precisions: [...allow.querySelectorAll("input:checked")].map((box) => box.value) });
  objective.addEventListener("change", ask);
  allow.addEventListener("change", ask);
  const root = h("div", { class: "px-goal" },
    h("label", {}, h("span", { class: "px-explained px-sub", "data-term": "objective", text: "budget of" }), objective), allow,
    h("div", { class: "px-locks" }, locks, tools.one, tools.mine, tools.none));
  return { root, objective, allow, locks, tools };
}

function fillGoal({ objective, allow, locks, tools }, found) {
  const names = (found.objectives || []).map(([name]) => name);
  if (objective.options.length !== names.length) {
    objective.replaceChildren(...found.objectives.map(([name, words]) => h("option", { value: name, title: words, text: name })));
  }
  objective.value = found.objective;
  const signature = JSON.stringify(found.precisions);
  if (allow.px !== signature) {
    allow.px = signature;
    const focused = allow.contains(document.activeElement) ? document.activeElement.value : null;
    allow.replaceChildren(...found.precisions.map(([name, on, real]) => h("label", { class: `px-pick px-fam-${family(name)}`, "data-term": name },
      h("input", { type: "checkbox", value: name, checked: on, "data-testid": `allow:${name}` }), h("i"), name, !real && h("span", { class: "px-sub", title: "emulated on this device: no time to gain", text: "emul." }))));
    if (focused) allow.querySelector(`input[value="${CSS.escape(focused)}"]`)?.focus();
  }
  put(locks, "text", lockWords(found));
  tools.one.px = found.selection;
  tools.one.hidden = !found.selection.length || found.locked.includes(found.selection[0]);
  put(tools.one, "title", found.selection[0] || "");
  tools.mine.hidden = !found.by_hand;
  tools.none.px = found.locked;
  tools.none.hidden = !found.locks;
}

function figureOf(figure) {
  const tag = h("span", { class: "px-tag", "data-kind": figure.kind, "data-term": figure.kind, text: figure.kind });
  return h("div", { class: "px-fig", "data-testid": `proposal:${figure.term}`, "data-kind": figure.kind },
    h("div", { class: "px-fig-top" }, h("span", { class: "px-explained", "data-term": figure.term, text: figure.term }), tag),
    h("div", { class: `px-fig-big${figure.tone ? ` px-${figure.tone}` : ""}`, text: figure.big }), h("div", { class: "px-sub", text: figure.sub }));
}

function rowOf(point, objective, chosen, go) {
  const said = pointWords(point, objective);
  const mark = said.mark && h("span", { class: `px-inside-mark px-${said.mark}`, title: said.inside, text: MARKS[said.mark] });
  return h("tr", { tabindex: "0", "aria-selected": chosen ? "true" : null, "data-testid": "search-point", onclick: go, onkeydown: (event) => event.key === "Enter" && go() },
    h("td", { text: said.budget }), h("td", { class: "px-num", title: said.title, text: said.predicted }),
    h("td", { class: "px-num", "data-kind": said.kind || null, title: said.interval }, said.measured, said.kind === "emulated" && h("span", { class: "px-sub", text: " emul." }), mark),
    h("td", { class: "px-num", text: said.time }));
}

function buildFound(seen, send) {
  const move = follower(send);
  const slider = h("input", { type: "range", min: 0, max: POSITIONS, step: 1, "data-testid": "search-budget", "aria-label": "budget" });
  const said = h("b", { class: "px-explained", tabindex: "0", "data-term": "budget", "data-testid": "search-budget-words" });
  const ends = [h("span"), h("span")];
  const figures = h("div", { class: "px-figs" });
  const mix = h("div", { class: "px-mix" });
  const change = h("span", { class: "px-sub", role: "status" });
  const apply = button("search-apply", "Apply", () => send("take_proposal", { hash: apply.px }));
  const verify = button("search-verify", "Verify", () => send("verify"));
  const summary = h("span", { class: "px-sub", "data-testid": "search-verdict" });
  const body = h("tbody");
  const head = h("tr", {}, ["budget", "predicted", "measured", "time"].map((text, at) => h("th", { scope: "col", class: at ? "px-num" : null, text })));
  const table = h("details", { class: "px-front" }, h("summary", {}, "all proposals ", summary), h("div", { class: "px-scroll-x" }, h("table", { class: "px-small" }, h("thead", {}, head), body)));
  const root = h("div", { class: "px-found" },
    h("div", { class: "px-budget" }, said),
    slider, h("div", { class: "px-ends px-sub" }, ends), figures, mix,
    h("div", { class: "px-ask" }, change, apply, verify), table);
  slider.addEventListener("input", () => {
    const { low, high, for: objective } = seen.get("search");
    const value = valueAt(Number(slider.value), low, high);
    put(said, "text", budgetWords(objective, value, high));
    put(slider, "aria-valuetext", said.textContent);
    move(value);
  });
  return { root, slider, said, ends, figures, mix, change, apply, verify, table, summary, body, move };
}

function fillFound(parts, found) {
  const { slider, said, ends, figures, mix, apply, verify, body } = parts;
  parts.root.hidden = !found.for;
  if (!found.for) return;
  const objective = found.for;
  // A slider under a finger stays where the finger is: what comes back belongs to where it was.
  if (document.activeElement !== slider || slider.px !== found.high) {
    slider.value = positionOf(found.budget, found.low, found.high);
    put(said, "text", budgetWords(objective, found.budget, found.high));
  }
  slider.px = found.high;
  slider.disabled = !(found.high > found.low);
  put(ends[0], "text", `${objective === "latency" ? "fastest" : "smallest"} ${amount(objective, found.low)}`);
  put(ends[1], "text", `FP32 ${amount(objective, found.high)}`);
  const proposal = found.proposal;
  put(slider, "data-solved", proposal ? proposal.solved : null);
  figures.replaceChildren(...(proposal ? figuresOf(proposal, objective).map(figureOf) : []));
  mix.replaceChildren(...(proposal ? proposal.counts.map(([name, n]) => h("span", { class: `px-format px-fam-${family(name)}` }, h("i"), `${n} ${name}`)) : []));
  put(parts.change, "text", proposal ? changeWords(proposal) : "");
  apply.px = proposal?.hash;
  apply.disabled = !proposal || proposal.changes === 0;
  verify.disabled = found.state === "verifying" || found.state === "waiting";
  put(verify, "text", `Verify ${Math.min(found.verifies, found.points.length)} proposals`);
  put(verify, "title", "Measures quality and time of each proposal, a few seconds each");
  put(parts.summary, "text", verdictOf(found.points) || `${found.points.length}, none measured yet`);
  const go = (point) => () => parts.move(spentBy(objective, point));
  body.replaceChildren(...found.points.map((point) => rowOf(point, objective, proposal && point.hash === proposal.hash, go(point))));
}

function searchPanel(seen, send) {
  const goal = buildGoal(send);
  const found = buildFound(seen, send);
  const start = button("search-start", "Search", () => send("search"));
  const note = h("p", { class: "px-note", role: "status", "data-testid": "search-note" });
  const root = h("div", { "data-testid": "search" }, goal.root, h("div", { class: "px-ask" }, start, note), found.root);
  const draw = () => {
    const now = { state: "opening", ...seen.get("search") };
    put(root, "data-state", now.state);
    goal.root.hidden = now.state === "opening";
    if (now.state !== "opening") fillGoal(goal, now);
    start.disabled = ["opening", "waiting", "verifying"].includes(now.state);
    put(start, "text", now.for ? "Search again" : "Search");
    put(start, "class", `px-btn${now.state === "stale" || now.state === "none" ? " px-main-btn" : ""}`);
    put(note, "text", noteOf(now));
    put(note, "data-tone", now.error ? "bad" : null);
    note.hidden = !note.textContent;
    fillFound(found, now);
  };
  return { root, draw, traits: ["search"] };
}

export default {
  render({ model, el }) {
    return mountPanel({ model, el }, "search", (send, seen) => searchPanel(seen, send));
  },
};
