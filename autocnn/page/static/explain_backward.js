/** Which sum a gradient in an activation is, and why it is zero. */

import { grid, mainTerms, productGroup, windowCells } from "./explain_parts.js";
import { SLOPES } from "./elementwise.js";
import { cellText, number } from "./numbers.js";
import { place } from "./tensor.js";

/** The explanation of dL/d(cell `cell` of stage k): by the chain rule, a sum over the next stage. */
export function gradientOf({ look, stages, label, info }, k, cell) {
  const stage = stages[k];
  if (k === stages.length - 1) return ofProbability(look, label, cell, info);
  const next = stages[k + 1];
  const parts = {
    look,
    label,
    info,
    k,
    cell,
    next,
    now: look.stages[k],
    to: look.stages[k + 1],
    at: place(stage.shape, cell),
  };
  const found = (WORDS[next.word] ?? elementwise)(parts);
  const why = found.why ?? [];
  if (!why.length && look.stages[k].auto[cell] === 0)
    why.push(
      "It is 0 because every gradient that it is summed from is 0, or the weight before it. Click one of them to see why.",
    );
  return { ...found, why };
}

function ofProbability(look, label, cell, info) {
  const p = look.probabilities[label];
  if (cell !== label)
    return {
      sentence: `The loss is \u2212ln p(${info.classes[label]}). It does not contain this probability.`,
      why: ["It is 0 because only the label's probability stands in the loss."],
    };
  return {
    sentence: `The loss is \u2212ln p; its derivative is \u22121 / p = \u22121 / ${number(p, 4)}.`,
  };
}

