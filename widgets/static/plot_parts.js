// What a plot makes of its figure and of plotly's events. Pure.

const INK = "#22262d";
const PAPER = "#ffffff";

/** The figure as it is saved: dark on white whatever the page's theme, for a transparent one vanishes in a document. */
export function onPaper(figure) {
  const layout = { ...figure.layout, paper_bgcolor: PAPER, plot_bgcolor: PAPER, font: { ...figure.layout.font, color: INK } };
  return { data: figure.data, layout };
}

const TYPE = 12;
/** What is a length on the screen, by the name of what holds it. */
const LENGTHS = { layout: ["height"], margin: ["l", "r", "t", "b"], font: ["size"], tickfont: ["size"], marker: ["size"], line: ["width"] };

/** The figure with its type, marks, lines and height so many times as large; where its values lie stays. */
export function enlarged(figure, by) {
  if (by === 1) return figure;
  const times = (size) => (Array.isArray(size) ? size.map(times) : typeof size === "number" ? size * by : size);
  const grown = (part, name) => {
    if (Array.isArray(part)) return part.map((each) => grown(each, name));
    if (!part || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, each]) => [key, (LENGTHS[name] || []).includes(key) ? times(each) : grown(each, key)]));
  };
  const layout = { ...figure.layout, font: { size: TYPE, ...figure.layout.font } };
  return { ...figure, data: grown(figure.data, "data"), layout: grown(layout, "layout") };
}

/** Of the size of type, how wide a letter is on average. */
const LETTER = 0.56;
/** Pixels that an x axis leaves to the y axis: its numbers and its title. */
const BESIDE = 60;

/** Words in lines of at most so many letters; parted before a bracket first; a longer word stays whole. */
export function wrapped(text, most) {
  const parted = text.split("<br>").flatMap((line) => (line.length > most ? line.replace(" (", "<br>(").split("<br>") : [line]));
  const lines = parted.map((line) => line.split(" ").reduce((parts, word) => {
    const last = parts[parts.length - 1];
    return last && last.length + 1 + word.length <= most ? [...parts.slice(0, -1), `${last} ${word}`] : [...parts, word];
  }, []).join("<br>"));
  return lines.join("<br>");
}

/** The figure with the titles of its x axes in lines that fit into a plot so many pixels wide: plotly cuts them off. */
export function fitted(figure, width) {
  const size = (figure.layout.font?.size || TYPE) * 1.2;
  const most = Math.floor((width - BESIDE) / (LETTER * size));
  const fit = ([name, part]) => [name, /^xaxis\d*$/.test(name) && part.title?.text ? { ...part, title: { ...part.title, text: wrapped(part.title.text, most) } } : part];
  return { ...figure, layout: Object.fromEntries(Object.entries(figure.layout).map(fit)) };
}

/** The titles of a figure's axes, as one text. */
export function titlesOf({ layout }) {
  return JSON.stringify(Object.values(layout).map((part) => part?.title?.text));
}

/** What the point stands for that a click hit: the text that it carries; null where it carries none. */
export function clickOf(event) {
  const hit = event && event.points && event.points[0];
  return hit && typeof hit.customdata === "string" ? hit.customdata : null;
}
