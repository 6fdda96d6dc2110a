// The fields of the load panel: a label over a control, a choice of one, a file that is sent as soon as it is chosen.
import { refusalOfFile, sizeWords } from "./load_words.js";
import { sendFile } from "./load_upload.js";
import { h, put } from "./shared.js";

/** A label over its control, with a sentence below where there is one. */
export function loadField(text, control, about = "") {
  return h("label", { class: "px-load-field" }, h("span", { text }), control, about && h("span", { class: "px-sub", text: about }));
}

/** A heading over what is more than one control. */
export function loadGroup(text, control, about = "") {
  return h("div", { class: "px-load-field" }, h("span", { text }), control, about && h("span", { class: "px-sub", text: about }));
}

/** A text field that writes itself into the form. */
export function textInput(form, name, id, changed, attributes = {}) {
  const input = h("input", { class: "px-input", type: "text", "data-testid": id, spellcheck: "false", autocomplete: "off", ...attributes });
  input.value = form[name];
  input.addEventListener("input", () => {
    form[name] = input.value;
    changed(false);
  });
  return input;
}

/** A choice of one from [[value, text], ...] that writes itself into the form. */
export function selectInput(form, name, id, entries, changed) {
  const select = h("select", { "data-testid": id }, entries.map(([value, text]) => h("option", { value, text })));
  select.value = form[name];
  select.addEventListener("change", () => {
    form[name] = select.value;
    changed(true);
  });
  return select;
}

const there = (name, size) => `${name}, ${sizeWords(size)}: ready`;

/**
 * A file for one role, sent at once in pieces. `files` gives what the kernel has; it lives as long as the panel, so that
 * a file that is on its way survives another tab's being shown.
 */
export function fileInput(ask, offer, role, accept, label) {
  const input = h("input", { type: "file", accept, "data-testid": `load-file:${role}`, "aria-label": label });
  const choose = h("label", { class: "px-btn px-load-choose" }, "Choose\u2026", input);
  const words = h("span", { class: "px-sub", role: "status", "data-testid": `load-sent:${role}` });
  const bar = h("span", { class: "px-bar", hidden: true }, h("i"));
  const element = h("div", { class: "px-load-file" }, choose, bar, words);
  let turn = 0;
  const say = (text, bad) => {
    put(words, "text", text);
    put(words, "data-tone", bad ? "bad" : null);
  };
  const send = async (file) => {
    const mine = (turn += 1);
    const refused = refusalOfFile(role, file.name, file.size, offer);
    if (refused) {
      say(refused, true);
      return;
    }
    bar.hidden = false;
    say(`sending ${file.name}\u2026`);
    const told = (have) => {
      if (mine !== turn) return;
      bar.firstChild.style.width = `${(100 * have) / file.size}%`;
      say(have < file.size ? `sending ${file.name}: ${sizeWords(have)} of ${sizeWords(file.size)}` : there(file.name, file.size));
    };
    try {
      await sendFile(ask, role, file, told, () => mine !== turn);
    } catch (error) {
      if (mine === turn) say(error.message, true);
    }
    if (mine === turn) bar.hidden = true;
  };
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) send(file);
    input.value = "";
  });
  const draw = (files) => {
    const held = files[role];
    put(element, "data-held", held && held.whole ? held.name : "");
    if (held && held.whole) say(there(held.name, held.size));
    else if (!held && bar.hidden && words.dataset.tone !== "bad") say(`no ${label} yet`);
  };
  return { element, draw, sending: () => !bar.hidden };
}
