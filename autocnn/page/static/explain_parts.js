/** What explanations are made of. */

const subjectOf =
  (k, weight = null) =>
  (cell) =>
    cell === null ? null : { k, cell, weight };

/**
 * A grid of numbers: those of `from` at the positions `cells`; null for a cell outside, which
 * counts as 0. k, weight: which array `from` is, so that a click on a cell explains it.
 */
export function grid(label, [rows, columns], from, cells, k, weight = null, more = {}) {
  return {
    label,
    rows,
    columns,
    values: cells.map((cell) => (cell === null ? 0 : from[cell])),
    outside: cells.map((cell) => cell === null),
    links: more.plain ? null : cells.map(subjectOf(k, weight)),
    ...more,
  };
}

/** A group of two grids, their products and the sum. */
export function productGroup(name, a, b) {
  const values = a.values.map((value, i) => value * b.values[i]);
  const sum = values.reduce((total, value) => total + value, 0);
  const product = { label: "products", rows: a.rows, columns: a.columns, values, links: null };
  return { name, grids: [a, b, product], sum };
}

/** The terms in the order of their size; all beyond `most` in one. */
export function mainTerms(terms, most = 12) {
  const sorted = [...terms].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  if (sorted.length <= most) return sorted;
  const rest = sorted.slice(most - 1);
  const value = rest.reduce((total, term) => total + term.value, 0);
  return [...sorted.slice(0, most - 1), { text: `the other ${rest.length}`, value, subject: null }];
}

/** The cells of a window of a pool or convolution, row by row, null outside of the image. */
export function windowCells([, height, width], channel, { size, stride, padding, dilation }, i, j) {
  const cells = [];
  for (let u = 0; u < size[0]; u++)
    for (let v = 0; v < size[1]; v++) {
      const row = i * stride[0] + u * (dilation?.[0] ?? 1) - padding[0];
      const column = j * stride[1] + v * (dilation?.[1] ?? 1) - padding[1];
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      cells.push(inside ? (channel * height + row) * width + column : null);
    }
  return cells;
}
