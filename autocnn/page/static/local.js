/** The engine without a server: `interpret.js` on a network that the page carries. */

import { backward, cross_entropy, forward, loss, run } from "./interpret.js";
import { eachWindow } from "./spatial.js";
import { largest, tensor } from "./tensor.js";

const STEP = 1e-5; // of the central difference; its error is about STEP^2 and 1e-16 / STEP

/** Decode {shape, dtype: "f8" | "f4" | "u1", base64}; u1 stands for the multiples of 1 / 255. */
export function decode({ shape, dtype, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  if (dtype === "u1") return { shape, values: Float32Array.from(bytes, (b) => b / 255) };
  const values = dtype === "f8" ? new Float64Array(bytes.buffer) : new Float32Array(bytes.buffer);
  return { shape, values };
}

/** The layers of a network as `interpret.js` takes them, weights in Float64. */
export function network(carried) {
  const layers = carried.layers.map(({ name, word, options, shape, params }) => {
    const decoded = Object.entries(params).map(([key, array]) => {
      const { shape, values } = decode(array);
      return [key, tensor(shape, Float64Array.from(values))];
    });
    return { name, word, options, shape, params: Object.fromEntries(decoded) };
  });
  return { layers };
}

/** 1 where the derivative jumps: equal maxima in a window, or a ReLU's input of exactly 0. */
function tiesOf(stage, x, y) {
  const kinks = { relu: [0], leaky_relu: [0], relu6: [0, 6] }[stage.word];
  if (kinks) return Uint8Array.from(x.values, (value) => kinks.includes(value));
  if (stage.word !== "max_pool") return null;
  const ties = new Uint8Array(y.values.length);
  eachWindow(stage.options, x.shape, (at, cells) => {
    ties[at] = cells.filter((cell) => x.values[cell] === y.values[at]).length > 1;
  });
  return ties;
}

/** How many digits two numbers have in common, relative to `scale`; 16 where they are equal. */
export function commonDigits(a, b, scale) {
  const difference = Math.abs(a - b);
  if (difference === 0) return 16;
  return Math.max(0, Math.min(16, -Math.log10(difference / (scale || 1))));
}

/** Up to `count` of the elements, evenly spread. */
const spread = (all, count) =>
  all.length <= count
    ? all
    : Array.from({ length: count }, (_, i) => all[Math.floor(((i + 0.5) * all.length) / count)]);

/**
 * Make the engine of one carried network. It has the methods of every engine, and
 * also `difference` and `agreement`, the second path to a gradient where there is no server.
 */
export function local(carried) {
  const model = network(carried);
  const images = carried.images.map(({ label, probabilities, pixels }) => ({
    label,
    probabilities,
    pixels: Float32Array.from(decode(pixels).values),
  }));
  const stages = [
    { name: "input", word: "input", shape: carried.input, options: {}, weights: {} },
    ...model.layers.map(({ name, word, options, shape, params }) => ({
      name,
      word,
      shape,
      options,
      weights: params,
    })),
    {
      name: "probabilities",
      word: "softmax",
      shape: [carried.classes.length],
      options: {},
      weights: {},
    },
  ];
  let last = null; // the latest pass, which `difference` starts from

  async function info() {
    const { name, title, about, input, classes } = carried;
    const offers = { train: false, break: false, check: false, edit: false };
    return { name, title, about, input, classes, images, offers, stages };
  }

  /**
   * Compute every stage for an image. With a label, the gradients too: at the moment when one of
   * them is first read, so that drawing in the forward view costs a forward pass only.
   */
  async function look(pixels, label = null) {
    const pass = forward(model, tensor(carried.input, Float64Array.from(pixels)));
    last = { pass, label };
    const logits = pass.outputs.at(-1);
    const values = [...pass.outputs, pass.probabilities];
    let gradients = null;
    const back = () => (gradients ??= backward(pass.steps, logits, label));
    const ofProbabilities = () =>
      pass.probabilities.values.map((p, k) => (k === label ? -1 / p : 0));
    const gradient = (k) =>
      k === stages.length - 1 ? ofProbabilities() : back().cotangents[k].values;
    return {
      loss: label === null ? null : cross_entropy(logits, label),
      probabilities: pass.probabilities.values,
      stages: stages.map((stage, k) => ({
        name: stage.name,
        word: stage.word,
        shape: stage.shape,
        values: values[k].values,
        get auto() {
          return label === null ? null : (this.kept ??= gradient(k));
        },
        manual: null,
        digits: null,
        get ties() {
          return k === 0 ? null : (this.tied ??= tiesOf(stage, values[k - 1], values[k]));
        },
        weights: Object.fromEntries(
          Object.entries(stage.weights).map(([key, { shape, values }]) => [
            key,
            {
              shape,
              values,
              get auto() {
                return label === null ? null : back().grads[k - 1][key].values;
              },
              manual: null,
              digits: null,
            },
          ]),
        ),
      })),
    };
  }

  /** The loss with one number of a stage, or of a stage's weights, moved by `by`. */
  function moved(k, cell, weight, by) {
    const { pass, label } = last;
    const stage = stages[k];
    if (weight === null && stage.word === "softmax")
      return -Math.log(pass.probabilities.values[label] + (cell === label ? by : 0));
    const first = weight === null ? k : k - 1;
    const x = tensor(pass.outputs[first].shape, Float64Array.from(pass.outputs[first].values));
    if (weight === null) {
      x.values[cell] += by;
      return loss(model, x, label, first);
    }
    const layer = model.layers[k - 1];
    const changed = tensor(
      layer.params[weight].shape,
      Float64Array.from(layer.params[weight].values),
    );
    changed.values[cell] += by;
    const changedLayer = { ...layer, params: { ...layer.params, [weight]: changed } };
    const [{ y }] = run({ layers: [changedLayer] }, x);
    return loss(model, y, label, k);
  }

  /**
   * The derivative of the loss by a central difference, of the latest look.
   *
   * Returns {value, step, kink}; kink is true where the slopes to the left and to the right
   * differ, so that there is no derivative to compare with. null without a label.
   */
  function difference(k, cell, weight = null) {
    if (!last || last.label === null) return null;
    const [right, left] = [moved(k, cell, weight, STEP), moved(k, cell, weight, -STEP)];
    const middle = cross_entropy(last.pass.outputs.at(-1), last.label);
    const slopes = [(right - middle) / STEP, (middle - left) / STEP];
    const most = largest(slopes);
    const kink = Math.abs(slopes[0] - slopes[1]) > 0.01 * most + 1e-6;
    return { value: (right - left) / (2 * STEP), step: STEP, kink };
  }

  /**
   * Compare cells of a stage's gradient with central differences: up to `count` of those that are
   * not 0, and up to `count` / 4 of those that are, evenly spread.
   *
   * Returns {digits, checked, kinks, of}: the fewest common digits, relative to the stage's largest
   * gradient, over the cells that are no kink; null where no cell that is not 0 could be compared.
   */
  function agreement(look, k, count) {
    const { auto } = look.stages[k];
    const cells = [...auto.keys()];
    const moving = spread(
      cells.filter((cell) => auto[cell] !== 0),
      count,
    );
    const resting = spread(
      cells.filter((cell) => auto[cell] === 0),
      Math.ceil(count / 4),
    );
    const scale = largest(auto);
    const found = { digits: 16, checked: 0, kinks: 0, of: auto.length };
    let compared = 0;
    for (const cell of [...moving, ...resting]) {
      const { value, kink } = difference(k, cell);
      if (kink) {
        found.kinks += 1;
        continue;
      }
      found.checked += 1;
      compared += auto[cell] !== 0;
      found.digits = Math.min(found.digits, commonDigits(value, auto[cell], scale));
    }
    if (!compared) found.digits = null;
    return found;
  }

  return { info, look, difference, agreement, on() {} };
}
