/** Images of the data set to start from: the doubtful, the wrong, or all of them. */

import { colour } from "./colours.js";
import { choice, element } from "./dom.js";
import { percent } from "./numbers.js";

const best = (p) => p.indexOf(Math.max(...p));

/** Indices of images in the order of a choice; images without probabilities keep their order. */
export function ordered(images, which) {
  const all = images.map((_, i) => i);
  const judged = all.filter((i) => images[i].probabilities);
  if (which === "wrong")
    return judged.filter((i) => best(images[i].probabilities) !== images[i].label);
  if (which === "doubtful" && judged.length)
    return judged.sort(
      (a, b) => Math.max(...images[a].probabilities) - Math.max(...images[b].probabilities),
    );
  return all;
}

/**
 * Make the gallery of a network's images. choose(index): called when one is taken.
 * Returns {element, paint(theme), mark(index)}.
 */
export function gallery(info, choose) {
  const [, height, width] = info.input;
  const grid = element("div", { class: "images" });
  let [theme, which, marked] = ["light", null, null];

  function thumbnail(i) {
    const { label, probabilities, pixels } = info.images[i];
    const canvas = element("canvas", { width, height, "aria-hidden": "true" });
    const context = canvas.getContext("2d");
    const data = context.createImageData(width, height);
    for (let at = 0; at < width * height; at++)
      data.data.set([...colour(theme, "ink", pixels[at], 1), 255], 4 * at);
    context.putImageData(data, 0, 0);
    const guess = probabilities && best(probabilities);
    const text = probabilities
      ? `${info.classes[label]}, taken for ${info.classes[guess]} with ${percent(probabilities[guess])}`
      : info.classes[label];
    return element(
      "button",
      {
        type: "button",
        title: text,
        "aria-label": `Image ${i}: ${text}`,
        "data-image": i,
        class: probabilities && guess !== label ? "wrong" : null,
        onclick: () => choose(i),
      },
      canvas,
    );
  }

  function show(next) {
    which = next;
    picked.set(which);
    const found = ordered(info.images, which).map(thumbnail);
    const none = element(
      "p",
      { class: "quiet" },
      "None of the images here is taken for another class.",
    );
    grid.replaceChildren(...(found.length ? found : [none]));
    mark(marked, true);
  }

  function mark(index, shownAgain = false) {
    if (index === marked && !shownAgain) return;
    marked = index;
    for (const button of grid.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.image) === index));
  }

  const picked = choice(
    "Which images",
    [
      ["doubtful", "Doubtful", "The least certain answers first"],
      ["wrong", "Wrong", "Images taken for another class"],
      ["all", "All", "In the order of the data set"],
    ],
    show,
  );
  const root = element(
    "div",
    { class: "gallery" },
    element("div", { class: "row" }, element("h3", {}, "Images"), picked.element),
    grid,
  );
  return {
    element: root,
    mark,
    paint(next) {
      theme = next;
      show(which ?? "doubtful");
    },
  };
}
