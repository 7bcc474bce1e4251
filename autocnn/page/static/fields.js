/**
 * Which cells a cell depends on (its receptive field), and which depend on it.
 *
 * A field is a box [[first, last], ...], one pair of indices an axis, both included; null where it
 * is empty. Boxes are exact where no stride exceeds its kernel and no kernel is dilated.
 */

import { place } from "./tensor.js";

const whole = (shape) => shape.map((n) => [0, n - 1]);
const SPATIAL = {
  conv: (o) => ({ size: o.kernel, stride: o.stride, padding: o.padding, dilation: o.dilation }),
  max_pool: (o) => ({ size: o.size, stride: o.stride, padding: o.padding, dilation: [1, 1] }),
};
SPATIAL.avg_pool = SPATIAL.max_pool;

function clipped([first, last], n) {
  const pair = [Math.max(0, first), Math.min(n - 1, last)];
  return pair[0] > pair[1] ? null : pair;
}

const joined = (box) => (box.includes(null) ? null : box);

/** The channels that meet each other in a convolution with groups; the same one in a pool. */
function channels(stage, [first, last], from, to) {
  if (stage.word !== "conv") return [first, last];
  const [a, b] = [from / stage.options.groups, to / stage.options.groups];
  return [Math.floor(first / a) * b, (Math.floor(last / a) + 1) * b - 1];
}

/** The box of the input (of shape `input`) that the box of a stage's output is computed from. */
export function before(stage, box, input) {
  const geometry = SPATIAL[stage.word]?.(stage.options);
  if (geometry) {
    const [c, ...axes] = box;
    const spans = axes.map(([first, last], axis) => {
      const { size, stride, padding, dilation } = geometry;
      const from = first * stride[axis] - padding[axis];
      const to = last * stride[axis] - padding[axis] + (size[axis] - 1) * dilation[axis];
      return clipped([from, to], input[axis + 1]);
    });
    return joined([channels(stage, c, stage.shape[0], input[0]), ...spans]);
  }
  if (stage.word === "flatten") {
    const [[first, last]] = box;
    if (first === last) return place(input, first).map((i) => [i, i]);
    return whole(input);
  }
  if (stage.word === "global_avg_pool") return [box[0], ...whole(input).slice(1)];
  const everything = ["dense", "softmax"].includes(stage.word);
  return everything ? whole(input) : box; // elementwise words keep the cell
}

/** The box of a stage's output that depends on a box of its input. */
export function after(stage, box, input) {
  const geometry = SPATIAL[stage.word]?.(stage.options);
  if (geometry) {
    const [c, ...axes] = box;
    const spans = axes.map(([first, last], axis) => {
      const { size, stride, padding, dilation } = geometry;
      const reach = (size[axis] - 1) * dilation[axis];
      const from = Math.ceil((first + padding[axis] - reach) / stride[axis]);
      const to = Math.floor((last + padding[axis]) / stride[axis]);
      return clipped([from, to], stage.shape[axis + 1]);
    });
    return joined([channels(stage, c, input[0], stage.shape[0]), ...spans]);
  }
  if (stage.word === "flatten") {
    const at = (end) => box.reduce((sum, pair, axis) => sum * input[axis] + pair[end], 0);
    return [[at(0), at(1)]];
  }
  if (stage.word === "global_avg_pool") return [box[0]];
  const everything = ["dense", "softmax"].includes(stage.word);
  return everything ? whole(stage.shape) : box;
}

/** The box of one cell. */
export const boxOf = (shape, cell) => place(shape, cell).map((i) => [i, i]);

/**
 * Boxes by stage for a cell of stage k: `receptive` those before it, `influence` those after it,
 * itself included in both. A stage that no box reaches has null.
 */
export function receptive(stages, k, cell) {
  const boxes = stages.map(() => null);
  boxes[k] = boxOf(stages[k].shape, cell);
  for (let s = k; s > 0 && boxes[s]; s--)
    boxes[s - 1] = before(stages[s], boxes[s], stages[s - 1].shape);
  return boxes;
}

export function influence(stages, k, cell) {
  const boxes = stages.map(() => null);
  boxes[k] = boxOf(stages[k].shape, cell);
  for (let s = k; s + 1 < stages.length && boxes[s]; s++)
    boxes[s + 1] = after(stages[s + 1], boxes[s], stages[s].shape);
  return boxes;
}
