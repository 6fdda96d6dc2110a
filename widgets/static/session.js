// Whether the kernel behind a page still answers: watched once for all views on it, and said in one banner.
import { h, markPage, pageOf } from "./shared.js";

const TICK_MS = 1000;
const PING_AFTER_MS = 2000;
const SLOW_MS = 6000;
const LOST_MS = 1500;
const WATCHES = "precisionExplorerWatches";
const NOTEBOOKS = /\/(lab|tree|notebooks|doc|consoles|edit)(\/|$)/;
const OVER = { dead: "the kernel was shut down, or died", restarting: "the kernel was restarted", autorestarting: "the kernel died and was started anew" };
const RESTORED = "recipe, history, measured numbers and filter";

/** Whether the document is the page alone: another application's address is not ours to write or to load again. */
export function isOwnPage({ protocol, pathname }) {
  return /^https?:$/.test(protocol) && !NOTEBOOKS.test(pathname);
}

/**
 * What is to be said of a kernel: "" (nothing), "slow", "lost" or "ended". `status` and `connection` are Jupyter's words;
 * `lostMs`: how long there has been no connection; `silentMs`: how long something asked has had no answer.
 */
export function verdict({ status, connection, disposed, lostMs, silentMs }) {
  if (disposed || status in OVER || connection === "disconnected") return "ended";
  if (connection !== "connected" && lostMs >= LOST_MS) return "lost";
  return silentMs >= SLOW_MS ? "slow" : "";
}

/** The banner's words: what happened, and what to do; `own`: the page is all that its document shows. */
export function bannerWords(state, { reason, own }) {
  const again = own ? `Reload opens the page as it was left: ${RESTORED}.` : `Run the notebook's cells again: the page comes back as it was left (${RESTORED}).`;
  if (state === "ended") return ["The session ended", `${reason[0].toUpperCase()}${reason.slice(1)}. Nothing more is done here. ${again}`];
  if (state === "lost") return ["No connection to the server", `It was stopped, or the network is down. Nothing is done until it answers again. ${again}`];
  return ["No answer yet", own ? `The kernel is busy, or stuck. What you clicked is done as soon as it answers. ${again}` : "The kernel is busy, perhaps with another cell. What you clicked is done as soon as it is free."];
}

/** Why a request was not carried out: `ended` says that the banner tells already. */
function notDone(state) {
  const error = new Error(state === "lost" ? "There is no connection to the server: nothing was done." : "The session has ended: nothing was done.");
  error.ended = true;
  return error;
}

/** One kernel's watch. Members are mounted views: {el, stop(error), turned()}. */
class Watch {
  constructor(kernel) {
    this.kernel = kernel;
    this.own = isOwnPage(location);
    this.members = new Set();
    this.asked = new Set();
    this.state = "";
    this.reason = "";
    this.heard = this.pinged = 0;
    this.lostAt = kernel && kernel.connectionStatus !== "connected" ? Date.now() : 0;
    this.judge = this.judge.bind(this);
    this.signals = kernel ? [
      [kernel.statusChanged, (_, status) => this.note(OVER[status])],
      [kernel.connectionStatusChanged, (_, status) => { this.lostAt = status === "connected" ? 0 : this.lostAt || Date.now(); this.judge(); }],
      [kernel.disposed, () => this.note(OVER.dead)],
      [kernel.anyMessage, (_, { msg, direction }) => direction === "recv" && this.hear(msg)],
    ] : [];
    this.signals.forEach(([signal, slot]) => signal && signal.connect(slot));
  }

  /** Whether nothing can be asked for now. */
  get stopped() {
    return this.state === "ended" || this.state === "lost";
  }

  /** Adds a mounted view; returns the function that takes it out. */
  join(member) {
    this.members.add(member);
    if (!this.timer) this.timer = setInterval(() => this.tick(), TICK_MS);
    if (this.state) markPage(member.el, { "data-session": this.state });
    return () => {
      this.members.delete(member);
      if (this.members.size > 0) return;
      clearInterval(this.timer);
      this.timer = 0;
      this.show("");
    };
  }

