/** The network from left to right: a column a stage, arrows with shapes between them. */

import { element } from "./dom.js";
import { cellAtSpot, classWidth, columnWidth, fit } from "./layout.js";
import { number, percent, shapeText } from "./numbers.js";
import { place } from "./tensor.js";
import { tiles } from "./tiles.js";

/** What a stage's shape means, for people who hear the page. */
function described(stage) {
  const { shape, name } = stage;
  if (shape.length === 3) return `${name}: ${shape[0]} maps of ${shape[1]} by ${shape[2]}`;
  return `${name}: ${shape[0]} numbers`;
}

const FEW = 6; // digits of agreement; rounding leaves more, a mistake fewer
const KERNELS = "the kernels of";

/**
 * Build the network's columns. on: {point(subject), leave(), pin(subject), unpin(), label(k),
 * step(k, by)}; a subject is {k, cell, weight} or {k, about: "shape" | "scale" | "digits" | "loss"}.
 *
 * Returns {element, lay(width, height), set(view), draw(view)}.
 */
export function network(info, on) {
  const { classes } = info;
  const stages = info.stages.map((stage) => ({ ...stage, classes }));
  const columns = stages.map((stage, k) => column(stage, k));
  const root = element(
    "div",
    { class: "network", role: "group", "aria-label": "Network" },
    columns.map(({ root }) => root),
  );

  function column(stage, k) {
    const maps = canvasOf(stage.shape, k, null, described(stage));
    const w = stage.word === "conv" ? stage.weights.w : null;
    const kernels = w && canvasOf(w.shape, k, "w", `${KERNELS} ${described(stage)}`);
    const shape =
      k > 0 &&
      element(
        "button",
        {
          type: "button",
          class: "shape",
          tabindex: -1,
          "aria-label": `shape ${stages[k - 1].shape.join(" by ")}`,
          onclick: () => on.pin({ k: k - 1, about: "shape" }),
        },
        shapeText(stages[k - 1].shape),
      );
    const scale = element("button", {
      type: "button",
      class: "most",
      tabindex: -1,
      onclick: () => on.pin({ k, about: "scale" }),
    });
    const digits = element("button", {
      type: "button",
      class: "digits",
      tabindex: -1,
      onclick: () => on.pin({ k, about: "digits" }),
    });
    const rows = stage.word === "softmax" ? probabilityRows() : null;
    const name = element("span", { class: "name" }, stage.name);
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    const root = element(
      "div",
      { class: "stage", "data-stage": stage.name, "data-word": stage.word },
      k > 0 && element("div", { class: "arrow" }, shape, arrowLine()),
      element("div", { class: "head" }, name),
      element(
        "div",
        { class: "body" },
        kernels && kernels.canvas,
        maps.canvas,
        rows && rows.element,
      ),
      element("div", { class: "legend" }, bar, scale, digits),
    );
    return { root, maps, kernels, shape, scale, digits, rows, stage, k };
  }

  function canvasOf(shape, k, weight, label) {
    const tile = tiles(shape);
    const { canvas } = tile;
    canvas.tabIndex = k === 0 && !weight ? 0 : -1;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "grid of numbers");
    canvas.setAttribute("aria-label", label);
    canvas.dataset.stage = stages[k].name;
    canvas.dataset.weight = weight ?? "";
    let at = 0; // the cell that the keyboard is on
    const subject = (cell) => ({ k, cell, weight });
    const point = (event) => {
      const cell = tile.cellAt(event);
      if (cell !== null) on.point(subject((at = cell)));
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerleave", () => on.leave());
    canvas.addEventListener("click", (event) => {
      const cell = tile.cellAt(event);
      if (cell !== null) on.pin(subject((at = cell)));
    });
    canvas.addEventListener("focus", () => {
      for (const other of root.querySelectorAll("canvas[role]")) other.tabIndex = -1;
      canvas.tabIndex = 0;
      if (canvas.matches(":focus-visible")) on.point(subject(at));
    });
    canvas.addEventListener("keydown", (event) => {
      const next = moved(tile.grid, at, event.key);
      if (next !== null) on.point(subject((at = next)));
      else if (event.key === "Enter" || event.key === " ") on.pin(subject(at));
      else if (event.key === "[" || event.key === "]") step(canvas, event.key === "]" ? 1 : -1);
      else return;
      event.preventDefault();
    });
    return tile;
  }

  /** Move the focus to the next or previous canvas. */
  function step(canvas, by) {
    const all = [...root.querySelectorAll("canvas[role]")];
    const next = all[all.indexOf(canvas) + by];
    if (next) next.focus({ focusVisible: true });
  }

  function probabilityRows() {
    const rows = classes.map((name, label) => {
      const fill = element("span", { class: "fill" });
      const value = element("span", { class: "value" });
      const button = element(
        "button",
        { type: "button", class: "class", onclick: () => on.label(label) },
        element("span", { class: "class-name" }, name),
        element("span", { class: "track", "aria-hidden": "true" }, fill),
        value,
      );
      return { button, fill, value };
    });
    return {
      element: element(
        "div",
        { class: "classes" },
        rows.map((r) => r.button),
      ),
      rows,
    };
  }

  /** Choose sizes for a room of width x height. */
  function lay(width, height) {
    const { gap, grids, wraps, u } = fit(stages, width, height);
    root.classList.toggle("wraps", wraps);
    root.style.setProperty("--gap", `${gap}px`);
    columns.forEach(({ root, maps, kernels, rows, stage }, k) => {
      maps.lay(grids[k].maps);
      if (kernels) kernels.lay(grids[k].kernels);
      root.style.setProperty("--column", `${columnWidth(stage, grids[k])}px`);
      const { cell, spread } = grids[k].maps;
      if (rows) {
        rows.element.style.setProperty("--row", `${cell + spread}px`);
        rows.element.style.width = `${classWidth(classes)}px`;
      }
    });
    return { u, wraps };
  }

  /** Take the numbers of a view {look, mode, label, theme, pen}. */
  function set({ look, mode, label, theme }) {
    columns.forEach(({ maps, kernels, scale, digits, rows, root, k }) => {
      const stage = look.stages[k];
      const backward = mode === "backward" && stage.auto !== null;
      const values = backward ? stage.auto : stage.values;
      const kind = k === 0 && !backward ? "ink" : "signed";
      const most = kind === "ink" ? 1 : scaleOf(values);
      maps.set(values, kind, most, theme);
      root.classList.toggle("ink", kind === "ink");
      const text = kind === "ink" ? "0 to 1" : `\u00b1${number(most, 3)}`;
      if (scale.textContent !== text) scale.textContent = text;
      if (kernels) {
        const w = stage.weights.w;
        const shown = backward ? w.auto : w.values;
        kernels.set(shown, "signed", scaleOf(shown), theme);
      }
      const agreed = backward && stage.digits !== null ? digitsText(stage.digits) : "";
      if (digits.textContent !== agreed) digits.textContent = agreed;
      digits.classList.toggle("few", agreed !== "" && stage.digits < FEW);
      if (rows)
        rows.rows.forEach(({ button, fill, value }, i) => {
          const p = look.probabilities[i];
          fill.style.transform = `scaleX(${p})`;
          value.textContent = percent(p);
          button.setAttribute("aria-pressed", String(i === label));
          button.setAttribute("aria-label", `${classes[i]}, ${percent(p)}; take as label`);
        });
    });
    root.dataset.mode = mode;
  }

  /** Draw all canvases of a view {colours, boxes, subject, mode, look}. */
  function draw({ colours, boxes, subject, mode, look }) {
    columns.forEach(({ maps, kernels, k }) => {
      const here = subject && subject.k === k && subject.cell !== undefined;
      maps.draw({
        ...colours,
        box: here && !subject.weight ? null : (boxes?.[k] ?? null),
        cursor: here && !subject.weight ? subject.cell : null,
        dots:
          mode === "backward"
            ? look.stages[k].ties?.map((tie, i) => tie && look.stages[k].auto?.[i] !== 0)
            : null,
      });
      if (kernels) {
        const box = subject && kernelBox(stages[k], subject, k);
        kernels.draw({
          ...colours,
          box: box && kernelCells(stages[k].weights.w.shape, box),
          cursor: here && subject.weight === "w" ? subject.cell : null,
        });
      }
    });
  }

  return { element: root, lay, set, draw, columns };
}

