/** Grids of numbers on coloured cells, as elements. */

import { colour, css, textOn } from "./colours.js";
import { element } from "./dom.js";
import { short } from "./numbers.js";
import { largest } from "./tensor.js";

const MOST = 81; // cells that are written as numbers; larger grids are coloured only
const NARROW = 420; // of these, more than so many have cells of few pixels

/** Make a grid {label, rows, columns, values, outside, links, mark, ink}. on(subject): a click. */
export function numberGrid(grid, theme, on) {
  const { label, rows, columns, values } = grid;
  const shown = values.length <= MOST ? written(grid, theme, on) : coloured(grid, theme, on);
  return element(
    "figure",
    { class: "grid" },
    shown,
    element(
      "figcaption",
      {},
      `${label}`,
      element("span", { class: "only-heard" }, ` ${rows} by ${columns}`),
    ),
  );
}

function written({ label, rows, columns, values, outside, links, mark, ink }, theme, on) {
  const most = ink ? 1 : largest(values) || 1;
  const cells = values.map((value, i) => {
    const rgb = colour(theme, ink ? "ink" : "signed", value, most);
    const subject = links?.[i];
    const cell = element(
      subject ? "button" : "span",
      {
        type: subject ? "button" : null,
        class: `cell${outside?.[i] ? " outside" : ""}${i === mark ? " mark" : ""}`,
        tabindex: subject ? -1 : null,
        onclick: subject ? () => on(subject) : null,
      },
      outside?.[i] ? "" : short(value),
    );
    if (!outside?.[i]) {
      cell.style.backgroundColor = css(rgb);
      cell.style.color = textOn(rgb);
    }
    return cell;
  });
  const box = element("div", { class: "cells", role: "group", "aria-label": label }, cells);
  box.style.gridTemplateColumns = `repeat(${columns}, var(--cell))`;
  return rove(box, columns);
}

/** One of the cells that can be clicked is reached by Tab, the others by the arrow keys. */
function rove(box, columns) {
  const cells = [...box.children];
  const first = cells.find((cell) => cell.tagName === "BUTTON");
  if (first) first.tabIndex = 0;
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const next = by && cells[cells.indexOf(event.target) + by];
    if (!next || next.tagName !== "BUTTON") return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  return box;
}

function coloured({ label, rows, columns, values, links, ink }, theme, on) {
  const most = ink ? 1 : largest(values) || 1;
  const canvas = element("canvas", {
    class: "many",
    width: columns,
    height: rows,
    role: "img",
    "aria-label": `${label}, ${values.length} numbers`,
  });
  const context = canvas.getContext("2d");
  const data = context.createImageData(columns, rows);
  values.forEach((value, i) =>
    data.data.set([...colour(theme, ink ? "ink" : "signed", value, most), 255], 4 * i),
  );
  context.putImageData(data, 0, 0);
  canvas.style.width = `${columns * (values.length > NARROW ? 5 : 9)}px`;
  if (links)
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
      const subject = links[Math.min(rows - 1, row) * columns + Math.min(columns - 1, column)];
      if (subject) on(subject);
    });
  return canvas;
}
