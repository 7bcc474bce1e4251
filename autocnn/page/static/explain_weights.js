/** What a weight is, and which sum its gradient is. */

import { grid, productGroup } from "./explain_parts.js";
import { cellText, number } from "./numbers.js";
import { place } from "./tensor.js";

/** The explanation of a subject {k, cell, weight}; backward: of its gradient. */
export function weightOf({ look, info }, { k, cell, weight }, indices, backward) {
  const [now, from] = [look.stages[k], look.stages[k - 1]];
  if (!backward)
    return {
      sentence:
        now.shape.length === 3
          ? "A parameter, learned in training. The same number is used at every position of the map."
          : "A parameter, learned in training.",
    };
  if (weight === "b") return biasOf(now, k, cell);
  return now.word === "dense"
    ? denseOf(now, from, k, indices)
    : convOf(now, from, k, indices, info.stages[k].options);
}

function biasOf(now, k, unit) {
  if (now.shape.length === 1)
    return {
      sentence: "The bias is added to one number, so its gradient is that number's gradient.",
      why: now.auto[unit] === 0 ? ["It is 0 because that gradient is 0. Click it to see why."] : [],
      terms: [
        {
          text: `\u2202L/\u2202${cellText(now.name, [unit])}`,
          value: now.auto[unit],
          subject: { k, cell: unit, weight: null },
        },
      ],
    };
  const [, height, width] = now.shape;
  const cells = Array.from({ length: height * width }, (_, n) => unit * height * width + n);
  const gradients = grid(
    `\u2202L/\u2202${now.name}, map ${unit}`,
    [height, width],
    now.auto,
    cells,
    k,
  );
  const sum = gradients.values.reduce((a, b) => a + b, 0);
  return {
    sentence: "The bias is added to every number of its map, so its gradient is the sum of theirs.",
    why: sum === 0 ? ["It is 0 because the gradients of its map are 0, or cancel."] : [],
    groups: [{ name: "map", grids: [gradients], sum }],
    total: true,
  };
}

function denseOf(now, from, k, [input, unit]) {
  const [x, d] = [from.values[input], now.auto[unit]];
  const why = [];
  if (x === 0)
    why.push("It is 0 because the number that the weight multiplies is 0 for this image.");
  else if (d === 0) why.push("It is 0 because the gradient of its unit is 0. Click it to see why.");
  return {
    sentence: `The number before the weight, times the gradient after it: ${number(x, 4)} \u00b7 ${number(d, 4)}.`,
    terms: [
      {
        text: cellText(from.name, place(from.shape, input)),
        value: x,
        subject: { k: k - 1, cell: input, weight: null },
      },
      {
        text: `\u2202L/\u2202${cellText(now.name, [unit])}`,
        value: d,
        subject: { k, cell: unit, weight: null },
      },
    ],
    why,
  };
}

function convOf(now, from, k, [f, c, u, v], options) {
  const { stride, padding, dilation, groups } = options;
  const [, height, width] = now.shape;
  const [, h, w] = from.shape;
  const per = from.shape[0] / groups;
  const channel = Math.floor(f / (now.shape[0] / groups)) * per + c;
  const [outputs, inputs] = [[], []];
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++) {
      const row = i * stride[0] + u * dilation[0] - padding[0];
      const column = j * stride[1] + v * dilation[1] - padding[1];
      outputs.push((f * height + i) * width + j);
      inputs.push(
        row >= 0 && column >= 0 && row < h && column < w ? (channel * h + row) * w + column : null,
      );
    }
  const met = grid(
    `${from.name}, channel ${channel}, where the weight met it`,
    [height, width],
    from.values,
    inputs,
    k - 1,
    null,
    { ink: k === 1 },
  );
  const d = grid(`\u2202L/\u2202${now.name}, map ${f}`, [height, width], now.auto, outputs, k);
  const group = productGroup("all positions", met, d);
  const why = [];
  if (group.sum === 0 && d.values.every((value) => value === 0))
    why.push("It is 0 because every gradient of its map is 0.");
  else if (group.sum === 0 && met.values.every((value) => value === 0))
    why.push("It is 0 because every number that the weight met is 0.");
  else if (group.sum === 0)
    why.push("It is 0 because at each position the input, or the gradient of the output, is 0.");
  return {
    sentence:
      "The weight met one input at each position of the map. Each of these inputs, times the gradient of the output there; all added up.",
    groups: [group],
    total: true,
    why,
  };
}
