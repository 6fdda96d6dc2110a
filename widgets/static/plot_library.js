// Plotly, once per page: the first plot fetches it, all others wait for the same one, for as long as it takes.

const SLOT = "precisionExplorerPlotly";
const TAIL = "\nexport default globalThis.Plotly;";

/**
 * The page's plotly. `fetchIt` resolves with the library; it is called only where nobody has it or waits for it. A plot
 * whose own fetch fails says so; one that waited for another's then fetches for itself.
 */
export async function plotlyOnce(fetchIt, page = globalThis) {
  for (;;) {
    const mine = !page[SLOT];
    if (mine) page[SLOT] = fetchIt();
    const waited = page[SLOT];
    try {
      return await waited;
    } catch (error) {
      if (page[SLOT] === waited) delete page[SLOT];
      if (mine) throw error;
    }
  }
}

/** Evaluates plotly.min.js, gzipped, as a module; a plotly that others put on the page keeps its name. */
export async function evaluate(bytes) {
  const others = globalThis.Plotly;
  const code = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  const address = URL.createObjectURL(new Blob([code, TAIL], { type: "text/javascript" }));
  try {
    return (await import(address)).default;
  } finally {
    URL.revokeObjectURL(address);
    if (others) globalThis.Plotly = others;
  }
}
