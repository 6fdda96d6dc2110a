// What a session that stopped left undone: it stands still, with the reason in the place of the waiting. Pure.
const COMING = new Set(["opening", "waiting", "measuring", "verifying", "pending", "running"]);
const WHY = { ended: "the session ended before this was finished", lost: "the connection was lost before this was finished" };

/** What Python said last, with all that it waits for failed where `stopped`, "ended" or "lost", says that nothing is to come. */
export function undone(said, stopped) {
  if (!stopped || said === null || typeof said !== "object") return said;
  if (Array.isArray(said)) return said.map((part) => undone(part, stopped));
  const parts = Object.fromEntries(Object.entries(said).map(([name, part]) => [name, undone(part, stopped)]));
  return COMING.has(said.state) ? { ...parts, state: "failed", error: WHY[stopped] } : parts;
}
