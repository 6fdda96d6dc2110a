// The guided tour: offered once in a line that can be dismissed, followed by doing, left at any time, and taken back as a whole.
import { recall, remember } from "./remember.js";
import { complain, dress, h, line, listen, pageOf, put } from "./shared.js";
import { newCard } from "./tour_card.js";
import { TourPage, clippersOf } from "./tour_page.js";
import { fitsCentred, placeCard, sharedBox, sliceOf } from "./tour_place.js";
import { phaseOf, stepsFor } from "./tour_steps.js";

const LOOK_MS = 120;
const OFFER = "New here? Five short steps show how this page works, on this very model.";
const AFTER = "The tour changed what you see. It can be put back as it was; the recipes that were tried stay in the history.";
const SECTIONS = ["Casts", "Search", "History"];

const boxOf = (element) => {
  const { left, top, width, height } = element.getBoundingClientRect();
  return { left, top, width, height };
};
const stillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** One run of the tour over a page; `said()` gives what Python says of it, `ended(changed)` hears the end. */
class Run {
  constructor(page, said, ended) {
    this.page = new TourPage(page);
    this.said = said;
    this.ended = ended;
    this.before = { ...said(), open: SECTIONS.filter((name) => this.page.isOpen(name)), focus: document.activeElement };
    this.page.startNode = String(this.before.node);
    this.page.pick();
    this.steps = stepsFor({ ...said(), ...this.page.facts() });
    this.card = newCard({ next: () => this.go(1), back: () => this.go(-1), show: () => this.show(), end: () => this.end() });
    this.looked = 0;
    this.enter(0);
    this.card.focus();
    const frame = (now) => {
      this.frame = requestAnimationFrame(frame);
      this.follow(now);
    };
    this.frame = requestAnimationFrame(frame);
  }

  facts() {
    const said = this.said();
    return { recorded: said.recorded, hash: said.hash, start: this.before.hash, entry: this.entry, ...this.page.facts() };
  }

  enter(at) {
    this.at = at;
    this.entry = { hash: this.said().hash, budget: "" };
    // A step that asks for another choice needs a cell that is not chosen yet.
    if (this.steps[at].name === "choose" || at === 0) this.page.pick();
    this.look();
  }

  go(by) {
    const to = this.at + by;
    if (to < 0) return;
    if (to >= this.steps.length) return this.end();
    this.enter(to);
    return this.card.focus();
  }

  show() {
    const { phase } = this;
    if (phase.show) this.page.act(phase.show);
    this.held = true;
  }

  end() {
    cancelAnimationFrame(this.frame);
    this.card.remove();
    const { before } = this;
    if (before.focus?.isConnected) before.focus.focus({ preventScroll: true });
    const now = this.said();
    const opened = SECTIONS.filter((name) => this.page.isOpen(name) && !before.open.includes(name));
    this.ended(before, { moved: now.model === before.model && now.hash !== before.hash, opened });
  }

  /** Reads the page, and says what the phase that is on says. */
  look() {
    const facts = this.facts();
    if (this.said().model !== this.before.model) return this.end();
    if (this.entry.budget === "" && facts.budget !== "") this.entry.budget = facts.budget;
    const step = this.steps[this.at];
    const phase = step.phases[phaseOf(step, facts)];
    const changed = phase !== this.phase;
    this.phase = phase;
    this.card.say({
      step: step.name, at: phase.at, count: `${this.at + 1} of ${this.steps.length}`, title: step.title, text: phase.text(facts),
      todo: phase.done ? phase.todo(facts) : "", show: Boolean(phase.show), first: this.at === 0, last: this.at + 1 === this.steps.length,
    });
    if (!changed) return undefined;
    this.target = null;
    // The focus follows a phase only where it was in the callout: a hand on the page keeps it.
    if (this.held || document.activeElement === document.body || this.card.card.contains(document.activeElement)) this.card.focus();
    this.held = false;
    return undefined;
  }

  follow(now) {
    if (now - this.looked > LOOK_MS) {
      this.looked = now;
      this.look();
    }
    if (!this.card.card.isConnected) return;
    const found = this.page.target(this.phase.at);
    if (found !== this.target) {
      this.target = found;
      this.clippers = found ? clippersOf(found) : [];
      if (found) this.bring(found);
    }
    this.place();
  }

  /** Scrolls the target to the middle of the window, or to its top where the callout would not fit beside it. */
  bring(target) {
    const size = boxOf(this.card.card);
    const frame = { width: innerWidth, height: innerHeight };
    const block = fitsCentred(boxOf(target), size, frame) ? "center" : "start";
    target.scrollIntoView({ block, inline: "nearest", behavior: stillness() ? "instant" : "smooth" });
  }

