// The recipe panel: how many ops run in what, which choices were made and why; copy, save and load as JSON.
import { family } from "./lane.js";
import { plural } from "./numbers.js";
import { complain, dress, h, line, listen, put } from "./shared.js";
import { copyText, saveFile } from "./taking.js";

const LARGEST = 2e6;

function countsBar(counts) {
  const total = counts.reduce((sum, [, n]) => sum + n, 0) || 1;
  const words = counts.map(([precision, n]) => `${n} ${precision}`).join(", ");
  return h("div", {},
    h("div", { class: "px-share", role: "img", "aria-label": words },
      counts.map(([precision, n]) => h("i", { class: `px-fam-${family(precision)}`, style: `flex: ${n / total}`, title: `${n} ${precision}` }))),
    h("div", { class: "px-counts" }, counts.map(([precision, n]) =>
      h("span", { class: `px-fam-${family(precision)}`, "data-testid": `count:${precision}` }, h("i", { class: "px-key-line" }), `${precision} `, h("b", { text: String(n) })))));
}

const SEARCH = "search: ";

/** Choices grouped by precision and reason, [precision, reason, [[op, detail]]]: a search has a reason of its own for
 * each op, which then stands beside it. */
export function groupChoices(choices) {
  const groups = new Map();
  for (const [op, precision, reason] of choices) {
    const searched = reason.startsWith(SEARCH);
    const words = searched ? "search" : reason;
    const key = `${precision}\n${words}`;
    if (!groups.has(key)) groups.set(key, [precision, words, []]);
    groups.get(key)[2].push([op, searched ? reason.slice(SEARCH.length) : ""]);
  }
  return [...groups.values()];
}

/** The groups; the ops fold away under each. */
function choicesList(choices, more, ready) {
  const groups = groupChoices(choices);
  if (!ready) return h("p", { class: "px-sub", text: "No model is open yet." });
  if (groups.length === 0) return h("p", { class: "px-sub", text: "Every op runs in FP32. Click a cell of the map, or take a preset." });
  const list = groups.map(([precision, reason, ops]) =>
    h("details", { open: groups.length <= 3 && ops.length <= 12 },
      h("summary", {}, h("b", { class: `px-word px-fam-${family(precision)}`, text: precision }), ` ${plural(ops.length, "op")} `, h("span", { class: "px-sub", text: reason })),
      h("ul", {}, ops.map(([op, detail]) => h("li", {}, op, detail !== "" && h("div", { class: "px-sub", text: detail }))))));
  if (more > 0) list.push(h("p", { class: "px-sub", text: `and ${plural(more, "more choice")} not listed; the saved file holds all` }));
  return list;
}

function loader(apply, tell) {
  const area = h("textarea", { class: "px-input", rows: 5, "data-testid": "recipe-json", "aria-label": "recipe JSON", placeholder: "Paste a recipe's JSON here", spellcheck: "false" });
  const file = h("input", { type: "file", accept: ".json,application/json", "data-testid": "recipe-file", "aria-label": "recipe file" });
  file.addEventListener("change", async () => {
    const chosen = file.files[0];
    if (!chosen) return;
    if (chosen.size > LARGEST) tell(`${chosen.name} is ${(chosen.size / 1e6).toFixed(1)} MB; a recipe is at most 2 MB`);
    else apply(await chosen.text());
    file.value = "";
  });
  const button = h("button", { class: "px-btn", type: "button", "data-testid": "recipe-apply", text: "Apply", onclick: () => apply(area.value) });
  return h("div", { class: "px-loader", hidden: true }, area, h("div", { class: "px-tools" }, button, file));
}

export default {
  render({ model, el }) {
    dress(el, "recipe");
    const { ask, close } = line(model, el);
    const status = h("p", { class: "px-status", role: "status", "data-testid": "recipe-status" });
    const tell = (text, bad = true) => {
      put(status, "text", text);
      put(status, "data-tone", bad ? "bad" : "good");
    };
    const json = async (use) => {
      try {
        const reply = await ask("recipe_json");
        tell(await use(reply.json, reply.name), false);
      } catch (error) {
        tell(error.message);
        complain(el, error);
      }
    };
    const apply = async (text) => {
      try {
        const { warning } = await ask("apply", { json: text });
        tell(`Recipe applied; Undo brings the former one back.${warning ? ` ${warning}` : ""}`, Boolean(warning));
      } catch (error) {
        tell(error.message);
      }
    };
    const load = loader(apply, tell);
    const button = (id, text, run) => h("button", { class: "px-btn", type: "button", "data-testid": id, text, onclick: run });
    const tools = h("div", { class: "px-tools" },
      button("recipe-copy", "Copy JSON", () => json(async (text) => copyText(text).then(() => "Copied."))),
      button("recipe-save", "Save", () => json(async (text, name) => {
        saveFile(text, name, "application/json");
        return `Saved as ${name}.`;
      })),
      button("recipe-load", "Load\u2026", () => { load.hidden = !load.hidden; }));
    const hash = h("span", { class: "px-sub", title: "the recipe's hash: the same choices have the same hash" });
    const counts = h("div");
    const list = h("div", { class: "px-choices" });
    const panel = h("div", { class: "px-panel", "data-testid": "recipe" },
      h("div", { class: "px-head" }, h("b", { text: "Recipe" }), h("span", { class: "px-space" }), hash),
      h("div", { class: "px-inside" }, counts, list, tools, load, status));
    el.append(panel);
    const draw = () => {
      const recipe = model.get("recipe");
      put(hash, "text", recipe.hash ? recipe.hash.slice(0, 10) : "");
      put(panel, "data-hash", recipe.hash || "");
      counts.replaceChildren(countsBar(recipe.counts || []));
      list.replaceChildren(...[choicesList(recipe.choices || [], recipe.more || 0, Boolean(recipe.hash))].flat());
      for (const one of tools.children) one.disabled = !recipe.hash;
    };
    draw();
    const stop = listen(model, ["recipe"], draw);
    return () => {
      stop();
      close();
      panel.remove();
    };
  },
};
