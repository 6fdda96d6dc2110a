// The casts panel: all casts in a table, and below it what could be spared, each change one click that Undo takes back.
import { castTime, castsSummary, opsWords, redundantWords, savingWords } from "./casts_rows.js";
import { family } from "./lane.js";
import { bytes, count, duration, isNumber, plural } from "./numbers.js";
import { complain, dress, h, line, listen, put } from "./shared.js";
import { smallTable } from "./small_table.js";
import { attachTerms } from "./terms.js";
import { nameOf } from "./time_rows.js";
import { newTip } from "./tip.js";
import { undone } from "./undone.js";
import { WORDS } from "./words.js";

const format = (name) => h("span", { class: `px-format px-fam-${family(name)}` }, h("i"), name);
const micro = (us) => (isNumber(us) ? duration(us) : "\u2013");
const op = (text, title) => h("span", { class: "px-op-name", title, text });

const COLUMNS = [
  { key: "direction", title: "direction", term: "cast", cell: (row) => h("span", { class: "px-explained", "data-term": row.direction }, `${row.direction === "down" ? "\u2193" : "\u2191"} ${row.direction}`) },
  { key: "from", title: "from \u2192 to", cell: (row) => h("span", { class: "px-format" }, format(row.from), " \u2192 ", format(row.to)) },
  { key: "source", title: "made by", cell: (row) => op(nameOf(row.source), row.source) },
  { key: "readers", title: "read by", cell: (row) => op(opsWords(row.consumers, row.count), row.consumers.join("\n")) },
  { key: "elements", title: "elements", term: "elements", number: true, cell: (row) => count(row.elements) },
  { key: "bytes", title: "bytes", term: "bytes", number: true, cell: (row) => bytes(row.bytes) },
  { key: "us", title: "time", term: "\u00b5s", number: true, cell: castTime },
];

const REGIONS = [
  { key: "format", title: "hands on", cell: (row) => h("span", { class: "px-format" }, row.format) },
  { key: "reads", title: "reads", cell: (row) => row.reads || "\u2013" },
  { key: "count", title: "ops", number: true, cell: (row) => count(row.count) },
  { key: "first", title: "from", cell: (row) => op(nameOf(row.first), row.first) },
  { key: "last", title: "to", cell: (row) => op(nameOf(row.last), row.last) },
  { key: "casts_in", title: "casts in", number: true, cell: (row) => count(row.casts_in) },
  { key: "casts_out", title: "casts out", number: true, cell: (row) => count(row.casts_out) },
  { key: "us", title: "time of its ops", term: "measured", number: true, cell: (row) => micro(row.us) },
];

const REFORMATS = [
  { key: "op", title: "op", cell: (row) => op(nameOf(row.op), row.op) },
  { key: "where", title: "where", cell: (row) => `in the ${row.where}${row.where === "kernel" ? ` ${row.kernel}` : ""}` },
  { key: "arrives", title: "layout", term: "layout change", cell: (row) => `${row.arrives} \u2192 ${row.wants}` },
  { key: "bytes", title: "bytes", number: true, cell: (row) => bytes(row.bytes) },
  { key: "us", title: "time", number: true, cell: (row) => micro(row.us) },
];

/** A block with a heading; `about` names the term that explains it. */
function block(title, about, testid) {
  const note = h("p", { class: "px-note" });
  const body = h("div");
  const heading = h("h4", {}, h("span", { class: about ? "px-explained" : null, "data-term": about || null, text: title }));
  return { element: h("div", { class: "px-block", "data-testid": testid }, heading, note, body), note, body };
}

