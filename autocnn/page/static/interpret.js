/**
 * The vocabulary in JavaScript: a fourth interpretation, mirrored on the package `reference`.
 *
 * A network is {layers: [{name, word, options, params: {w: tensor, ...}}]}, one layer after
 * another. All numbers are Float64; nothing that is passed in is changed.
 */

import { elementwise } from "./elementwise.js";
import { cross_entropy, dense, flatten, softmax, softmax_minus_one_hot } from "./flat.js";
import { avg_pool, conv, global_avg_pool, max_pool } from "./spatial.js";
import { tensor } from "./tensor.js";

export { cross_entropy, softmax };

/** Words by name: (o, params, x) -> {y, backward(dy) -> {dx, grads}}. */
export const words = {
  ...elementwise,
  avg_pool,
  conv,
  dense,
  flatten,
  global_avg_pool,
  max_pool,
};

/**
 * Run the layers from number `first` on. x: the tensor that the first of them takes.
 * Returns [{y, backward}], one a layer. Throws an Error for a word that has no interpretation.
 */
export function run(network, x, first = 0) {
  const steps = [];
  for (const layer of network.layers.slice(first)) {
    if (!words[layer.word]) throw new Error(`the page cannot compute ${layer.word}`);
    const step = words[layer.word](layer.options, layer.params, x);
    steps.push(step);
    x = step.y;
  }
  return steps;
}

/** The loss of one example from the input of layer `first` on. */
export function loss(network, x, label, first = 0) {
  const steps = run(network, x, first);
  return cross_entropy(steps.length ? steps.at(-1).y : x, label);
}

/**
 * Forward and, with a label, backward for one example.
 *
 * Returns {outputs: [tensor], probabilities: tensor, loss, cotangents: [tensor], grads: [{w, b}]}.
 * outputs[0] is the input and outputs[k + 1] the output of layer k; cotangents are the loss's
 * gradients in them; grads[k] are those in layer k's parameters. Without a label (null) the
 * last three are null.
 */
export function forward_and_backward(network, x, label = null) {
  const { steps, outputs, probabilities } = forward(network, x);
  if (label === null) return { outputs, probabilities, loss: null, cotangents: null, grads: null };
  const logits = outputs.at(-1);
  return {
    outputs,
    probabilities,
    loss: cross_entropy(logits, label),
    ...backward(steps, logits, label),
  };
}

/** The forward pass alone: {steps of `run`, outputs, probabilities}. */
export function forward(network, x) {
  x = tensor(x.shape, Float64Array.from(x.values));
  const steps = run(network, x);
  const outputs = [x, ...steps.map((step) => step.y)];
  return { steps, outputs, probabilities: softmax(outputs.at(-1)) };
}

/** The backward pass of `forward`'s steps: {cotangents, grads}. */
export function backward(steps, logits, label) {
  let dy = softmax_minus_one_hot(logits, label);
  const [cotangents, grads] = [[dy], []];
  for (const step of steps.toReversed()) {
    const back = step.backward(dy);
    dy = back.dx;
    cotangents.unshift(dy);
    grads.unshift(back.grads);
  }
  return { cotangents, grads };
}
