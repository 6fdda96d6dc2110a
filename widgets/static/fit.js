// Words above an experiment; and its figures follow the panel's width. Plotly asks for its size only when the window
// changes, and takes 700 pixels for a figure that is drawn before it has a place.
export default {
  render({ model, el }) {
    const words = document.createElement("p");
    words.className = "px-about";
    words.textContent = model.get("about");
    el.replaceChildren(words);
    let frame = 0;
    const fit = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
    };
    const watch = new ResizeObserver(fit);
    watch.observe(el);
    document.addEventListener("plotlywidget-after-render", fit);
    return () => {
      cancelAnimationFrame(frame);
      watch.disconnect();
      document.removeEventListener("plotlywidget-after-render", fit);
    };
  },
};
