// What the map reads of the recipe on show: its plan, its times, its bands; each is put together once per change.
import { readPatched } from "./patched.js";

const NO_PLAN = { model: "", hash: "", choices: [], flows: [], kernels: [], emulated: [], refusals: [], casts: [] };
const NO_BANDS = { ops: [], words: [] };

/** The plan with its casts as one list, each with the number of the op that makes its tensor, -1 for an input. */
export function readPlan(value) {
  const plan = { ...NO_PLAN, ...value };
  return { ...plan, casts: plan.casts.flatMap((row, at) => row.map((cast) => ({ ...cast, source: at - 1 }))) };
}

/** A function that reads a trait and what has changed since: the same value again as long as neither is another. */
function kept(model, name, read) {
  let seen = [];
  let value = null;
  return () => {
    const now = [model.get(name), model.get(`${name}_since`)];
    if (now[0] !== seen[0] || now[1] !== seen[1]) {
      seen = now;
      value = null;
    }
    value ??= read(readPatched(...now));
    return value;
  };
}

/** `plan()`; `times()`, each op's measured time or null; `bands()`, each op's band or null and the words that they name. */
export function recipeReader(model) {
  return {
    plan: kept(model, "plan", readPlan),
    times: kept(model, "times", (value) => value?.ops || []),
    bands: kept(model, "bands", (value) => ({ ...NO_BANDS, ...value })),
  };
}
