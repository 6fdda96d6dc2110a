// What every view needs: elements, requests that are always answered, and where errors show.

const REPLY_MS = 10000;
const SILENT = "No answer for 10 seconds: the session has ended, or the kernel is busy. Reload the page if this stays.";

/** An element with attributes ("on…" are listeners, "text" is its text) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element with attributes. */
export function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Writes an attribute or the text only where it differs, so that nothing is laid out or announced twice. */
export function put(element, name, value) {
  if (name === "text") {
    if (element.textContent !== value) element.textContent = value;
  } else if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Listens to several traits at once; returns the function that stops it. */
export function listen(model, names, run) {
  for (const name of names) model.on(`change:${name}`, run);
  return () => names.forEach((name) => model.off(`change:${name}`, run));
}

/** The same function, run once after a turn in which it was called, however often: several traits change at once. */
export function soon(run) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    queueMicrotask(() => {
      waits = false;
      run();
    });
  };
}

/**
 * The line to Python for one mounted view: `ask(type, fields)` resolves with the reply, rejects with its error; bytes
 * that came with the reply are its `buffers`. Silence shows a banner on the page, unless the request was `patient`; the
 * next reply takes it away. It says hello first: measuring waits for that.
 */
export function line(model, el) {
  const waiting = new Map();
  const mine = Math.random().toString(36).slice(2, 10);
  let next = 0;
  const hear = (message, buffers) => {
    const entry = message && waiting.get(message.id);
    if (!entry) return;
    waiting.delete(message.id);
    clearTimeout(entry.timer);
    silence(false);
    if (message.ok) entry.resolve({ ...message, buffers });
    else entry.reject(new Error(message.error || "the request failed and gave no reason"));
  };
  model.on("msg:custom", hear);
  const ask = (type, fields = {}, patient = false) => new Promise((resolve, reject) => {
    const id = `${mine}-${(next += 1)}`;
    const timer = patient ? 0 : setTimeout(() => {
      silence(true);
      reject(new Error(SILENT));
    }, REPLY_MS);
    waiting.set(id, { resolve, reject, timer });
    try {
      model.send({ id, type, ...fields });
    } catch (error) {
      clearTimeout(timer);
      waiting.delete(id);
      silence(true);
      reject(error);
    }
  });
  try {
    model.send({ id: `${mine}-0`, type: "hello" });
  } catch (error) {
    silence(true);
  }
  const close = () => {
    model.off("msg:custom", hear);
    waiting.forEach((entry) => clearTimeout(entry.timer));
  };
  return { ask, close };
}

export function pageOf(el) {
  return el.closest(".px-page");
}

/** The banner floats over the document, so that it is seen wherever the page is scrolled to. */
function silence(on) {
  const old = document.querySelector("body > .px-ended");
  if (!on && old) old.remove();
  if (!on || old) return;
  const close = h("button", { class: "px-x", type: "button", "aria-label": "dismiss", text: "\u00d7", onclick: () => silence(false) });
  document.body.append(h("div", { class: "px px-strip px-ended", role: "alert", "data-testid": "ended" }, h("span", { text: SILENT }), close));
}

/** Shows a failed request in the view that asked; on a page with a message banner, Python already wrote it there. */
export function complain(el, error) {
  const page = pageOf(el);
  if (error.message === SILENT || (page && page.querySelector(".px-message"))) return;
  const old = el.querySelector(":scope > .px-strip.px-error");
  if (old) old.remove();
  const close = h("button", { class: "px-x", "aria-label": "dismiss", text: "\u00d7", onclick: () => strip.remove() });
  const strip = h("div", { class: "px-strip px-error", role: "alert", "data-testid": "message" }, h("span", { text: error.message }), close);
  el.prepend(strip);
}

/** Marks the page root once it is in the document: tests and tutorials look for these. */
export function markPage(el, attributes) {
  let tries = 200;
  const mark = () => {
    const page = el.isConnected && pageOf(el);
    if (page) Object.entries(attributes).forEach(([name, value]) => put(page, name, value));
    else if ((tries -= 1) > 0 && !el.isConnected) requestAnimationFrame(mark);
  };
  mark();
}

/** Prepares a view's root element; Jupyter's own shortcuts stay out of it. */
export function dress(el, name) {
  el.classList.add("px", `px-${name}`);
  put(el, "data-lm-suppress-shortcuts", "true");
  return el;
}
