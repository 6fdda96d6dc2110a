// A value of many rows that crossed as a whole and what differs from it. Pure.

/** The value: `whole` is {version, value}; `since` names rows by number; nothing where neither has come. */
export function readPatched(whole, since) {
  const value = whole?.value;
  if (!value) return null;
  if (!since || since.version !== whole.version) return value;
  const merged = { ...value, ...since.rest };
  for (const [name, [places, rows]] of Object.entries(since.rows)) {
    merged[name] = [...value[name]];
    places.forEach((place, at) => { merged[name][place] = rows[at]; });
  }
  return merged;
}