  place() {
    const { card, ring } = this.card;
    const frame = { width: innerWidth, height: innerHeight };
    const size = boxOf(card);
    let box = this.target?.isConnected ? boxOf(this.target) : null;
    for (const clip of [...this.clippers.map(boxOf), { left: 0, top: 0, ...frame }]) box = box && sharedBox(box, clip);
    const slice = box && sliceOf(box, size, frame);
    const { left, top, side } = placeCard(slice, size, frame);
    const zoom = card.currentCSSZoom || 1;
    put(card, "data-side", side);
    put(card, "style", `left: ${Math.round(left) / zoom}px; top: ${Math.round(top) / zoom}px`);
    put(ring, "style", slice ? `left: ${slice.left - 3}px; top: ${slice.top - 3}px; width: ${slice.width + 6}px; height: ${slice.height + 6}px` : "display: none");
  }
}

function buildLine() {
  const words = h("span");
  const button = (name, text, main) => h("button", { class: `px-btn${main ? " px-main-btn" : ""}`, type: "button", "data-testid": `tour-${name}`, text });
  const parts = { words, start: button("start", "Start the tour", true), later: button("later", "Not now"), undo: button("undo", "Undo what the tour did", true), keep: button("keep", "Keep it") };
  const root = h("div", { class: "px-tour-offer", role: "region", "aria-label": "guided tour", "data-testid": "tour-offer", hidden: true }, words, parts.start, parts.later, parts.undo, parts.keep);
  return { root, ...parts };
}

class TourView {
  constructor(model, el) {
    this.model = model;
    this.el = dress(el, "tourline");
    this.wire = line(model, el);
    this.line = buildLine();
    this.run = null;
    this.left = null;
    const { start, later, undo, keep } = this.line;
    start.addEventListener("click", () => this.start());
    later.addEventListener("click", () => this.settle());
    keep.addEventListener("click", () => this.settle());
    undo.addEventListener("click", () => this.undo());
    el.append(this.line.root);
    this.begin = () => this.start();
    this.arrival = requestAnimationFrame(() => {
      this.page = pageOf(el);
      this.page?.addEventListener("px-tour", this.begin);
      this.draw();
    });
    this.stop = listen(model, ["tour"], () => this.draw());
  }

  said() {
    return { ready: false, ...this.model.get("tour") };
  }

  draw() {
    const { root, words, start, later, undo, keep } = this.line;
    const offers = !this.run && !this.left && this.said().ready && !recall("tour");
    root.hidden = !this.page || !(offers || this.left);
    put(words, "text", this.left ? AFTER : OFFER);
    put(root, "data-state", this.left ? "after" : "offer");
    start.hidden = later.hidden = Boolean(this.left);
    undo.hidden = keep.hidden = !this.left;
  }

  start() {
    if (this.run || !this.said().ready) return;
    this.left = null;
    remember("tour", "seen");
    const run = new Run(this.page, () => this.said(), (before, done) => this.finished(before, done));
    this.run = run;
    this.draw();
    if (run.before.recorded) this.wire.ask("recipe_json").then(({ json }) => { run.before.json = json; }, () => {});
  }

  finished(before, { moved, opened }) {
    this.run = null;
    this.left = moved || opened.length ? { before, moved, opened } : null;
    this.draw();
  }

  /** The line is dealt with: it does not come back by itself. */
  settle() {
    this.left = null;
    remember("tour", "seen");
    this.draw();
  }

  async undo() {
    const { before, moved, opened } = this.left;
    this.settle();
    try {
      if (moved) await this.bringBack(before);
      await this.wire.ask("select", { ops: before.selection });
      for (const name of opened) this.page.querySelector(`[data-testid^="section:${name}"][aria-expanded=true]`)?.click();
      this.page.scrollIntoView({ block: "start", behavior: stillness() ? "instant" : "smooth" });
    } catch (error) {
      complain(this.el, error);
    }
  }

  /** A recording knows a recipe by what it holds, a live page also by its place in the history. */
  bringBack({ recorded, node, json }) {
    return recorded ? this.wire.ask("apply", { json }) : this.wire.ask("go_to", { node });
  }

  remove() {
    this.run?.end();
    this.stop();
    this.wire.close();
    cancelAnimationFrame(this.arrival);
    this.page?.removeEventListener("px-tour", this.begin);
    this.line.root.remove();
  }
}

export default {
  render({ model, el }) {
    const view = new TourView(model, el);
    return () => view.remove();
  },
};
