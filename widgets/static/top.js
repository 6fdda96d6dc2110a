// The top bar: which model, on what, with which data; presets, undo, the running job, and ways to show the page.
import { menuButton } from "./menu.js";
import { attachPresenter } from "./presenter.js";
import { shareMenu } from "./share_menu.js";
import { complain, dress, h, line, listen, markPage, pageOf, put } from "./shared.js";
import { attachTerms } from "./terms.js";
import { newTip } from "./tip.js";
import { WORDS } from "./words.js";

const PRESENT = "Large type and few panels, for a projector (p; Escape leaves)";
const TOUR = "Five steps that show how this page works";

function build(ask) {
  const go = (type, fields) => () => ask(type, typeof fields === "function" ? fields() : fields);
  const model = h("select", { class: "px-model", "data-testid": "model", "aria-label": "model", onchange: () => ask("open", { model: model.value }) });
  const preset = h("select", { "data-testid": "preset", "aria-label": "preset recipe", title: "Presets: whole recipes to begin with", onchange: () => preset.value && ask("preset", { name: preset.value }) });
  const button = (id, text, type, label) => h("button", { class: "px-btn", type: "button", "data-testid": id, title: label, onclick: go(type) }, text);
  const arrow = (id, sign, name, label) => h("button", { class: "px-btn", type: "button", "data-testid": id, "aria-label": name, title: label, onclick: go(id) }, sign, h("span", { class: "px-wide-only", text: ` ${name}` }));
  const chip = (name) => h("span", { class: "px-chip", tabindex: "0", "data-testid": name, "data-term": name });
  const bar = h("span", { class: "px-bar" }, h("i"));
  const [text, percent] = [h("span"), h("span")];
  const words = h("span", { class: "px-sub px-job-words" }, text, percent);
  const progress = h("span", { class: "px-progress", role: "status", "data-testid": "job-progress" }, words, bar);
  return {
    model, open: openButton(), preset, bar, text, percent, words, progress,
    device: chip("device"), data: chip("data"),
    undo: arrow("undo", "\u21b6", "Undo", "Undo (Ctrl+Z)"), redo: arrow("redo", "\u21b7", "Redo", "Redo (Ctrl+Shift+Z)"),
    measure: button("measure", "Measure", "measure", "Measure what is missing for this recipe"), cancel: button("job-cancel", "Cancel", "cancel", "Stop the running job"),
  };
}

/** Opens the page's load panel, which hears of it from the page: no message, so that it works whatever the kernel does. */
function openButton() {
  const open = h("button", { class: "px-btn px-open-model", type: "button", "data-testid": "open-model", "aria-expanded": "false", title: "Open a model of a hub, a file of yours or a recorded exploration", text: "Open\u2026",
    onclick: () => pageOf(open).dispatchEvent(new CustomEvent("px-open-model")) });
  return open;
}

function options(select, entries, value) {
  const signature = JSON.stringify(entries);
  if (select.px !== signature) {
    select.px = signature;
    select.replaceChildren(...entries.map(([id, text]) => h("option", { value: id, text })));
  }
  if (select.value !== value) select.value = value;
}

function drawBar(parts, top) {
  const names = top.models.includes(top.model) || !top.model ? top.models : [top.model, ...top.models];
  options(parts.model, names.map((name) => [name, name]), top.model);
  options(parts.preset, [["", top.presets.length ? "own choice" : "Preset"], ...top.presets.map((name) => [name, name])], top.preset || "");
  put(parts.device, "text", top.device);
  put(parts.data, "text", top.data);
  parts.device.hidden = !top.device;
  parts.data.hidden = !top.data;
  parts.preset.disabled = !top.ready;
  parts.undo.disabled = !top.can_undo;
  put(parts.undo, "title", top.undo || "Undo (Ctrl+Z)");
  parts.redo.disabled = !top.can_redo;
}

/** What the bar says of a session in which nothing runs any more. */
const STOPPED = { ended: "the session ended: nothing runs", lost: "no connection: nothing is heard" };

