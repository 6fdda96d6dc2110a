// The time table: by kind of call or op by op, each beside what this machine could do; the sum and the whole below.
import { dress, h, line, listen, put } from "./shared.js";
import { attachTerms, term } from "./terms.js";
import { timeRows } from "./time_rows.js";
import { newTip } from "./tip.js";
import { WORDS } from "./words.js";

const STATES = {
  opening: "No model is open yet.", running: "Being measured: the times follow the speed-up.", idle: "Not measured yet. Press Measure in the bar above.",
  recorded: "Not recorded: the latency was not measured.", ended: "Not measured: the session ended.", lost: "Not measured: no connection.",
};
const HINT = "slowest first \u00b7 bar: how near an op is to what this machine could do at best";
const EMULATED = "Some ops are emulated here: their times, and so the sum, say nothing about a real kernel.";

/** A share as a bar and a number. */
export function limitBar(limit) {
  const percent = Math.round(100 * limit.share);
  return h("span", { class: "px-limit", title: limit.words, "aria-label": `${percent} % of the limit` },
    h("span", { text: `${percent} %` }), h("i", { style: `--share: ${percent}%` }));
}

function rowElement(row) {
  const limit = row.limit ? limitBar(row.limit) : h("span", { class: "px-limit", text: row.emulated ? "emul." : "" });
  return h("tr", { "data-testid": `time:${row.id}`, "data-emulated": row.emulated, class: row.cast ? "px-cast" : null },
    h("th", { scope: "row", title: `${row.id}\n${row.sub}` }, h("span", { class: "px-what", text: row.name }), h("span", { class: "px-sub", text: row.sub })),
    h("td", {}, row.time, h("span", { class: "px-sub", text: row.part })), h("td", {}, limit));
}

function sumElement(row) {
  return h("tr", { "data-testid": `time-${row.id}`, class: row.id === "whole" ? "px-whole-row" : null },
    h("th", { scope: "row", title: row.sub }, h("span", { class: "px-what", text: row.name }), h("span", { class: "px-sub", text: row.sub })), h("td", { colspan: "2", text: row.time }));
}

function tableElement(found) {
  const head = h("tr", {}, h("th", { scope: "col", text: "ops and casts" }), h("th", { scope: "col", text: "time" }), h("th", { scope: "col" }, term("of limit")));
  const others = found.others && h("tr", {}, h("th", { scope: "row" }, h("span", { class: "px-what", text: found.others.name })), h("td", { text: found.others.time }), h("td"));
  return h("table", { class: "px-times" }, h("thead", {}, head), h("tbody", {}, found.rows.map(rowElement), others), h("tfoot", {}, found.sums.map(sumElement)));
}

export default {
  render({ model, el }) {
    dress(el, "time");
    let each = false;
    const inside = h("div", { class: "px-inside", role: "group", "aria-label": "where the time goes", tabindex: "0" });
    const more = h("button", { class: "px-btn", type: "button", "data-testid": "times-each", onclick: () => {
      each = !each;
      draw();
    } });
    const head = h("div", { class: "px-head" }, h("b", { text: "Where the time goes" }), h("span", { class: "px-space" }), more);
    const panel = h("div", { class: "px-panel", "data-testid": "times" }, head, inside);
    el.append(panel);
    const tip = newTip();
    const draw = () => {
      const table = model.get("table");
      const ready = table.state === "ready";
      const found = ready ? timeRows(table, each) : null;
      more.hidden = !ready;
      put(more, "text", each ? "By kind" : "Each op");
      put(more, "aria-pressed", String(each));
      put(panel, "data-state", table.state);
      const note = !ready ? STATES[wire.stopped() || table.state] || "" : table.emulated ? EMULATED : HINT;
      inside.replaceChildren(h("p", { class: "px-sub", text: note }), ...(ready ? [tableElement(found)] : []));
    };
    const wire = line(model, el, draw);
    draw();
    const stops = [listen(model, ["table"], draw), attachTerms(panel, WORDS, tip), tip.remove];
    return () => {
      stops.forEach((stop) => stop());
      wire.close();
      panel.remove();
    };
  },
};
