// The top bar: which model, on what, with which data; presets, undo, and the running job.
import { complain, dress, h, line, listen, markPage, pageOf, put } from "./shared.js";

function build(ask) {
  const go = (type, fields) => () => ask(type, typeof fields === "function" ? fields() : fields);
  const model = h("select", { class: "px-model", "data-testid": "model", "aria-label": "model", onchange: () => ask("open", { model: model.value }) });
  const preset = h("select", { "data-testid": "preset", "aria-label": "preset recipe", onchange: () => preset.value && ask("preset", { name: preset.value }) });
  const button = (id, text, type, label) => h("button", { class: "px-btn", type: "button", "data-testid": id, title: label, onclick: go(type) }, text);
  const bar = h("span", { class: "px-bar" }, h("i"));
  const text = h("span", { class: "px-sub" });
  const progress = h("span", { class: "px-progress", role: "status", "data-testid": "job-progress" }, text, bar);
  return {
    model, preset, bar, text, progress,
    device: h("span", { class: "px-chip", "data-testid": "device" }), data: h("span", { class: "px-chip", "data-testid": "data" }),
    undo: button("undo", "\u21b6 Undo", "undo", "Undo (Ctrl+Z)"), redo: button("redo", "\u21b7 Redo", "redo", "Redo (Ctrl+Shift+Z)"),
    measure: button("measure", "Measure", "measure", "Measure what is missing for this recipe"), cancel: button("job-cancel", "Cancel", "cancel", "Stop the running job"),
  };
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
  options(parts.preset, [["", top.presets.length ? "Preset: own choice" : "Preset"], ...top.presets.map((name) => [name, name])], top.preset || "");
  put(parts.device, "text", top.device);
  put(parts.data, "text", top.data);
  parts.device.hidden = !top.device;
  parts.data.hidden = !top.data;
  parts.preset.disabled = !top.ready;
  parts.undo.disabled = !top.can_undo;
  put(parts.undo, "title", top.undo || "Undo (Ctrl+Z)");
  parts.redo.disabled = !top.can_redo;
}

function drawJob(parts, job, { ready, missing, recorded }) {
  const busy = job.state === "running" || job.state === "cancelling";
  put(parts.progress, "data-state", job.state);
  const share = job.total > 0 ? Math.min(1, job.done / job.total) : null;
  const percent = busy && share !== null ? ` ${Math.round(100 * share)} %` : "";
  put(parts.text, "text", busy ? `${job.text}${percent}` : recorded ? "recorded: nothing runs here" : ready && !missing ? "all numbers measured" : job.text);
  put(parts.text, "title", parts.text.textContent);
  put(parts.bar, "class", `px-bar${busy && share === null ? " px-unknown" : ""}`);
  parts.bar.hidden = !busy;
  parts.bar.firstChild.style.width = share === null ? "" : `${100 * share}%`;
  parts.cancel.hidden = !busy;
  parts.cancel.disabled = job.state === "cancelling";
  parts.measure.hidden = busy || !missing;
}

export default {
  render({ model, el }) {
    dress(el, "top");
    const { ask: send, close } = line(model, el);
    const ask = (type, fields) => send(type, fields).catch((error) => {
      complain(el, error);
      draw();
    });
    const parts = build(ask);
    const bar = h("div", { class: "px-topbar" }, parts.model, parts.device, parts.data, parts.preset, parts.undo, parts.redo,
      h("span", { class: "px-job" }, parts.progress, parts.measure, parts.cancel));
    el.append(bar);
    const draw = () => {
      const top = model.get("top");
      drawBar(parts, top);
      drawJob(parts, model.get("job"), top);
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
    });
    draw();
    markPage(el, { "data-testid": "page", "data-lm-suppress-shortcuts": "true" });
    const stop = listen(model, ["top", "job"], draw);
    return () => {
      stop();
      close();
      cancelAnimationFrame(frame);
      if (page) page.removeEventListener("keydown", keys);
      bar.remove();
    };
  },
};