function drawJob(parts, job, { ready, missing, recorded }) {
  const busy = job.state === "running" || job.state === "cancelling";
  put(parts.progress, "data-state", job.state);
  const share = job.total > 0 ? Math.min(1, job.done / job.total) : null;
  put(parts.percent, "text", busy && share !== null ? ` ${Math.round(100 * share)} %` : "");
  put(parts.text, "text", busy ? job.text : recorded ? "recorded: nothing runs here" : ready && !missing ? "all numbers measured" : job.text);
  put(parts.words, "title", parts.words.textContent);
  put(parts.bar, "class", `px-bar${busy && share === null ? " px-unknown" : ""}`);
  parts.bar.hidden = !busy;
  parts.bar.firstChild.style.width = share === null ? "" : `${100 * share}%`;
  parts.cancel.hidden = !busy;
  parts.cancel.disabled = job.state === "cancelling";
  parts.measure.hidden = busy || !missing;
}

/** Ways to show the page: buttons in a wide bar, one menu in a narrow one; `wish.tour()` and `wish.present()` do it. */
function buildShowing(wish) {
  const button = (id, text, title, run) => h("button", { class: "px-btn px-wide-only", type: "button", "data-testid": id, title, onclick: run, text });
  const tour = button("tour", "Tour", TOUR, () => wish.tour());
  const present = button("present", "Present", PRESENT, () => wish.present());
  const more = menuButton({ id: "more", text: "\u22ef", label: "more", title: "Tour and presenter mode" }, () => [
    { id: "more-tour", text: "Tour", about: TOUR, run: () => wish.tour(), disabled: tour.disabled },
    { id: "more-present", text: "Present", about: PRESENT, run: () => wish.present(), checked: present.getAttribute("aria-pressed") === "true" },
  ]);
  more.element.classList.add("px-narrow-only");
  return { tour, present, more, element: h("span", { class: "px-showing", hidden: true }, tour, present, more.element) };
}

/** Lets the page be toured and presented, once the bar is in one; returns the function that ends it. */
function showPage(page, showing, wish) {
  const presenter = attachPresenter(page, (on) => put(showing.present, "aria-pressed", String(on)));
  wish.tour = () => page.dispatchEvent(new CustomEvent("px-tour"));
  wish.present = () => {
    showing.more.close();
    presenter.toggle();
  };
  showing.element.hidden = false;
  return presenter.stop;
}

export default {
  render({ model, el }) {
    dress(el, "top");
    let draw = () => {};
    const { ask: send, close, stopped } = line(model, el, () => draw());
    const ask = (type, fields) => send(type, fields).catch((error) => {
      complain(el, error);
      draw();
    });
    const parts = build(ask);
    const wish = {};
    const showing = buildShowing(wish);
    const share = shareMenu(model, send);
    const together = (name, ...children) => h("span", { class: name }, children);
    const bar = h("div", { class: "px-topbar" }, together("px-which", parts.model, parts.open), together("px-facts-line", parts.device, parts.data), together("px-choosing", parts.preset, parts.undo, parts.redo),
      together("px-job", parts.progress, parts.measure, parts.cancel), share.element, showing.element);
    el.append(bar);
    const tip = newTip();
    const stops = [attachTerms(bar, WORDS, tip), tip.remove, showing.more.close, share.close];
    draw = () => {
      const top = model.get("top");
      drawBar(parts, top);
      showing.tour.disabled = !top.ready;
      const over = STOPPED[stopped()];
      drawJob(parts, over ? { state: "idle", text: over } : model.get("job"), over ? {} : top);
    };
    const keys = (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      if (/INPUT|TEXTAREA/.test(event.target.tagName)) return;
      event.preventDefault();
      ask(event.shiftKey ? "redo" : "undo");
    };
    let page = null;
    const frame = requestAnimationFrame(() => {
      page = pageOf(el) || el;
      page.addEventListener("keydown", keys);
      if (page !== el) stops.push(showPage(page, showing, wish));
    });
    draw();
    markPage(el, { "data-testid": "page", "data-lm-suppress-shortcuts": "true", role: "region", "aria-label": "Precision Explorer" });
    stops.push(listen(model, ["top", "job"], draw));
    return () => {
      stops.forEach((stop) => stop());
      close();
      cancelAnimationFrame(frame);
      if (page) page.removeEventListener("keydown", keys);
      bar.remove();
    };
  },
};
