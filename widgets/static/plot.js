// A plotly figure: drawn when it has a place, as wide as that, and saved as a picture, a page or a table.
import { evaluate, plotlyOnce } from "./plot_library.js";
import { clickOf, enlarged, fitted, onPaper, titlesOf } from "./plot_parts.js";
import { keepStill } from "./plot_still.js";
import { dress, h, line, listen, put } from "./shared.js";

const CONFIG = {
  displaylogo: false, responsive: false, doubleClick: "reset",
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const SAVES = [
  ["png", "PNG", "a picture, twice as fine as the screen"],
  ["svg", "SVG", "a drawing that stays sharp at any size"],
  ["html", "HTML", "a page of its own that zooms and hovers without a connection, 5 MB"],
  ["csv", "data", "the table behind the plot, as CSV"],
];
const TYPES = { html: "text/html", csv: "text/csv" };

/** Offers bytes as a file. */
function download(name, part, type) {
  const address = URL.createObjectURL(new Blob([part], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

export default {
  render({ model, el }) {
    dress(el, "plotview");
    const { ask, close } = line(model, el);
    let plotly = null;
    let width = 0;
    let titles = "";
    let abandon = null;
    let gone = false;
    const abandoned = new Promise((_, reject) => { abandon = () => reject(new Error("the plot was closed")); });
    abandoned.catch(() => {});
    const words = h("span", { class: "px-sub", role: "status" });
    const again = h("button", { class: "px-btn", type: "button", text: "Try again", onclick: () => start() });
    const box = h("div", { class: "px-plot", "data-testid": "plot" });
    const saves = SAVES.map(([kind, text, title]) => h("button", { class: "px-save", type: "button", title, "data-testid": `save-${kind}`, onclick: () => save(kind), text }));
    const foot = h("div", { class: "px-plot-foot" }, words, again, h("span", { class: "px-space" }), h("span", { class: "px-sub", text: "save as" }), saves);
    el.append(box, foot);

    const say = (state, text = "") => {
      put(box, "data-state", state);
      put(words, "text", text);
      again.hidden = state !== "failed";
      saves.forEach((button) => { button.disabled = !plotly; });
    };
    const fetchIt = () => Promise.race([ask("library", {}, true), abandoned]).then((reply) => evaluate(reply.buffers[0]));
    const figure = () => JSON.parse(model.get("drawn"));
    // In an enlarged page a plot keeps the window's pixels, in which plotly reads the mouse; what is in it grows.
    const scale = () => Number(getComputedStyle(document.body).getPropertyValue("--px-zoom")) || 1;
    const fit = () => fitted(enlarged(figure(), scale()), width);

    const draw = async () => {
      if (!plotly || !width || gone) return;
      const now = fit();
      const fresh = !box.on;
      titles = titlesOf(now);
      await plotly.react(box, now.data, now.layout, CONFIG);
      if (gone) plotly.purge(box);
      else if (fresh) box.on("plotly_click", clicked);
      if (!gone) say("ready");
    };
    const failing = (run) => async (...given) => {
      try {
        await run(...given);
      } catch (error) {
        if (!gone) say("failed", `This plot could not be drawn: ${error.message}`);
      }
    };
    const start = failing(async () => {
      say("drawing", "drawing\u2026");
      plotly = await plotlyOnce(fetchIt);
      await draw();
    });
    const redraw = failing(draw);
    const clicked = (event) => {
      const of = model.get("takes_clicks") && clickOf(event);
      if (of) ask("click", { of }).catch((error) => put(words, "text", error.message));
    };
    const save = async (kind) => {
      const name = model.get("name");
      put(words, "text", `saving ${kind.toUpperCase()}\u2026`);
      try {
        if (TYPES[kind]) download(`${name}.${kind}`, (await ask(kind, {}, true)).buffers[0], TYPES[kind]);
        else await plotly.downloadImage(onPaper(figure()), { format: kind, filename: name, width: box.offsetWidth, height: box.offsetHeight, scale: 2 });
        put(words, "text", "");
      } catch (error) {
        put(words, "text", `It could not be saved: ${error.message}`);
      }
    };

    const watch = new ResizeObserver(() => {
      const before = width;
      width = Math.round(box.offsetWidth);
      if (!plotly || !width || width === before) return;
      // What a person zoomed to stays as long as the titles need no other lines.
      if (box.on && titlesOf(fit()) === titles) plotly.Plots.resize(box);
      else redraw();
    });
    watch.observe(box);
    const still = keepStill(box, redraw);
    const stop = listen(model, ["drawn"], still.change);
    const present = new MutationObserver(() => redraw());
    present.observe(document.body, { attributes: true, attributeFilter: ["data-px-present"] });
    start();
    return () => {
      gone = true;
      abandon();
      watch.disconnect();
      present.disconnect();
      stop();
      still.stop();
      close();
      if (plotly) plotly.purge(box);
      box.remove();
      foot.remove();
    };
  },
};
