/** dense, flatten and the loss, as `reference/flat.py` and `reference/loss.py` have them. */

import { tensor } from "./tensor.js";

/** y = x w + b, with w (D, units). dx = dy w', dw = x' dy, db = dy. */
export function dense(o, params, x) {
  const [d, units] = params.w.shape;
  const [w, xs] = [params.w.values, x.values];
  const y = tensor([units], o.bias ? Float64Array.from(params.b.values) : null);
  for (let i = 0; i < d; i++)
    if (xs[i] !== 0) for (let j = 0; j < units; j++) y.values[j] += xs[i] * w[i * units + j];

  function backward(dy) {
    const [dx, dw] = [tensor(x.shape), tensor(params.w.shape)];
    for (let i = 0; i < d; i++) {
      let sum = 0;
      for (let j = 0; j < units; j++) {
        sum += dy.values[j] * w[i * units + j];
        dw.values[i * units + j] = xs[i] * dy.values[j];
      }
      dx.values[i] = sum;
    }
    const grads = { w: dw };
    if (o.bias) grads.b = tensor([units], Float64Array.from(dy.values));
    return { dx, grads };
  }
  return { y, backward };
}

/** One vector of all numbers, the last axis fastest. */
export function flatten(o, params, x) {
  const backward = (dy) => ({ dx: tensor(x.shape, dy.values), grads: {} });
  return { y: tensor([x.values.length], x.values), backward };
}

/** Probabilities exp(z_k) / sum_j exp(z_j), shifted by the largest logit. */
export function softmax(logits) {
  const most = Math.max(...logits.values);
  const e = logits.values.map((z) => Math.exp(z - most));
  const sum = e.reduce((a, b) => a + b, 0);
  return tensor(
    logits.shape,
    e.map((value) => value / sum),
  );
}

/** -log softmax(logits)[label]. */
export function cross_entropy(logits, label) {
  const most = Math.max(...logits.values);
  const sum = logits.values.reduce((total, z) => total + Math.exp(z - most), 0);
  return Math.log(sum) - (logits.values[label] - most);
}

/** The gradient of `cross_entropy` in the logits: softmax(z)_k - [k = label]. */
export function softmax_minus_one_hot(logits, label) {
  const d = softmax(logits);
  d.values[label] -= 1;
  return d;
}
