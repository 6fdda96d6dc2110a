// What every view needs: elements, requests that are always answered, and where errors show.
import { watchOf } from "./session.js";

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
 * that came with the reply are its `buffers`. Silence shows a banner on the page, unless the request was `patient`; once
 * the session has ended every request is rejected at once, and `ended` resolves. It says hello first: measuring waits
 * for that. `turned()` is called when the session stops or goes on; `stopped()` is why nothing is to come, or "".
 */
export function line(model, el, turned = () => {}) {
  const waiting = new Map();
  const watch = watchOf(model);
  const mine = Math.random().toString(36).slice(2, 10);
  let next = 0;
  const settle = (id, how, value) => {
    const entry = waiting.get(id);
    waiting.delete(id);
    entry.done();
    entry[how](value);
  };
  const hear = (message, buffers) => {
    if (!message || !waiting.has(message.id)) return;
    if (message.ok) settle(message.id, "resolve", { ...message, buffers });
    else settle(message.id, "reject", new Error(message.error || "the request failed and gave no reason"));
  };
  let tellEnded = null;
  const ended = new Promise((resolve) => { tellEnded = resolve; });
  const stop = (error) => {
    [...waiting.keys()].forEach((id) => settle(id, "reject", error));
    if (watch.state === "ended") tellEnded();
  };
  const leave = watch.join({ el, stop, turned });
  model.on("msg:custom", hear);
  const ask = (type, fields = {}, patient = false, buffers = undefined) => new Promise((resolve, reject) => {
    if (watch.stopped) {
      reject(watch.refuse());
      return;
    }
    const id = `${mine}-${(next += 1)}`;
    waiting.set(id, { resolve, reject, done: patient ? () => {} : watch.expect() });
    try {
      model.send({ id, type, ...fields }, undefined, buffers);
    } catch (error) {
      settle(id, "reject", error);
    }
  });
  try {
    model.send({ id: `${mine}-0`, type: "hello" });
  } catch (error) {
    watch.judge();
  }
  const close = () => {
    model.off("msg:custom", hear);
    waiting.forEach((entry) => entry.done());
    leave();
  };
  return { ask, close, ended, stopped: () => (watch.stopped ? watch.state : "") };
}

export function pageOf(el) {
  return el.closest(".px-page");
}

/** Shows a failed request in the view that asked; on a page with a message banner, Python already wrote it there. */
export function complain(el, error) {
  const page = pageOf(el);
  if (error.ended || (page && page.querySelector(".px-message"))) return;
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
