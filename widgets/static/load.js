// The load panel: a source, what it needs, the data, and how the opening stands. Hidden until the top bar asks for it.
import { dataFields } from "./load_data.js";
import { fileInput, loadField, loadGroup, selectInput, textInput } from "./load_fields.js";
import { failureCard, openedCard, openingSteps } from "./load_status.js";
import { LOAD_TABS, NO_TORCH_HUB, choiceOf, formOf, isFolder, neededFiles, newForm, takesData } from "./load_words.js";
import { dress, h, line, listen, markPage, pageOf, put, soon } from "./shared.js";

const FILES = [
  ["weights", ".safetensors", ".safetensors file"], ["config", ".json,application/json", "config.json"],
  ["data", ".npz", ".npz file"], ["recorded", ".pxb", ".pxb file"],
];

/** What a source needs to know, by its tab. */
const SOURCE_FIELDS = {
  bundled: ({ form, offer, changed }) => [
    loadField("Model", selectInput(form, "model", "load-model", offer.models.map(({ name }) => [name, name]), changed),
      (offer.models.find(({ name }) => name === form.model) || { title: "" }).title)],
  hub: ({ form, offer, changed }) => {
    const hub = offer.hubs.find(({ key }) => key === form.hub);
    return [
      loadField("Hub", selectInput(form, "hub", "load-hub", offer.hubs.map(({ key, label }) => [key, label]), changed)),
      loadField("Name", textInput(form, "hubName", "load-name", changed, { placeholder: hub.examples, size: 34 })),
      form.hub !== "timm" && loadField(form.hub === "torchvision" ? "Weights (optional)" : "Revision (optional)",
        textInput(form, "revision", "load-revision", changed, { placeholder: form.hub === "torchvision" ? "the default ones" : "main", size: 14 })),
      hub.missing && h("p", { class: "px-load-warn", "data-testid": "load-missing" }, `The package ${hub.package} is not installed where the kernel runs: `, h("code", { text: hub.missing })),
      h("p", { class: "px-sub", text: NO_TORCH_HUB })];
  },
  local: (panel) => {
    const { form, changed } = panel;
    const path = textInput(form, "path", "load-path", changed, { placeholder: "~/models/my-model", size: 48 });
    path.addEventListener("change", () => changed(true));
    return [loadField("Path", path), !isFolder(form.path) && takesData(form) && architectureField(panel, "localArchitecture")];
  },
  upload: (panel) => [
    loadGroup("Weights", panel.files.weights.element),
    architectureField(panel, "architecture"),
    panel.form.architecture === "config.json" && loadGroup("config.json", panel.files.config.element,
      `Written beside the weights by save_pretrained. Families: ${panel.offer.families.join(", ")}.`)],
  recorded: ({ files }) => [loadGroup("File", files.recorded.element)],
};

function architectureField({ form, offer, changed }, name) {
  const entries = offer.architectures.map(([key, text]) => [key, key === "config.json" && name !== "architecture" ? "a transformers model, by the config.json beside it" : text]);
  if (name !== "architecture") entries.unshift(["", "choose\u2026"]);
  const needsName = form[name].endsWith(":");
  return h("div", { class: "px-load-pair" },
    loadField("Architecture", selectInput(form, name, "load-architecture", entries, changed)),
    needsName && loadField("Its name there", textInput(form, "architectureName", "load-architecture-name", changed, { placeholder: "resnet18", size: 24 })));
}

class LoadForm {
  constructor(model, el) {
    this.model = model;
    this.el = el;
    this.line = line(model, el, () => this.drawStanding());
    this.offer = model.get("offer");
    this.form = newForm(this.offer);
    this.changed = (whole) => (whole ? this.drawForm() : this.drawActions());
    const ask = (...message) => this.line.ask(...message);
    this.files = Object.fromEntries(FILES.map(([role, accept, label]) => [role, fileInput(ask, this.offer, role, accept, label)]));
    this.build();
  }

  build() {
    const tabs = LOAD_TABS.map(([key, title]) => h("button", { class: "px-load-tab", type: "button", role: "tab", id: `px-load-tab-${key}`, "data-testid": `load-tab:${key}`, text: title, onclick: () => this.turn(key) }));
    this.tabs = h("div", { class: "px-load-tabs", role: "tablist", "aria-label": "where the model comes from", onkeydown: (event) => this.walk(event) }, tabs);
    this.fields = h("div", { class: "px-load-fields", role: "tabpanel" });
    this.open = h("button", { class: "px-btn px-main-btn", type: "button", "data-testid": "load-open", text: "Open", onclick: () => this.ask() });
    this.wrong = h("span", { class: "px-sub", role: "status", "data-testid": "load-wrong" });
    this.status = h("div", { class: "px-load-status" });
    this.note = h("p", { class: "px-load-note", role: "status", "data-testid": "load-note" });
    const close = h("button", { class: "px-x", type: "button", "aria-label": "close this panel", "data-testid": "load-close", text: "\u00d7", onclick: () => this.show(false) });
    this.panel = h("section", { class: "px-panel", "data-testid": "load-panel", "aria-label": "Open a model", hidden: true, onkeydown: (event) => event.key === "Escape" && this.show(false) },
      h("div", { class: "px-head" }, h("b", { text: "Open a model" }), h("span", { class: "px-sub", text: "What is on show stays until the new one is ready." }), h("span", { class: "px-space" }), close),
      this.tabs, h("div", { class: "px-inside" }, this.note, this.fields, h("div", { class: "px-load-tools" }, this.open, this.wrong), this.status));
    this.account = h("div", { hidden: true });
    this.el.append(this.panel, this.account);
  }

