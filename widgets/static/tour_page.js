// The page as the tour sees and uses it: where its parts are, what state they are in, and a hand that does what is asked.
import { pickCell } from "./tour_steps.js";

const section = (name) => `[data-testid^="section:${name}"]`;
const byId = (id) => `[data-testid="${CSS.escape(id)}"]`;
const seen = (element) => Boolean(element) && element.getClientRects().length > 0;

/** A hand and an eye on one page; `spot` is the cell that the tour asks for, {key, precision}. */
export class TourPage {
  constructor(page) {
    this.page = page;
    this.spot = null;
    this.startNode = "";
  }

  /** The first element on show of some selectors. */
  find(...selectors) {
    for (const selector of selectors) {
      const found = [...this.page.querySelectorAll(selector)].find(seen);
      if (found) return found;
    }
    return null;
  }

  /** Chooses the cell to ask for, among the rows at the top of the map. */
  pick() {
    const scroll = this.find(".px-map .px-scroll");
    if (scroll) scroll.scrollTop = 0;
    const ops = [...this.page.querySelectorAll(".px-body .px-row.px-op")];
    const rows = ops.length ? ops : [...this.page.querySelectorAll(".px-body .px-row")];
    const order = rows.sort((one, other) => one.px.row - other.px.row);
    this.spot = pickCell(order.filter((row) => row.dataset.key).map((row) => ({
      key: row.dataset.key,
      cells: [...row.querySelectorAll(".px-cell")].map((cell) => ({ precision: cell.dataset.testid.split(":").at(-1), state: cell.dataset.state, chosen: cell.dataset.chosen === "true" })),
    })));
  }

  /** The element of a phase's `at`, or null while it is not there. */
  target(at) {
    const { key, precision } = this.spot || {};
    const history = `.px-history [data-testid="history:${this.startNode}"]`;
    const targets = {
      row: () => key && this.find(byId(`row:${key}`)),
      cell: () => key && this.find(byId(`cell:${key}:${precision}`)),
      preset: () => this.find("[data-testid=preset]"),
      cost: () => this.find("[data-testid=delta-kl]"),
      castsHead: () => this.find(section("Casts")),
      castsList: () => this.find("[data-testid=casts] table", "[data-testid=casts]"),
      searchHead: () => this.find(section("Search")),
      searchStart: () => this.find("[data-testid=search-start]"),
      searchNote: () => this.find("[data-testid=search-note]", "[data-testid=search-start]"),
      slider: () => this.find("[data-testid=search-budget]"),
      proposal: () => this.find(".px-found .px-ask", "[data-testid=search-apply]"),
      historyHead: () => this.find(section("History")),
      historyStart: () => this.find(history, "[data-testid=history]"),
      share: () => this.find("[data-testid=share]", "[data-testid=recipe]", "[data-testid=history]"),
    };
    return (targets[at] && targets[at]()) || null;
  }

  isOpen(name) {
    return this.page.querySelector(section(name))?.getAttribute("aria-expanded") === "true";
  }

  /** What `stepsFor` and `phaseOf` look at, beside what Python says. */
  facts() {
    const text = (selector) => this.page.querySelector(selector)?.textContent || "";
    const slider = this.find("[data-testid=search-budget]");
    const preset = this.otherPreset();
    return {
      painted: Boolean(this.page.querySelector(".px-body .px-cell[data-step]")), strip: Boolean(this.find(".px-body .px-col-range")), op: this.spot ? this.spot.key.split("/")[0] : "", precision: this.spot?.precision || "", preset: preset ? preset.text : "",
      kind: this.page.querySelector("[data-testid=delta-kl]")?.dataset.kind || "", casts: text("[data-testid=delta-casts] .px-big"),
      castsOpen: this.isOpen("Casts") && Boolean(this.find("[data-testid=casts]")), historyOpen: this.isOpen("History") && Boolean(this.find("[data-testid=history]")),
      searchOpen: this.isOpen("Search") && Boolean(this.find("[data-testid=search]")), searching: this.page.querySelector("[data-testid=search]")?.dataset.state === "waiting",
      searched: Boolean(slider) && !slider.disabled, budget: slider ? slider.value : "", share: Boolean(this.find("[data-testid=share]")),
    };
  }

  /** A preset that is not the recipe on show, one in INT8 if there is any. */
  otherPreset() {
    const select = this.page.querySelector("[data-testid=preset]");
    const others = [...(select?.options || [])].filter((option) => option.value && option.value !== select.value);
    return others.find((option) => option.value.includes("int8")) || others[0] || null;
  }

  /** Does what a phase asks for, as a hand would. */
  act(name) {
    const click = (at) => this.target(at)?.click();
    const actions = {
      pick: () => click("cell"),
      preset: () => this.enter(this.target("preset"), this.otherPreset()?.value, "change"),
      openCasts: () => click("castsHead"), openSearch: () => click("searchHead"), openHistory: () => click("historyHead"),
      runSearch: () => click("searchStart"), goBack: () => click("historyStart"),
      drag: () => this.drag(this.target("slider")),
    };
    actions[name]();
  }

  enter(control, value, event) {
    if (!control || value === undefined) return;
    control.value = value;
    control.dispatchEvent(new Event(event, { bubbles: true }));
  }

  /** Moves the budget to a third of its way, or away from there. */
  drag(slider) {
    if (!slider) return;
    const third = Math.round(Number(slider.max) / 3);
    this.enter(slider, String(Number(slider.value) === third ? 2 * third : third), "input");
  }
}

/** The boxes that cut an element off: what scrolls around it. */
export function clippersOf(element) {
  const found = [];
  for (let parent = element.parentElement; parent; parent = parent.parentElement) {
    const { overflowX, overflowY } = getComputedStyle(parent);
    if (overflowX !== "visible" || overflowY !== "visible") found.push(parent);
  }
  return found.filter((parent) => parent !== document.body && parent !== document.documentElement);
}
