// What a plot makes of its figure and of plotly's events. Pure.

const INK = "#22262d";
const PAPER = "#ffffff";

/** The figure as it is saved: dark on white whatever the page's theme, for a transparent one vanishes in a document. */
export function onPaper(figure) {
  const layout = { ...figure.layout, paper_bgcolor: PAPER, plot_bgcolor: PAPER, font: { ...figure.layout.font, color: INK } };
  return { data: figure.data, layout };
}

/** Which point of which curve a click hit, or null: `{curve, point}`. */
export function clickOf(event) {
  const hit = event && event.points && event.points[0];
  if (!hit || !Number.isInteger(hit.curveNumber) || !Number.isInteger(hit.pointNumber)) return null;
  return { curve: hit.curveNumber, point: hit.pointNumber };
}