  /** Notes that an answer is expected; returns the function to be called when it came. */
  expect() {
    const wait = { since: Date.now() };
    this.asked.add(wait);
    return () => this.asked.delete(wait) && this.state === "slow" && this.judge();
  }

  /** The error of what cannot be asked; the banner is shown whole again. */
  refuse() {
    if (this.banner) this.banner.removeAttribute("data-small");
    return notDone(this.state);
  }

  note(reason) {
    if (reason && !this.reason) this.reason = reason;
    this.judge();
  }

  hear({ header, content }) {
    this.heard = Date.now();
    // Our server says why a kernel is no more; Jupyter's own says only that it is.
    if (header.msg_type === "status" && content.execution_state === "dead" && content.reason) this.reason = String(content.reason);
  }

  tick() {
    const now = Date.now();
    const { kernel } = this;
    // A question that keeps no idle kernel alive. Notebooks have signals enough, and show each question as work.
    if (kernel && this.own && !this.stopped && !this.pinged && now - this.heard > PING_AFTER_MS && kernel.connectionStatus === "connected") {
      this.pinged = now;
      const done = () => { this.pinged = 0; };
      kernel.requestKernelInfo().then(done, done);
    }
    this.judge();
  }

  judge() {
    if (this.state === "ended") return this.show("ended");
    const now = Date.now();
    const pinging = this.pinged ? now - Math.max(this.pinged, this.heard) : 0;
    const asking = Math.max(0, ...[...this.asked].map((wait) => now - wait.since));
    const { status = "", connectionStatus: connection = "connected", isDisposed: disposed = false } = this.kernel || {};
    return this.turn(verdict({ status, connection, disposed, lostMs: this.lostAt ? now - this.lostAt : 0, silentMs: Math.max(pinging, asking) }));
  }

  turn(state) {
    if (state !== this.state) {
      this.state = state;
      if (state === "ended") this.end();
      this.members.forEach((member) => {
        markPage(member.el, { "data-session": state || null });
        if (this.stopped) member.stop(notDone(state));
        member.turned();
      });
      if (this.stopped) this.asked.clear();
    }
    this.show(state);
  }

  end() {
    this.reason ||= this.kernel && this.kernel.connectionStatus === "disconnected" ? "the server does not answer any more" : OVER.dead;
    this.signals.forEach(([signal, slot]) => signal && signal.disconnect(slot));
    globalThis[WATCHES].delete(this.kernel || document);
  }

  /** Draws the banner where a view of this kernel is in sight: another notebook in front is none of its business. */
  show(state) {
    const seen = state && [...this.members].some(({ el }) => el.isConnected && (pageOf(el) || el).getClientRects().length > 0);
    if (this.banner && (!seen || this.banner.dataset.state !== state)) {
      this.banner.remove();
      this.banner = null;
    }
    if (!seen || this.banner) return;
    const [title, text] = bannerWords(state, this);
    const small = () => this.banner.setAttribute("data-small", "");
    this.banner = h("div", { class: "px px-strip px-ended", role: state === "slow" ? "status" : "alert", "data-testid": "ended", "data-state": state },
      h("b", { text: title }), h("span", { text }),
      this.own && h("button", { class: "px-btn", type: "button", "data-testid": "reload", text: "Reload", onclick: () => location.reload() }),
      h("button", { class: "px-x", type: "button", "aria-label": "make this message small", text: "\u00d7", onclick: small }));
    document.body.append(this.banner);
  }
}

/** The watch of the kernel behind a view's model; without one (a recorded page) it only minds what was asked. */
export function watchOf(model) {
  const kernel = (model.widget_manager && model.widget_manager.kernel) || null;
  const watches = (globalThis[WATCHES] ||= new Map());
  const key = kernel || document;
  if (!watches.has(key)) watches.set(key, new Watch(kernel));
  return watches.get(key);
}
