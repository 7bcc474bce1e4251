/**
 * Words that act on each number alone, as `reference/elementwise.py` has them: each is a function
 * (o, x) -> [y, slope] of one number, and dx = dy slope.
 */

import { tensor } from "./tensor.js";

const sigmoidOf = (x) => (Math.tanh(x / 2) + 1) / 2; // does not overflow where exp does

/** (o, x) -> [y, dy/dx] by word. relu'(0) = 0. */
export const SLOPES = {
  relu: (o, x) => (x > 0 ? [x, 1] : [0, 0]),
  leaky_relu: (o, x) => (x > 0 ? [x, 1] : [x * o.negative_slope, o.negative_slope]),
  relu6: (o, x) => (x <= 0 ? [0, 0] : x >= 6 ? [6, 0] : [x, 1]),
  sigmoid: (o, x) => [sigmoidOf(x), sigmoidOf(x) * (1 - sigmoidOf(x))],
  silu(o, x) {
    const s = sigmoidOf(x);
    return [x * s, s + x * s * (1 - s)];
  },
  tanh: (o, x) => [Math.tanh(x), 1 - Math.tanh(x) ** 2],
  scaled_tanh(o, x) {
    const y = o.amplitude * Math.tanh(o.slope * x);
    return [y, o.slope * (o.amplitude - (y * y) / o.amplitude)];
  },
  identity: (o, x) => [x, 1],
  dropout: (o, x) => [x, 1], // in evaluation, and the page evaluates
};

/** Make the word (o, params, x) -> {y, backward} of a function of one number. */
function word(f) {
  return (o, params, x) => {
    const [y, slope] = [tensor(x.shape), new Float64Array(x.values.length)];
    for (let i = 0; i < slope.length; i++) [y.values[i], slope[i]] = f(o, x.values[i]);
    const backward = (dy) => ({
      dx: tensor(
        x.shape,
        dy.values.map((d, i) => d * slope[i]),
      ),
      grads: {},
    });
    return { y, backward };
  };
}

export const elementwise = Object.fromEntries(
  Object.entries(SLOPES).map(([name, f]) => [name, word(f)]),
);