class CastsView {
  constructor(model, el) {
    this.model = model;
    this.el = dress(el, "casts");
    this.wire = line(model, el, () => this.drawBeyond());
    const select = (row) => this.ask("select", { ops: row.ops || [row.source, ...row.consumers].filter((name) => name.includes("/")) });
    this.summary = h("p", { class: "px-note", role: "status" });
    this.table = smallTable("casts", COLUMNS, select);
    this.saving = block("What removing casts would save", "predicted", "casts-removals");
    this.again = block("Up and down again", "up and down again", "casts-redundant");
    this.region = block("Regions without a cast", "region", "casts-regions");
    this.layout = block("Layout changes", "layout change", "casts-reformats");
    this.changes = smallTable("what removing casts would save", this.changeColumns("removals", (row) => row.change, savingWords), select);
    this.trips = smallTable("up and down again", this.changeColumns("redundant", redundantWords, (row) => row.change), select);
    this.regions = smallTable("regions", REGIONS, select);
    this.reformats = smallTable("layout changes", REFORMATS, (row) => this.ask("select", { ops: [row.op] }));
    this.saving.body.append(this.changes.element);
    this.again.body.append(this.trips.element);
    this.region.body.append(this.regions.element);
    this.layout.body.append(this.reformats.element);
    this.root = h("div", { "data-testid": "casts" }, this.summary, this.table.element, ...[this.saving, this.again, this.region, this.layout].map((one) => one.element));
    this.tip = newTip();
    this.stops = [attachTerms(this.root, WORDS, this.tip), listen(model, ["casts"], () => this.drawCasts()), listen(model, ["beyond"], () => this.drawBeyond())];
    el.append(this.root);
    this.drawCasts();
    this.drawBeyond();
  }

  changeColumns(kind, what, saving) {
    const apply = (row) => h("button", { class: "px-btn", type: "button", "data-testid": `fewer-casts:${kind}:${row.at}`, text: "Apply", onclick: () => this.ask("fewer_casts", { kind, row: row.at, hash: this.model.get("casts").hash }) });
    return [
      { key: "change", title: kind === "removals" ? "change" : "where", cell: (row) => h("span", { class: "px-op-name", text: what(row) }) },
      { key: kind === "removals" ? "saved_us" : "bytes", title: kind === "removals" ? "saves" : "change", cell: (row) => saving(row) || "\u2013" },
      { key: null, title: "", cell: (row) => (row.can === false ? "" : apply(row)) },
    ];
  }

  ask(type, fields) {
    return this.wire.ask(type, fields).catch((error) => complain(this.el, error));
  }

  drawCasts() {
    const casts = { rows: [], more: 0, ...this.model.get("casts") };
    put(this.summary, "text", casts.state === "ready" ? castsSummary(casts) : "No model is open yet.");
    this.table.element.hidden = !casts.rows.length;
    this.table.fill(casts.rows.map((row) => ({ ...row, readers: row.consumers.join(), testid: `cast:${row.at}` })));
  }

  drawBeyond() {
    const beyond = undone(this.model.get("beyond"), this.wire.stopped());
    const ready = beyond.state === "ready";
    const parts = [[this.saving, this.changes, "removals"], [this.again, this.trips, "redundant"], [this.region, this.regions, "regions"], [this.layout, this.reformats, "reformats"]];
    put(this.root, "data-state", beyond.state);
    for (const [one, table, name] of parts) {
      const found = ready ? beyond[name] : { rows: [], more: 0 };
      table.element.hidden = !found.rows.length;
      one.element.hidden = !ready && name !== "removals";
      table.fill(found.rows);
      put(one.note, "data-tone", beyond.state === "failed" ? "bad" : null);
      put(one.note, "text", ready ? noteOf(name, found) : beyond.state === "failed" ? beyond.error : beyond.state === "idle" ? "Cancelled: looked for again after the next change." : "Looking for changes that make casts unnecessary\u2026");
      one.note.hidden = !one.note.textContent;
    }
  }

  remove() {
    this.stops.forEach((stop) => stop());
    this.wire.close();
    this.tip.remove();
    this.root.remove();
  }
}

const NOTHING = {
  removals: "No change of a precision would spare a cast.", redundant: "None: no value is raised and lowered to where it was.",
  regions: "No op.", reformats: "None: every kernel takes its tensors as they lie in memory.",
};

function noteOf(name, found) {
  if (!found.rows.length) return NOTHING[name];
  return found.more ? `${plural(found.more, "more row")} not shown.` : "";
}

export default {
  render({ model, el }) {
    const view = new CastsView(model, el);
    return () => view.remove();
  },
};
