// The culprits panel: a button, and then the samples as a person can look at them.
import { answerTone, answerWords, culpritsNote, divergesWords, movedWords, whereWords } from "./culprits_rows.js";
import { mountPanel } from "./panel.js";
import { h, put } from "./shared.js";

/** A picture as it went into the model, a few pixels for each of its own. */
function pictureOf({ picture, size: [width, height, channels] }) {
  const canvas = h("canvas", { width, height, class: "px-sample", role: "img", "aria-label": "the input as a picture" });
  const pixels = Uint8Array.from(atob(picture), (character) => character.charCodeAt(0));
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    for (let colour = 0; colour < 3; colour += 1) image.data[4 * at + colour] = pixels[at * channels + (channels === 3 ? colour : 0)];
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function tokensOf({ tokens, moved, skipped }) {
  const parts = tokens.map((token, at) => (at === moved ? h("mark", { title: `position ${skipped + at}: the next token moved` }, token) : h("span", { text: token })));
  return h("span", { class: "px-tokens", "data-term": "token" }, skipped > 0 && "\u2026", parts);
}

function cardOf(row, kind, select) {
  const diverges = divergesWords(row);
  const input = row.picture ? pictureOf(row) : row.tokens ? tokensOf(row) : null;
  const where = whereWords(row);
  const op = diverges && h("button", { class: "px-btn", type: "button", title: diverges.words, text: diverges.name, onclick: () => select(row.op) });
  return h("div", { class: "px-culprit", "data-testid": `culprit:${row.sample}:${row.token}`, onclick: (event) => row.op && !event.target.closest("button") && select(row.op) },
    input, h("div", { class: "px-culprit-words" },
      h("b", { class: "px-answer", "data-tone": answerTone(row) || null, text: answerWords(row) }),
      h("span", { class: "px-sub", "data-term": "KL", text: movedWords(row, kind) }),
      op && h("span", { class: "px-sub px-diverges" }, h("span", { class: "px-explained", "data-term": "diverges at", text: "diverges at" }), " ", op),
      h("span", { class: "px-sub", text: where })));
}

function culpritsPanel(seen, send) {
  const find = h("button", { class: "px-btn", type: "button", "data-testid": "culprits-find", onclick: () => send("analyse", { topic: "culprits" }) });
  const note = h("p", { class: "px-note", role: "status" });
  const list = h("div", { class: "px-culprit-list" });
  const root = h("div", { "data-testid": "culprits" }, h("div", { class: "px-ask" }, find, note), list);
  const draw = () => {
    const found = { rows: [], ...seen.get("culprits") };
    put(root, "data-state", found.state);
    put(find, "text", found.state === "ready" ? "Find again" : "Find");
    find.disabled = found.state === "waiting" || found.state === "opening" || Boolean(found.baseline);
    put(note, "text", culpritsNote(found));
    put(note, "data-tone", found.state === "failed" ? "bad" : null);
    list.replaceChildren(...found.rows.map((row) => cardOf(row, found.kind, (op) => send("select", { ops: [op] }))));
  };
  return { root, draw, traits: ["culprits"] };
}

export default {
  render({ model, el }) {
    return mountPanel({ model, el }, "culprits", (send, seen) => culpritsPanel(seen, send));
  },
};
