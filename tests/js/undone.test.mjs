import assert from "node:assert/strict";
import { test } from "node:test";
import { culpritsNote } from "../../widgets/static/culprits_rows.js";
import { findingsNote, previewWords } from "../../widgets/static/findings_rows.js";
import { noteOf } from "../../widgets/static/search_words.js";
import { undone } from "../../widgets/static/undone.js";

const ENDED = "the session ended before this was finished";

test("nothing waits in a session that ended, and what is known stays", () => {
  for (const [note, state] of [[noteOf, "waiting"], [noteOf, "verifying"], [culpritsNote, "waiting"], [findingsNote, "waiting"], [findingsNote, "opening"]]) {
    assert.equal(note(undone({ state, rows: [] }, "ended")), ENDED);
  }
  assert.match(noteOf(undone({ state: "waiting" }, "lost")), /^the connection was lost/);
  const found = undone({ state: "ready", rows: [{ title: "x", remedies: [{ state: "waiting", words: "y" }, { state: "ready", words: "z" }] }] }, "ended");
  assert.deepEqual([found.state, found.rows[0].title], ["ready", "x"]);
  assert.deepEqual(previewWords(found.rows[0].remedies[0]), { words: ENDED, tone: "bad" });
  assert.equal(found.rows[0].remedies[1].state, "ready");
});

test("a session that goes on is shown as it is", () => {
  const said = { state: "waiting", rows: [{ state: "waiting" }] };
  assert.equal(undone(said, ""), said);
  assert.equal(undone(undefined, "ended"), undefined);
});
