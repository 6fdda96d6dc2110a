// The menu that shares what is on show: a bundle, an offline page, a link, the recipe; and what came of it, in words.
import { menuButton } from "./menu.js";
import { isOwnPage } from "./session.js";
import { h, listen, put } from "./shared.js";
import { copyText, saveFile } from "./taking.js";

const FILES = { bundle: "application/octet-stream", page: "text/html" };
const HERE = /^(localhost|127\.|\[::1\])/;

/** A size as a person reads it. */
export function sizeWords(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** The link to copy, and what is to be known of it. */
export function linkOf({ origin, pathname, hostname, protocol }, query, words) {
  const own = isOwnPage({ protocol, pathname });
  if (!own) return [`?${query}`, `Copied ?${query}. A notebook has no address of its own: put this behind the address of explorer demo or of a site. ${words}`];
  const where = HERE.test(hostname) ? "It works on this machine only." : `It works for everyone who reaches ${hostname}.`;
  return [`${origin}${pathname}?${query}`, `Link copied. ${where} ${words}`];
}

/** The menu and its line of words: {element, close}. `ask` rejects with what went wrong. */
export function shareMenu(model, ask) {
  let wanted = "";
  const text = h("span");
  const hide = h("button", { class: "px-x", type: "button", "aria-label": "dismiss", text: "\u00d7", onclick: () => tell("") });
  const said = h("div", { class: "px-sharing-said", role: "status", "data-testid": "share-said", hidden: true }, text, hide);
  const tell = (words, tone = "good") => {
    put(text, "text", words);
    put(said, "data-tone", tone);
    said.hidden = !words;
  };
  // What went well lies over the page only until the next click; what failed stays until it is dismissed.
  const read = ({ target }) => said.dataset.tone !== "bad" && !said.contains(target) && tell("");
  addEventListener("pointerdown", read, true);
  const attempt = (run) => async () => {
    try {
      tell(await run());
    } catch (error) {
      tell(error.message, "bad");
    }
  };
  const begin = (what, words) => attempt(async () => {
    await ask("share", { what });
    wanted = what;
    fetchIt();
    return words;
  });
  const fetchIt = attempt(async () => {
    const share = model.get("share") || {};
    if (!wanted || share.what !== wanted) return text.textContent;
    if (share.state === "failed") {
      wanted = "";
      throw new Error(share.error);
    }
    if (share.state === "idle") wanted = "";
    if (share.state !== "ready") return wanted ? text.textContent : "";
    const what = wanted;
    wanted = "";
    const { name, buffers } = await ask("share_file", {}, true);
    saveFile(buffers[0], name, FILES[what]);
    const how = what === "bundle" ? "Open it anywhere with: explorer show" : "It opens in any browser, without network:";
    return `Saved ${name}, ${sizeWords(buffers[0].byteLength)}. ${how} ${name}`;
  });
  const link = attempt(async () => {
    const { query, words } = await ask("share_link");
    const [address, told] = linkOf(location, query, words);
    await copyText(address);
    return told;
  });
  const recipe = attempt(async () => {
    const { json, name } = await ask("recipe_json");
    saveFile(json, name, "application/json");
    return `Saved ${name}. Load it on any page of this model.`;
  });
  const menu = menuButton({ id: "share", text: "Share", label: "share", title: "Save, export or link what is on show" }, () => {
    const top = model.get("top") || {};
    const off = !top.ready;
    if (!model.widget_manager) return [
      { id: "share-file", text: "This file is the page", about: "Pass it on as it is: it opens in any browser. explorer show opens the bundle that it was made from.", disabled: true, run: () => {} },
      { line: true },
      { id: "share-recipe", text: "Recipe as JSON", about: "The choice of every op, with its reason.", disabled: off, run: recipe },
    ];
    return [
      { id: "share-bundle", text: "Save exploration (.pxb)", about: "Map, ranges and all that was measured; no weights. At most 64 MiB.", disabled: off, run: begin("bundle", "Saving the exploration\u2026") },
      { id: "share-page", text: "Export one offline page (.html)", about: "Switch, sort and filter in any browser. Takes some seconds for each recipe.", disabled: off, run: begin("page", "Exporting; the bar above says how far it is, and Cancel stops it.") },
      { line: true },
      { id: "share-link", text: "Copy link to this view", about: "This model and this recipe, as an address.", disabled: off, run: link },
      { id: "share-recipe", text: "Recipe as JSON", about: "The choice of every op, with its reason.", disabled: off, run: recipe },
    ];
  });
  const stop = listen(model, ["share"], fetchIt);
  return {
    element: h("span", { class: "px-sharing" }, menu.element, said),
    close: () => {
      stop();
      removeEventListener("pointerdown", read, true);
      menu.close();
    },
  };
}
