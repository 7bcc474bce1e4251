/**
 * Where every cell is drawn. A stage's grid says how its cells are laid out, in CSS pixels:
 * images as maps in rows and columns, vectors as columns that are filled from top to bottom.
 */

import { place } from "./tensor.js";

const FEW = 12; // vectors of up to so many numbers stand in one column, with room between them

/** The grid {maps, columns, rows, height, width, cell, gap, lead} of a shape at scale u. */
export function gridOf(shape, u, source = null) {
  if (shape.length === 3) {
    const [maps, height, width] = shape;
    const columns = Math.ceil(maps / 8);
    const cell = Math.max(1, Math.floor((u * (20 + 1.3 * width)) / width));
    const gap = Math.max(3, Math.min(12, Math.round(u * 4)));
    return { maps, columns, rows: Math.ceil(maps / columns), height, width, cell, gap, spread: 0 };
  }
  const n = shape[0];
  let height = Math.ceil(n / Math.ceil(n / 30));
  if (source && source.length === 3 && source[1] * source[2] <= 60) height = source[1] * source[2];
  const few = n <= FEW;
  const size = few ? Math.max(22, Math.min(34, 12 * u)) : u * (n > 200 ? 4 : n > 60 ? 7 : 9);
  const cell = Math.max(3, Math.min(34, Math.floor(size)));
  const width = Math.ceil(n / height);
  return {
    maps: 1,
    columns: 1,
    rows: 1,
    height,
    width,
    cell,
    gap: 0,
    spread: few ? 4 : 0,
    vector: n,
  };
}

/** The grid of a convolution's kernels: a row a filter, a kernel a channel that it sees. */
export function kernelGrid(shape, u, maps) {
  const [filters, channels, height, width] = shape;
  const room = channels === 1 ? (maps.height * maps.cell) / height / 1.8 : 2 * u;
  const cell = Math.max(2, Math.min(16, Math.floor(room)));
  const down = channels === 1 ? maps.height * maps.cell + maps.gap - height * cell : 2;
  return {
    maps: filters * channels,
    columns: channels,
    rows: filters,
    height,
    width,
    cell,
    gap: 2,
    down: Math.max(2, down),
    spread: 0,
  };
}

/** The width and height of a grid. */
export function extent(grid) {
  const { columns, rows, height, width, cell, gap, spread } = grid;
  const down = grid.down ?? gap;
  return {
    width: columns * width * cell + (columns - 1) * gap,
    height: rows * (height * (cell + spread) - spread) + (rows - 1) * down,
  };
}

/** The corner {x, y} of map number m. */
export function mapCorner(grid, m) {
  const { columns, height, width, cell, gap, spread } = grid;
  return {
    x: (m % columns) * (width * cell + gap),
    y: Math.floor(m / columns) * (height * (cell + spread) - spread + (grid.down ?? gap)),
  };
}

/** [map, row, column] on the grid of a cell number, and back. */
export function spot(grid, cell) {
  if (grid.vector) return [0, cell % grid.height, Math.floor(cell / grid.height)];
  return place([grid.maps, grid.height, grid.width], cell);
}

export function cellAtSpot(grid, [map, row, column]) {
  if (!grid.vector) return (map * grid.height + row) * grid.width + column;
  const cell = column * grid.height + row;
  return cell < grid.vector ? cell : null;
}

/** The square {x, y, size} of a cell. */
export function square(grid, cell) {
  const [map, row, column] = spot(grid, cell);
  const { x, y } = mapCorner(grid, map);
  return { x: x + column * grid.cell, y: y + row * (grid.cell + grid.spread), size: grid.cell };
}

/** The cell under a point; the nearest one inside a gap between maps; null outside. */
export function cellAt(grid, x, y) {
  const { columns, rows, height, width, cell, gap, spread } = grid;
  const pitch = [width * cell + gap, height * (cell + spread) - spread + (grid.down ?? gap)];
  const column = Math.floor(x / pitch[0]);
  const row = Math.floor(y / pitch[1]);
  const map = row * columns + column;
  if (column < 0 || column >= columns || row < 0 || row >= rows || map >= grid.maps) return null;
  const i = Math.min(height - 1, Math.floor((y - row * pitch[1]) / (cell + spread)));
  const j = Math.min(width - 1, Math.floor((x - column * pitch[0]) / cell));
  return cellAtSpot(grid, [map, i, j]);
}

/** Rectangles {x, y, width, height} that outline a box of cells, one for each map. */
export function outlines(grid, box) {
  if (grid.vector) {
    const [[first, last]] = box;
    if (first === 0 && last === grid.vector - 1) return [{ x: 0, y: 0, ...extent(grid) }];
    const [from, to] = [first, last].map((at) => Math.floor(at / grid.height));
    const runs = Array.from({ length: to - from + 1 }, (_, i) => {
      const begin = Math.max(first, (from + i) * grid.height);
      const { x, y, size } = square(grid, begin);
      const count = Math.min(last, (from + i + 1) * grid.height - 1) - begin + 1;
      return { x, y, width: size, height: count * (size + grid.spread) - grid.spread };
    });
    return runs.reduce((joined, run) => {
      const before = joined.at(-1);
      if (before?.y === run.y && before.height === run.height) before.width += run.width;
      else joined.push(run);
      return joined;
    }, []);
  }
  const [[c0, c1], [i0, i1], [j0, j1]] = box;
  return Array.from({ length: c1 - c0 + 1 }, (_, c) => {
    const { x, y } = mapCorner(grid, c0 + c);
    const { cell } = grid;
    return {
      x: x + j0 * cell,
      y: y + i0 * cell,
      width: (j1 - j0 + 1) * cell,
      height: (i1 - i0 + 1) * cell,
    };
  });
}

/** Room for the class names, bars and percentages. */
export const classWidth = (classes) =>
  84 + 7.5 * Math.max(...classes.map((name) => Math.min(14, name.length)));
const MARGIN = 4; // of each canvas, for outlines

/** The grids of all stages at scale u: [{maps, kernels: grid | null}]. */
export function gridsOf(stages, u) {
  return stages.map((stage, k) => {
    const maps = gridOf(stage.shape, u, k ? stages[k - 1].shape : null);
    const w = stage.word === "conv" ? stage.weights.w : null;
    return { maps, kernels: w ? kernelGrid(w.shape, u, maps) : null };
  });
}

/** The width of a stage's column. */
export function columnWidth(stage, { maps, kernels }) {
  const own = extent(maps).width + (kernels ? extent(kernels).width + MARGIN + 6 : 0);
  const extra = stage.word === "softmax" ? 6 + classWidth(stage.classes) : 0;
  return Math.ceil(Math.max(own + extra + MARGIN, 7 * stage.name.length));
}

/**
 * Choose the largest scale at which the stages fit side by side into width x height.
 * Returns {u, gap, grids, wraps}; wraps is true where they cannot, and lines are broken.
 */
export function fit(stages, width, height) {
  for (let u = 6; u > 0.95; u -= 0.1) {
    const grids = gridsOf(stages, u);
    const total = grids.reduce((sum, grid, k) => sum + columnWidth(stages[k], grid), 0);
    const tallest = Math.max(...grids.map(({ maps }) => extent(maps).height));
    const room = Math.floor((width - total) / (stages.length - 1));
    if (room >= 14 * u && tallest <= height)
      return { u, gap: Math.min(room, Math.max(72, Math.round(22 * u))), grids, wraps: false };
  }
  const u = stages.length > 9 ? 1 : 1.8;
  return { u, gap: 34, grids: gridsOf(stages, u), wraps: true };
}
