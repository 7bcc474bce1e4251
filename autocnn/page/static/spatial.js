/**
 * Convolution and pooling, forward and backward, as `reference/spatial.py` has them.
 *
 * A word is a function (o, params, x) -> {y, backward}; o has the word's options, x and y are
 * tensors {shape, values: Float64Array} of one example, channels first. backward(dy) takes the
 * cotangent of y and returns {dx, grads}, grads having the names of params.
 */

import { tensor } from "./tensor.js";

/** Rows (or columns) of an output for which `i * stride + offset` lies in [0, size). */
function reach(count, stride, offset, size) {
  const first = Math.max(0, Math.ceil(-offset / stride));
  const last = Math.min(count - 1, Math.floor((size - 1 - offset) / stride));
  return [first, last];
}

/** The number of windows along one axis; a rest that no window reaches is dropped. */
export function windows(size, kernel, stride, padding, dilation = 1) {
  return Math.floor((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
}

/** Call visit(f, c, group's channel, u, v, rows, columns, offsets) for each kernel's each number. */
function eachOffset(o, shape, out, visit) {
  const [c, h, w] = shape;
  const [kh, kw] = o.kernel;
  const [per, filters] = [c / o.groups, o.filters / o.groups];
  for (let f = 0; f < o.filters; f++) {
    const first = Math.floor(f / filters) * per;
    for (let k = 0; k < per; k++)
      for (let u = 0; u < kh; u++) {
        const down = u * o.dilation[0] - o.padding[0];
        const rows = reach(out[1], o.stride[0], down, h);
        for (let v = 0; v < kw; v++) {
          const right = v * o.dilation[1] - o.padding[1];
          const columns = reach(out[2], o.stride[1], right, w);
          visit(f, first + k, ((f * per + k) * kh + u) * kw + v, rows, columns, down, right);
        }
      }
  }
}

/** y[f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] x[c, i s + u d - p, j s + v d - p]. */
export function conv(o, params, x) {
  const [, h, w] = x.shape;
  const ho = windows(h, o.kernel[0], o.stride[0], o.padding[0], o.dilation[0]);
  const wo = windows(w, o.kernel[1], o.stride[1], o.padding[1], o.dilation[1]);
  const [kernel, xs] = [params.w.values, x.values];
  const [sh, sw] = o.stride;
  const y = tensor([o.filters, ho, wo]);
  const ys = y.values;
  if (o.bias)
    for (let f = 0; f < o.filters; f++) ys.fill(params.b.values[f], f * ho * wo, (f + 1) * ho * wo);

  eachOffset(o, x.shape, y.shape, (f, c, at, [i0, i1], [j0, j1], down, right) => {
    const weight = kernel[at];
    for (let i = i0; i <= i1; i++) {
      const into = (f * ho + i) * wo;
      const from = (c * h + i * sh + down) * w + right;
      for (let j = j0; j <= j1; j++) ys[into + j] += weight * xs[from + j * sw];
    }
  });

  function backward(dy) {
    const [dx, dw] = [tensor(x.shape), tensor(params.w.shape)];
    const [dxs, dys] = [dx.values, dy.values];
    eachOffset(o, x.shape, y.shape, (f, c, at, [i0, i1], [j0, j1], down, right) => {
      const weight = kernel[at];
      let sum = 0;
      for (let i = i0; i <= i1; i++) {
        const into = (f * ho + i) * wo;
        const from = (c * h + i * sh + down) * w + right;
        for (let j = j0; j <= j1; j++) {
          const d = dys[into + j];
          sum += d * xs[from + j * sw];
          dxs[from + j * sw] += weight * d;
        }
      }
      dw.values[at] = sum;
    });
    const grads = { w: dw };
    if (o.bias) {
      grads.b = tensor([o.filters]);
      for (let f = 0; f < o.filters; f++)
        for (let i = 0; i < ho * wo; i++) grads.b.values[f] += dys[f * ho * wo + i];
    }
    return { dx, grads };
  }
  return { y, backward };
}

/** Call visit(output cell, [input cells]) for each window; cells in the padding are left out. */
export function eachWindow(o, shape, visit) {
  const [c, h, w] = shape;
  const ho = windows(h, o.size[0], o.stride[0], o.padding[0]);
  const wo = windows(w, o.size[1], o.stride[1], o.padding[1]);
  const cells = [];
  for (let k = 0; k < c; k++)
    for (let i = 0; i < ho; i++)
      for (let j = 0; j < wo; j++) {
        cells.length = 0;
        for (let u = 0; u < o.size[0]; u++)
          for (let v = 0; v < o.size[1]; v++) {
            const row = i * o.stride[0] + u - o.padding[0];
            const column = j * o.stride[1] + v - o.padding[1];
            if (row >= 0 && row < h && column >= 0 && column < w)
              cells.push((k * h + row) * w + column);
          }
        visit((k * ho + i) * wo + j, cells);
      }
  return [c, ho, wo];
}

/** The maximum of each window. dy goes to the first maximum of its window. */
export function max_pool(o, params, x) {
  const [values, which] = [[], []];
  const shape = eachWindow(o, x.shape, (at, cells) => {
    let best = cells[0];
    for (const cell of cells) if (x.values[cell] > x.values[best]) best = cell;
    which[at] = best;
    values[at] = x.values[best];
  });
  function backward(dy) {
    const dx = tensor(x.shape);
    which.forEach((cell, at) => (dx.values[cell] += dy.values[at]));
    return { dx, grads: {} };
  }
  return { y: tensor(shape, values), backward };
}

/** The mean of each window, padding counted as zeros. dy / (kh kw) goes to each of its cells. */
export function avg_pool(o, params, x) {
  const share = 1 / (o.size[0] * o.size[1]);
  const values = [];
  const shape = eachWindow(o, x.shape, (at, cells) => {
    values[at] = cells.reduce((sum, cell) => sum + x.values[cell], 0) * share;
  });
  function backward(dy) {
    const dx = tensor(x.shape);
    eachWindow(o, x.shape, (at, cells) => {
      for (const cell of cells) dx.values[cell] += dy.values[at] * share;
    });
    return { dx, grads: {} };
  }
  return { y: tensor(shape, values), backward };
}

/** The mean of each channel. dy / (H W) goes to each of its cells. */
export function global_avg_pool(o, params, x) {
  const [c, h, w] = x.shape;
  const y = tensor([c]);
  x.values.forEach((value, i) => (y.values[Math.floor(i / (h * w))] += value / (h * w)));
  const spread = (dy) =>
    tensor(
      x.shape,
      x.values.map((_, i) => dy.values[Math.floor(i / (h * w))] / (h * w)),
    );
  return { y, backward: (dy) => ({ dx: spread(dy), grads: {} }) };
}
