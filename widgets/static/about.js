// Words above an experiment.
export default {
  render({ model, el }) {
    const words = document.createElement("p");
    words.className = "px-about";
    words.textContent = model.get("about");
    el.replaceChildren(words);
  },
};