  /** Shows or hides the panel; the focus goes where a person would look next. */
  show(on) {
    this.panel.hidden = !on;
    const button = pageOf(this.el) && pageOf(this.el).querySelector("[data-testid=open-model]");
    if (button) put(button, "aria-expanded", String(on));
    if (on) this.tabs.querySelector("[aria-selected=true]").focus();
    else if (button) button.focus();
  }

  turn(key) {
    this.form.source = key;
    // What failed was asked for elsewhere: below another source it would read as that one's.
    if (this.model.get("standing").state === "failed") this.putAway();
    this.drawForm();
    this.tabs.querySelector("[aria-selected=true]").focus();
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const keys = LOAD_TABS.map(([key]) => key);
    this.turn(keys[(keys.indexOf(this.form.source) + step + keys.length) % keys.length]);
    event.preventDefault();
  }

  async ask() {
    const { choice, wrong } = choiceOf(this.form, this.offer);
    if (wrong) {
      put(this.wrong, "text", wrong);
      return;
    }
    try {
      await this.line.ask("load", { choice });
    } catch (error) {
      put(this.wrong, "text", error.message);
    }
  }

  drawForm() {
    const { source } = this.form;
    for (const tab of this.tabs.children) {
      const chosen = tab.id === `px-load-tab-${source}`;
      put(tab, "aria-selected", String(chosen));
      put(tab, "tabindex", chosen ? "0" : "-1");
    }
    const held = document.activeElement && this.fields.contains(document.activeElement) ? document.activeElement.dataset.testid : "";
    const closed = this.offer.closed[source];
    const [, , about] = LOAD_TABS.find(([key]) => key === source);
    put(this.fields, "aria-labelledby", `px-load-tab-${source}`);
    this.fields.replaceChildren(h("p", { class: "px-load-about", text: about }),
      ...(closed ? [h("p", { class: "px-load-warn", "data-testid": "load-closed", text: closed })] : [
        h("div", { class: "px-load-source" }, SOURCE_FIELDS[source](this)),
        takesData(this.form) ? dataFields(this.form, this.offer, this.files.data, this.changed) : ""]));
    // A field that was drawn anew keeps the focus: a keyboard goes on from where it was.
    const again = held && this.fields.querySelector(`[data-testid="${held}"]`);
    if (again) again.focus();
    this.drawActions();
  }

  /** Whether Open can be pressed, and if not, why. */
  drawActions() {
    const { files, state } = this.standing();
    const opening = state === "opening" || state === "other";
    Object.values(this.files).forEach((file) => file.draw(files));
    const lacking = neededFiles(this.form, this.offer).filter((role) => !(files[role] && files[role].whole));
    const sending = lacking.some((role) => this.files[role].sending());
    const { wrong } = choiceOf(this.form, this.offer);
    this.open.disabled = opening || lacking.length > 0 || Boolean(wrong) || Boolean(this.offer.closed[this.form.source]);
    const words = { weights: "a .safetensors file", config: "its config.json", data: "a .npz file", recorded: "a .pxb file" };
    put(this.wrong, "text", opening || this.offer.closed[this.form.source] ? "" : sending ? "sending the file\u2026" : lacking.length ? `choose ${lacking.map((role) => words[role]).join(" and ")}` : wrong);
  }

  /** Where the opening stands; one that the session's end cut off is none. */
  standing() {
    const said = this.model.get("standing");
    return said.state === "opening" && this.line.stopped() ? { ...said, state: "stopped" } : said;
  }

  drawStanding() {
    const standing = this.standing();
    const progress = this.model.get("progress");
    const { state } = standing;
    if (standing.offered && this.offered !== JSON.stringify(standing.offered)) {
      this.form = formOf(this.offer, standing.offered);
      this.drawForm();
      this.panel.hidden = false;
    }
    this.offered = JSON.stringify(standing.offered);
    if (state !== this.state && state === "failed") this.panel.hidden = false;
    if (state !== this.state && state === "opened") this.panel.hidden = true;
    this.state = state;
    put(this.panel, "data-state", state);
    put(this.note, "text", standing.note);
    this.note.hidden = !standing.note;
    this.drawStatus(standing, progress);
    this.drawActions();
  }

  /** Takes away what is said of an opening that is over. */
  putAway() {
    this.line.ask("put_away").catch(() => {});
  }

  drawStatus(standing, progress) {
    const { state, model } = standing;
    const away = () => this.putAway();
    const stopped = h("p", { class: "px-sub", role: "status", "data-testid": "load-stopped", text: `Stopped.${model ? ` ${model} is still open.` : ""}` });
    const drawn = JSON.stringify([standing.failed, standing.opened, state, model, progress]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.status.replaceChildren(...[
      state === "opening" && openingSteps(progress, true, () => this.line.ask("cancel").catch(() => {})),
      state === "stopped" && stopped,
      state === "failed" && failureCard(standing.failed, model)].filter(Boolean));
    this.account.hidden = state !== "opened";
    this.account.replaceChildren(...(state === "opened" ? [openedCard(standing.opened, away), progress.ranges ? openingSteps(progress, false) : ""] : []));
  }
}

export default {
  render({ model, el }) {
    dress(el, "load");
    const form = new LoadForm(model, el);
    form.drawForm();
    form.drawStanding();
    markPage(el, { "data-load": "true" });
    const toggle = () => form.show(form.panel.hidden);
    let page = null;
    const frame = requestAnimationFrame(() => {
      page = pageOf(el);
      if (page) page.addEventListener("px-open-model", toggle);
    });
    const stop = listen(model, ["standing", "progress"], soon(() => form.drawStanding()));
    return () => {
      stop();
      cancelAnimationFrame(frame);
      form.line.close();
      if (page) page.removeEventListener("px-open-model", toggle);
      form.panel.remove();
      form.account.remove();
    };
  },
};