const WORDS = {
  softmax({ look, label, cell, info }) {
    const p = look.probabilities[cell];
    const hit = cell === label ? 1 : 0;
    return {
      sentence:
        `Softmax and cross-entropy together: the probability, minus 1 for the label. ` +
        `${number(p, 4)} \u2212 ${hit}.` +
        (hit ? "" : ` The label is ${info.classes[label]}.`),
      terms: [
        {
          text: `p(${info.classes[cell]})`,
          value: p,
          subject: { k: look.stages.length - 1, cell, weight: null },
        },
        {
          text: hit ? "it is the label" : "it is not the label",
          value: hit ? -1 : 0,
          subject: null,
        },
      ],
      total: true,
      why:
        p - hit === 0
          ? ["It is 0 because the probability is rounded to exactly what it should be."]
          : [],
    };
  },

  dense({ to, k, cell }) {
    const { w } = to.weights;
    const units = w.shape[1];
    const terms = Array.from({ length: units }, (_, j) => ({
      text: `${number(to.auto[j], 3)} \u00b7 ${number(w.values[cell * units + j], 3)}`,
      value: to.auto[j] * w.values[cell * units + j],
      subject: { k: k + 1, cell: j, weight: null },
    }));
    return {
      sentence:
        `This number reaches each of the ${units} units of ${to.name} by a weight. ` +
        "So its gradient is the sum of their gradients times those weights.",
      terms: mainTerms(terms),
      total: true,
    };
  },

  flatten: ({ to, k, cell }) => ({
    sentence: "flatten only copies, so the gradient is copied back.",
    terms: [
      {
        text: cellText(to.name, [cell]),
        value: to.auto[cell],
        subject: { k: k + 1, cell, weight: null },
      },
    ],
  }),

  conv({ next, now, to, k, at }) {
    const [c, row, column] = at;
    const { kernel, stride, padding, dilation, groups, filters } = next.options;
    const per = now.shape[0] / groups;
    const group = Math.floor(c / per);
    const [, height, width] = to.shape;
    const count = filters / groups;
    const outputs = [];
    for (let u = 0; u < kernel[0]; u++)
      for (let v = 0; v < kernel[1]; v++) {
        const i = (row + padding[0] - u * dilation[0]) / stride[0];
        const j = (column + padding[1] - v * dilation[1]) / stride[1];
        const met =
          Number.isInteger(i) && Number.isInteger(j) && i >= 0 && j >= 0 && i < height && j < width;
        outputs.push(met ? i * width + j : null);
      }
    const groupsOf = Array.from({ length: count }, (_, n) => {
      const f = group * count + n;
      const met = outputs.map((cell) => (cell === null ? null : f * height * width + cell));
      const weights = outputs.map((_, n) => (f * per + (c % per)) * kernel[0] * kernel[1] + n);
      return productGroup(
        `map ${f}`,
        grid(`\u2202L/\u2202${to.name}`, kernel, to.auto, met, k + 1),
        grid("kernel", kernel, to.weights.w.values, weights, k + 1, "w"),
      );
    });
    const unused = outputs.every((cell) => cell === null);
    return {
      sentence:
        "Each kernel weight carried this number into one output cell. The gradient of that " +
        "cell, times the weight, comes back; all of it is added up, over every map.",
      groups: groupsOf,
      total: true,
      why: unused ? ["It is 0 because no kernel position reaches this number."] : [],
    };
  },

  max_pool({ next, now, to, k, cell, at }) {
    const [c, row, column] = at;
    const { size, stride, padding } = next.options;
    const [, height, width] = to.shape;
    const groups = [];
    const why = [];
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
        if (row < top || row >= top + size[0] || column < left || column >= left + size[1])
          continue;
        const cells = windowCells(now.shape, c, next.options, i, j);
        const out = (c * height + i) * width + j;
        const best = cells.findIndex((n) => n !== null && now.values[n] === to.values[out]);
        const won = cells[best] === cell;
        const window = grid(`window of ${now.name}`, size, now.values, cells, k, null, {
          mark: best,
        });
        const back = {
          label: `\u2202L/\u2202${cellText(to.name, [c, i, j])}, to the winner`,
          rows: size[0],
          columns: size[1],
          values: cells.map((_, n) => (n === best ? to.auto[out] : 0)),
          links: cells.map(() => ({ k: k + 1, cell: out, weight: null })),
        };
        groups.push({
          name: `window ${i}, ${j}`,
          grids: [window, back],
          sum: won ? to.auto[out] : 0,
          arrow: true,
        });
        if (!won && now.values[cell] === to.values[out])
          why.push(
            "It is 0 because of a tie: an equal number comes earlier in the window and takes all of the gradient.",
          );
        else if (!won)
          why.push(
            `It is 0 because ${number(now.values[cell], 3)} is not the largest of its window; ${number(to.values[out], 3)} is. Nothing changes when it grows a little.`,
          );
        else if (to.auto[out] === 0)
          why.push(
            "It won its window, but the gradient that arrives there is 0. Click it to see why.",
          );
      }
    if (!groups.length) why.push("It is 0 because no window reaches this number.");
    return {
      sentence: "A max-pool hands the gradient to the cell that won, and 0 to the others.",
      groups,
      why,
      total: groups.length > 1,
    };
  },

  avg_pool({ next, to, k, at }) {
    const { size, stride, padding } = next.options;
    const [c, row, column] = at;
    const [, height, width] = to.shape;
    const terms = [];
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        const [top, left] = [i * stride[0] - padding[0], j * stride[1] - padding[1]];
        if (row < top || row >= top + size[0] || column < left || column >= left + size[1])
          continue;
        const out = (c * height + i) * width + j;
        terms.push({
          text: `${cellText(to.name, [c, i, j])} / ${size[0] * size[1]}`,
          value: to.auto[out] / (size[0] * size[1]),
          subject: { k: k + 1, cell: out, weight: null },
        });
      }
    return { sentence: "A mean hands the gradient back in equal shares.", terms, total: true };
  },

  global_avg_pool: ({ now, to, k, at }) => ({
    sentence: "A mean hands the gradient back in equal shares.",
    terms: [
      {
        text: `${cellText(to.name, [at[0]])} / ${now.shape[1] * now.shape[2]}`,
        value: to.auto[at[0]] / (now.shape[1] * now.shape[2]),
        subject: { k: k + 1, cell: at[0], weight: null },
      },
    ],
  }),
};

function elementwise({ next, now, to, k, cell }) {
  const x = now.values[cell];
  const [, slope] = SLOPES[next.word]
    ? SLOPES[next.word](next.options, x)
    : [0, to.auto[cell] ? now.auto[cell] / to.auto[cell] : 0];
  const why = [];
  if (slope === 0 && next.word === "relu")
    why.push(
      x === 0
        ? "It is 0 because ReLU's input is exactly 0, its kink, where the derivative is taken as 0."
        : `It is 0 because ReLU's input ${number(x, 4)} is negative: its output stays 0 when this number changes a little.`,
    );
  else if (to.auto[cell] === 0)
    why.push("It is 0 because the gradient that arrives is 0. Click it to see why.");
  return {
    sentence: `The gradient after ${next.word}, times its slope at ${number(x, 4)}: ${number(to.auto[cell], 4)} \u00b7 ${number(slope, 4)}.`,
    terms: [
      {
        text: `\u2202L/\u2202${cellText(to.name, place(to.shape, cell))}`,
        value: to.auto[cell],
        subject: { k: k + 1, cell, weight: null },
      },
    ],
    why,
  };
}
