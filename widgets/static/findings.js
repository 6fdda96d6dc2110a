// The findings panel: each cause in words with its evidence; a remedy is tried without changing anything, then applied.
import { costWords, evidenceName, findingsNote, previewWords } from "./findings_rows.js";
import { family } from "./lane.js";
import { mountPanel } from "./panel.js";
import { h, put } from "./shared.js";
import { nameOf } from "./time_rows.js";

function remedyOf(finding, remedy, act) {
  const said = previewWords(remedy);
  const where = { finding: finding.at, remedy: remedy.at };
  const id = `${finding.at}.${remedy.at}`;
  const button = (name, text, type) => h("button", { class: "px-btn", type: "button", "data-testid": `${name}:${id}`, disabled: remedy.state === "waiting", text, onclick: () => act(type, where) });
  return h("div", { class: "px-remedy", "data-testid": `remedy-row:${id}` }, h("span", { class: "px-explained px-sub", "data-term": "remedy", text: remedy.at === 0 ? "remedy" : "or" }), h("span", { class: "px-remedy-words", text: remedy.words }),
    remedy.can && h("span", { class: "px-remedy-tools" }, button("preview", "Preview", "preview"), button("remedy", "Apply", "remedy")),
    said.words && h("b", { class: "px-tried", "data-tone": said.tone || null, role: "status", text: said.words }));
}

function findingOf(row, kind, act) {
  const evidence = row.evidence.length > 0 && h("details", {}, h("summary", { class: "px-sub", text: "evidence" }),
    h("dl", { class: "px-evidence" }, row.evidence.map(([name, value]) => [h("dt", { text: evidenceName(name) }), h("dd", { text: value })]).flat()));
  return h("div", { class: `px-finding${row.breaks ? " px-breaks" : ""}`, "data-testid": `finding:${row.op}`, "data-rule": row.rule },
    h("div", { class: "px-finding-head" }, h("b", { text: row.title }),
      h("button", { class: "px-btn", type: "button", title: `${row.op}: show it in the map`, onclick: () => act("select", { ops: [row.op] }) }, nameOf(row.op)),
      row.precision && h("span", { class: `px-format px-fam-${family(row.precision)}` }, h("i"), row.precision),
      h("span", { class: "px-sub", text: costWords(row, kind) })),
    h("p", {}, h("span", { class: "px-explained px-sub", "data-term": "cause", text: "cause" }), " ", row.cause),
    row.remedies.map((remedy) => remedyOf(row, remedy, act)), evidence);
}

function findingsPanel(seen, send) {
  const act = (type, fields) => {
    const hash = type === "preview" || type === "remedy" ? { hash: seen.get("findings").hash } : {};
    return send(type, { ...fields, ...hash });
  };
  const find = h("button", { class: "px-btn", type: "button", "data-testid": "findings-find", onclick: () => act("analyse", { topic: "findings" }) });
  const note = h("p", { class: "px-note", role: "status" });
  const list = h("div", { class: "px-finding-list" });
  const root = h("div", { "data-testid": "findings" }, h("div", { class: "px-ask" }, find, note), list);
  const draw = () => {
    const found = { rows: [], ...seen.get("findings") };
    put(root, "data-state", found.state);
    put(root, "data-count", found.state === "ready" ? found.rows.length : null);
    put(find, "text", found.state === "ready" ? "Look again" : "Look for causes");
    find.disabled = found.state === "waiting" || found.state === "opening";
    put(note, "text", findingsNote(found));
    put(note, "data-tone", found.state === "failed" ? "bad" : null);
    const open = [...list.querySelectorAll("details[open]")].map((one) => one.closest("[data-testid]").dataset.testid);
    list.replaceChildren(...found.rows.map((row) => findingOf(row, found.fail, act)));
    open.forEach((id) => list.querySelector(`[data-testid="${CSS.escape(id)}"] details`)?.setAttribute("open", ""));
  };
  return { root, draw, traits: ["findings"] };
}

export default {
  render({ model, el }) {
    return mountPanel({ model, el }, "findings", (send, seen) => findingsPanel(seen, send));
  },
};
