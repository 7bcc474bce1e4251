/** One canvas: the cells of a stage, or of a convolution's kernels, with outlines over them. */

import { colour, css, paintRow, textOn } from "./colours.js";
import { cellAt, extent, mapCorner, outlines, spot, square } from "./layout.js";
import { short } from "./numbers.js";
import { size } from "./tensor.js";

const NUMBERS_FROM = 30; // pixels a cell needs for its number to be written into it

/**
 * Make the canvas of an array. shape: (C, H, W), (n,) or a kernel's (F, C, kh, kw).
 *
 * Returns {canvas, lay(grid), set(values, kind, most, theme), draw({boxes, cursor, dots}), cellAt}.
 * lay and set prepare; draw alone touches the canvas, once a frame.
 */
export function tiles(shape) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const images = [];
  let family = null;
  let [grid, values, kind, most, theme, ratio] = [null, null, "signed", 1, "light", 1];

  /** Take a grid; the canvas gets its size. */
  function lay(next) {
    grid = next;
    ratio = Math.max(1, window.devicePixelRatio || 1);
    const { width, height } = extent(grid);
    canvas.width = Math.round((width + 4) * ratio); // 2 pixels on each side, for outlines
    canvas.height = Math.round((height + 4) * ratio);
    canvas.style.width = `${width + 4}px`;
    canvas.style.height = `${height + 4}px`;
    images.length = 0;
    for (let m = 0; m < grid.maps; m++) {
      const image = document.createElement("canvas");
      [image.width, image.height] = [grid.width, grid.height];
      const pixels = image.getContext("2d");
      images.push({ image, pixels, data: pixels.createImageData(grid.width, grid.height) });
    }
  }

  /** Take values and how they are coloured. */
  function set(nextValues, nextKind, nextMost, nextTheme) {
    [values, kind, most, theme] = [nextValues, nextKind, nextMost, nextTheme];
    const { height, width, vector } = grid;
    images.forEach(({ pixels, data }, m) => {
      if (!vector)
        paintRow(data.data, 0, theme, kind, values, m * height * width, 1, height * width, most);
      else
        for (let row = 0; row < height; row++)
          for (let column = 0, at = row; column < width && at < vector; column++, at += height)
            paintRow(data.data, 4 * (row * width + column), theme, kind, values, at, 1, 1, most);
      pixels.putImageData(data, 0, 0);
    });
  }

  function outline(rectangles, ink, halo, thick) {
    for (const [style, width] of [
      [halo, thick + 2],
      [ink, thick],
    ]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      for (const { x, y, width: w, height: h } of rectangles) context.rect(x, y, w, h);
      context.stroke();
    }
  }

  /** Draw everything. look: {accent, paper, line} colours, box, cursor (a cell), dots (ties). */
  function draw({ accent, paper, line, box = null, cursor = null, dots = null }) {
    if (!grid || !values) return;
    context.setTransform(ratio, 0, 0, ratio, 2 * ratio, 2 * ratio);
    context.clearRect(-2, -2, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    const { height, width, cell, spread } = grid;
    images.forEach(({ image }, m) => {
      const { x, y } = mapCorner(grid, m);
      if (spread)
        for (let i = 0; i < height; i++)
          context.drawImage(image, 0, i, width, 1, x, y + i * (cell + spread), width * cell, cell);
      else context.drawImage(image, x, y, width * cell, height * cell);
      context.strokeStyle = line;
      context.lineWidth = 1;
      if (!spread) context.strokeRect(x - 0.5, y - 0.5, width * cell + 1, height * cell + 1);
    });
    if (spread)
      for (let i = 0; i < height; i++)
        context.strokeRect(-0.5, i * (cell + spread) - 0.5, cell + 1, cell + 1);
    if (cell >= NUMBERS_FROM) writeNumbers();
    if (dots) drawDots(dots, accent, paper);
    if (box) outline(outlines(grid, box), accent, paper, 1.5);
    if (cursor !== null) {
      const { x, y, size: side } = square(grid, cursor);
      outline([{ x, y, width: side, height: side }], accent, paper, 2.5);
    }
  }

  function writeNumbers() {
    const count = grid.vector ?? size(shape);
    family ??= getComputedStyle(canvas).fontFamily;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let at = 0; at < count; at++) {
      const { x, y, size: side } = square(grid, at);
      context.fillStyle = textOn(colour(theme, kind, values[at], most));
      const text = short(values[at]);
      context.font = `${Math.min(15, (grid.cell * 1.5) / Math.max(4, text.length))}px ${family}`;
      context.fillText(text, x + side / 2, y + side / 2 + 0.5);
    }
  }

  /** Mark cells by a dot in their corner; in small cells a faint one, so that colours stay. */
  function drawDots(dots, accent, paper) {
    context.globalAlpha = grid.cell < 8 ? 0.45 : 1;
    for (let at = 0; at < dots.length; at++) {
      if (!dots[at]) continue;
      const { x, y, size: side } = square(grid, at);
      const radius = Math.max(0.5, Math.min(2.5, side * 0.14));
      context.beginPath();
      context.arc(x + side - radius * 2, y + radius * 2, radius, 0, 7);
      context.fillStyle = accent;
      context.fill();
      if (side >= 8) {
        context.strokeStyle = paper;
        context.lineWidth = 1;
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }

  return {
    canvas,
    lay,
    set,
    draw,
    shape,
    cellAt(event) {
      const at = canvas.getBoundingClientRect();
      return cellAt(grid, event.clientX - at.left - 2, event.clientY - at.top - 2);
    },
    spot: (cell) => spot(grid, cell),
    get grid() {
      return grid;
    },
    get colours() {
      return { values, kind, most, theme, css: (value) => css(colour(theme, kind, value, most)) };
    },
  };
}