/** The label of a tile's digits, which says so where the two paths disagree. */
function digitsText(digits) {
  const whole = Math.floor(digits);
  return digits < FEW ? `only ${whole} digit${whole === 1 ? "" : "s"}` : `${whole} digits`;
}

/** The value of the last colour; 1 where all numbers are zero. */
export function scaleOf(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most || 1;
}

/** The filter whose kernels a cell of the convolution's output uses. */
function kernelBox(stage, subject, k) {
  if (subject.k !== k || subject.weight || subject.cell === undefined) return null;
  return place(stage.shape, subject.cell)[0];
}

/** The box, in maps of the kernels' grid, of a filter's kernels. */
function kernelCells([, channels, height, width], filter) {
  return [
    [filter * channels, (filter + 1) * channels - 1],
    [0, height - 1],
    [0, width - 1],
  ];
}

/** The cell that a key moves to, null for other keys. */
export function moved(grid, cell, key) {
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
  const count = grid.vector ?? grid.maps * grid.height * grid.width;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const all = grid.height * grid.width;
  if (key === "PageDown" && !grid.vector) return Math.min(count - all + (cell % all), cell + all);
  if (key === "PageUp" && !grid.vector) return cell >= all ? cell - all : cell;
  if (!by) return null;
  const [map, row, column] = grid.vector
    ? [0, cell % grid.height, Math.floor(cell / grid.height)]
    : place([grid.maps, grid.height, grid.width], cell);
  const down = Math.floor(map / grid.columns) * grid.height + row + by[0];
  const right = (map % grid.columns) * grid.width + column + by[1];
  if (down < 0 || right < 0 || right >= grid.columns * grid.width) return cell;
  const next = Math.floor(down / grid.height) * grid.columns + Math.floor(right / grid.width);
  if (next >= grid.maps) return cell;
  return cellAtSpot(grid, [next, down % grid.height, right % grid.width]) ?? cell;
}

function arrowLine() {
  return element(
    "svg:svg",
    {
      class: "line",
      viewBox: "0 0 40 10",
      preserveAspectRatio: "xMaxYMid slice",
      "aria-hidden": "true",
    },
    element("svg:path", {
      d: "M2 5H37M32.5 1.5 37 5l-4.5 3.5",
      "vector-effect": "non-scaling-stroke",
    }),
  );
}
