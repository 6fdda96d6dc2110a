import assert from "node:assert/strict";
import test from "node:test";
import { bannerWords, verdict } from "../../widgets/static/session.js";

const well = { status: "idle", connection: "connected", disposed: false, lostMs: 0, silentMs: 0 };

test("a session that ended is told from one that is busy or out of reach", () => {
  assert.equal(verdict(well), "");
  assert.equal(verdict({ ...well, status: "busy", silentMs: 5000 }), "");
  assert.equal(verdict({ ...well, status: "busy", silentMs: 30000 }), "slow");
  for (const status of ["dead", "restarting", "autorestarting"]) assert.equal(verdict({ ...well, status, silentMs: 9000 }), "ended");
  assert.equal(verdict({ ...well, disposed: true }), "ended");
  assert.equal(verdict({ ...well, status: "unknown", connection: "connecting", lostMs: 900 }), "");
  assert.equal(verdict({ ...well, status: "unknown", connection: "connecting", lostMs: 2000 }), "lost");
  assert.equal(verdict({ ...well, status: "unknown", connection: "disconnected" }), "ended");
});

test("the banner says what happened and what to do where the page stands", () => {
  const reason = "the kernel was restarted";
  const [title, alone] = bannerWords("ended", { reason, own: true });
  assert.equal(title, "The session ended");
  assert.match(alone, /^The kernel was restarted\..*Reload opens the page as it was left/);
  assert.match(bannerWords("ended", { reason, own: false })[1], /Run the notebook's cells again/);
  assert.match(bannerWords("slow", { own: true })[1], /done as soon as it answers/);
  assert.doesNotMatch(bannerWords("slow", { own: false })[1], /ended|Reload/);
});
