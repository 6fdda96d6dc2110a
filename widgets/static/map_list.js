// The map's list of rows: the tree or an order, filtered, with details. It remembers what stays when an answer is wanting. Pure.
import { filterOps } from "./map_filter.js";
import { IN_ORDER, leavesOf, sortLeaves, valueBy } from "./map_sort.js";
import { withDetails } from "./map_window.js";
import { arrange, closedAtFirst, flatten } from "./tree.js";

export class RowList {
  constructor(ops, links) {
    this.items = arrange(ops, links);
    this.closed = closedAtFirst(this.items);
    this.leaves = leavesOf(this.items);
    this.sort = IN_ORDER;
    this.ordered = null;
    this.understood = "";
  }

  /** Chooses an order; its rows are sorted at the next look. */
  sortBy(sort) {
    this.sort = sort;
    this.ordered = null;
  }

  /**
   * The rows: {rows, answer, kept, stale}. Where the filter's text cannot be understood, the last one that could is held to. While
   * `held`, rows whose values have changed stay where they are, and the order is `stale`.
   */
  look(text, page, details, held) {
    const answer = filterOps(text, page);
    if (!answer.wrong) this.understood = text;
    const kept = answer.wrong ? filterOps(this.understood, page).keep : answer.keep;
    const stale = this.settle(page, held);
    return { rows: withDetails(flatten(this.ordered || this.items, this.closed, kept), details), answer, kept, stale };
  }

  settle(page, held) {
    const { by, up } = this.sort;
    if (by === "order") return false;
    const fresh = sortLeaves(this.leaves, valueBy(by, page), up);
    const stale = Boolean(held && this.ordered && fresh.some((leaf, at) => leaf !== this.ordered[at]));
    if (!stale) this.ordered = fresh;
    return stale;
  }

  /** Whether the rows change with costs, times or locks: what the filter says and the order goes by. */
  restsOn(name, answer) {
    return answer.uses.has(name) || (name === "times" && this.sort.by === "time") || (name === "costs" && this.sort.by.startsWith("cost"));
  }
}
