/** Where an activation comes from. */

import { grid, mainTerms, productGroup, windowCells } from "./explain_parts.js";
import { number, cellText } from "./numbers.js";
import { place } from "./tensor.js";

/** The explanation of cell `cell` of stage k. */
export function activationOf({ look, stages }, k, cell) {
  const stage = stages[k];
  const [now, from] = [look.stages[k], k ? look.stages[k - 1] : null];
  const explain = WORDS[stage.word] ?? elementwise;
  return explain({ look, stages, stage, now, from, k, cell, at: place(stage.shape, cell) });
}

const WORDS = {
  input: ({ now, cell }) => ({
    sentence: "A pixel of the drawing. Nothing comes before it: draw, and it changes.",
    why: now.values[cell] === 0 ? ["It is 0 because nothing is drawn there."] : [],
  }),

  conv({ stage, now, from, k, at }) {
    const [f, i, j] = at;
    const { kernel, stride, padding, dilation, groups, bias } = stage.options;
    const per = from.shape[0] / groups;
    const first = Math.floor(f / (stage.options.filters / groups)) * per;
    const { w, b } = now.weights;
    const found = Array.from({ length: per }, (_, c) => {
      const patch = windowCells(
        from.shape,
        first + c,
        { size: kernel, stride, padding, dilation },
        i,
        j,
      );
      const weights = patch.map((_, n) => (f * per + c) * kernel[0] * kernel[1] + n);
      return productGroup(
        `channel ${first + c}`,
        grid(`patch of ${from.name}`, kernel, from.values, patch, k - 1, null, { ink: k === 1 }),
        grid("kernel", kernel, w.values, weights, k, "w"),
      );
    });
    return {
      sentence:
        "The patch under the kernel, times the kernel, cell by cell. The products are added up over all channels, and the bias is added.",
      groups: found,
      terms: bias
        ? [{ text: "bias", value: b.values[f], subject: { k, cell: f, weight: "b" } }]
        : [],
      total: true,
    };
  },

  max_pool({ stage, now, from, k, cell, at }) {
    const [c, i, j] = at;
    const cells = windowCells(from.shape, c, stage.options, i, j);
    const won = cells.findIndex((n) => n !== null && from.values[n] === now.values[cell]);
    const equal = cells.filter((n) => n !== null && from.values[n] === now.values[cell]).length;
    const window = grid(
      `window of ${from.name}`,
      stage.options.size,
      from.values,
      cells,
      k - 1,
      null,
      { mark: won },
    );
    return {
      sentence: "The largest number of the window. The one that won is framed.",
      groups: [{ name: "window", grids: [window], sum: null }],
      why:
        equal > 1
          ? [`${equal} cells are equal: the first of them, row by row, counts as the winner.`]
          : [],
    };
  },

  avg_pool({ stage, from, k, at }) {
    const [c, i, j] = at;
    const cells = windowCells(from.shape, c, stage.options, i, j);
    const window = grid(`window of ${from.name}`, stage.options.size, from.values, cells, k - 1);
    return {
      sentence: `The mean of the window: its sum divided by ${cells.length}.`,
      groups: [{ name: "window", grids: [window], sum: null }],
    };
  },

  global_avg_pool: ({ from }) => ({
    sentence: `The mean of the whole map, ${from.shape[1] * from.shape[2]} numbers.`,
  }),

  flatten: ({ from, k, cell }) => ({
    sentence: "A copy: the maps are read row by row, one after another.",
    terms: [
      {
        text: cellText(from.name, place(from.shape, cell)),
        value: from.values[cell],
        subject: { k: k - 1, cell, weight: null },
      },
    ],
  }),

  dense({ look, stage, now, from, k, cell }) {
    const { w, b } = now.weights;
    const [d, units] = w.shape;
    const terms = stage.options.bias
      ? [{ text: "bias", value: b.values[cell], subject: { k, cell, weight: "b" } }]
      : [];
    const source = look.stages[k - 2]?.shape;
    const sentence =
      "Each number before it, times its weight. The products are added up, and the bias is added.";
    if (from.word === "flatten" && source?.length === 3) {
      const [maps, height, width] = source;
      const groups = Array.from({ length: maps }, (_, m) => {
        const inputs = Array.from({ length: height * width }, (_, n) => m * height * width + n);
        return productGroup(
          `map ${m}`,
          grid(from.name, [height, width], from.values, inputs, k - 1),
          grid(
            "weights",
            [height, width],
            w.values,
            inputs.map((n) => n * units + cell),
            k,
            "w",
          ),
        );
      });
      return { sentence, groups, terms, total: true };
    }
    const products = Array.from({ length: d }, (_, n) => ({
      text: `${number(from.values[n], 3)} \u00b7 ${number(w.values[n * units + cell], 3)}`,
      value: from.values[n] * w.values[n * units + cell],
      subject: { k: k - 1, cell: n, weight: null },
    }));
    return { sentence, terms: [...mainTerms(products), ...terms], total: true };
  },

  softmax({ stages, from, k, cell, now }) {
    const most = Math.max(...from.values);
    const sum = from.values.reduce((total, z) => total + Math.exp(z - most), 0);
    return {
      sentence:
        `exp(${number(from.values[cell], 4)}) divided by the sum of exp over all classes. ` +
        `Shifted by the largest, ${number(most, 4)}, that is ${number(Math.exp(from.values[cell] - most), 4)} / ${number(sum, 4)}.`,
      terms: mainTerms(
        [...from.values].map((z, n) => ({
          text: `exp(${number(z, 3)} \u2212 ${number(most, 3)}) / ${number(sum, 3)}`,
          value: now.values[n],
          subject: { k: k - 1, cell: n, weight: null },
        })),
      ),
      total: false,
    };
  },
};

const FORMULAS = {
  relu: (x) => [`max(0, ${x})`, "ReLU keeps positive numbers and turns the others into 0."],
  leaky_relu: (x, o) => [
    `${x} if it is positive, else ${o.negative_slope} times it`,
    "A leaky ReLU.",
  ],
  tanh: (x) => [`tanh(${x})`, "The hyperbolic tangent lies between \u22121 and 1."],
  sigmoid: (x) => [`1 / (1 + exp(\u2212(${x})))`, "The sigmoid lies between 0 and 1."],
};

function elementwise({ stage, now, from, k, cell }) {
  const x = from.values[cell];
  const [formula, text] = FORMULAS[stage.word]?.(number(x, 4), stage.options) ?? [
    `${stage.word}(${number(x, 4)})`,
    "A function of one number.",
  ];
  return {
    sentence: `${formula}. ${text}`,
    terms: [
      {
        text: cellText(from.name, place(from.shape, cell)),
        value: x,
        subject: { k: k - 1, cell, weight: null },
      },
    ],
    why:
      stage.word === "relu" && now.values[cell] === 0
        ? [`It is 0 because ${number(x, 4)} is not positive.`]
        : [],
  };
}
