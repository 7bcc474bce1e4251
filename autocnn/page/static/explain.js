/**
 * What a number is, where it comes from and why it is zero, as data that `inspect.js` shows.
 *
 * An explanation is {title, what, value, sentence, groups, terms, total, why}:
 * groups: [{name, at, grids: [{label, rows, columns, values, kind, links, mark}, ...], sum}], sums
 * of products, of which one at a time is shown; grids are multiplied cell by cell.
 * terms: [{text, value, subject}], numbers that are added up. why: sentences.
 * subject: {k, cell, weight}, the number that a click on it explains.
 */

import { gradientOf } from "./explain_backward.js";
import { activationOf } from "./explain_forward.js";
import { weightOf } from "./explain_weights.js";
import { cellText, number, placeText, shapeText } from "./numbers.js";
import { largest, place, size } from "./tensor.js";

/** The array that a subject is a cell of, and its name. */
export function arrayOf(look, { k, weight }) {
  const stage = look.stages[k];
  return weight
    ? { array: stage.weights[weight], name: `${stage.name}.${weight}` }
    : { array: stage, name: stage.name };
}

/** One line for those who hear the page. */
export function spoken({ look, mode, info }, subject) {
  if (subject.about) return explain({ look, mode, info }, subject).sentence;
  const { array, name } = arrayOf(look, subject);
  const backward = mode === "backward" && array.auto;
  const value = (backward ? array.auto : array.values)[subject.cell];
  const indices = place(array.shape, subject.cell);
  const where = subject.weight
    ? cellText(name, indices)
    : `${name}, ${placeText(array.shape, indices)}`;
  return `${backward ? "gradient in " : ""}${where}: ${number(value, 4)}`;
}

/** Explain a subject of a view {look, mode, label, info}. */
export function explain(view, subject) {
  if (subject.about)
    return { groups: [], terms: [], why: [], ...ABOUT[subject.about](view, subject) };
  const { look, mode, info } = view;
  const { array, name } = arrayOf(look, subject);
  const backward = mode === "backward" && array.auto !== null;
  const indices = place(array.shape, subject.cell);
  const cell = cellText(name, indices);
  const found = subject.weight
    ? weightOf(view, subject, indices, backward)
    : (backward ? gradientOf : activationOf)(
        { ...view, stages: info.stages },
        subject.k,
        subject.cell,
      );
  return {
    title: backward ? `\u2202L / \u2202${cell}` : cell,
    value: (backward ? array.auto : array.values)[subject.cell],
    what: whatOf(info, subject, indices, array, backward),
    groups: [],
    terms: [],
    why: [],
    ...found,
  };
}

function whatOf(info, { k, weight, cell }, indices, array, backward) {
  const stage = info.stages[k];
  const last = k === info.stages.length - 1;
  let what = placeText(array.shape, indices);
  if (last || (k === info.stages.length - 2 && array.shape[0] === info.classes.length && !weight))
    what = `class ${info.classes[cell]}`;
  if (weight === "b")
    what = `the bias of ${array.shape.length === 1 && stage.shape.length === 3 ? "map" : "number"} ${cell}`;
  if (weight === "w" && array.shape.length === 4)
    what = `weight for channel ${indices[1]} of map ${indices[0]}, at row ${indices[2]}, column ${indices[3]} of the kernel`;
  if (weight === "w" && array.shape.length === 2)
    what = `weight from number ${indices[0]} to number ${indices[1]}`;
  const of = `${stage.name} (${shapeText(array.shape)})`;
  if (!backward) return `${what}, in ${of}`;
  return `How the loss changes when this number grows: ${what}, in ${of}`;
}

const ABOUT = {
  shape({ info }, { k }) {
    const { name, shape } = info.stages[k];
    return {
      title: shapeText(shape),
      value: size(shape),
      what: `the shape of ${name}`,
      sentence: shapeSentence(info, k),
    };
  },
  scale({ look, mode }, { k }) {
    const stage = look.stages[k];
    const values = mode === "backward" && stage.auto ? stage.auto : stage.values;
    const at = values.findIndex((value) => Math.abs(value) === largest(values));
    return {
      title: `Colours of ${stage.name}`,
      value: largest(values),
      what: "the largest absolute value of the stage",
      sentence:
        "Blue is negative, the paper's colour is zero, orange is positive. The strongest " +
        "colour stands for this value; each stage has a scale of its own.",
      terms: [
        {
          text: cellText(stage.name, place(stage.shape, at)),
          value: values[at],
          subject: { k, cell: at, weight: null },
        },
      ],
    };
  },
  digits({ look }, { k }) {
    const { name, digits, manual, checked } = look.stages[k];
    const compared = checked
      ? ` ${checked.checked} of ${checked.of} cells were compared; ${checked.kinks} more lie at a kink, where there is no derivative.`
      : "";
    const paths = manual
      ? "Two programs compute this gradient: autograd, and a backward pass written by hand."
      : "JavaScript's backward pass, compared with central differences of the loss.";
    return {
      title: `Agreement in ${name}`,
      value: digits,
      what: "digits that both gradients share",
      sentence: `${paths}${compared} The digits are \u2212log10 of the largest difference over the largest gradient.`,
    };
  },
  loss({ look, label, info }) {
    const p = look.probabilities[label];
    return {
      title: "Loss",
      value: look.loss,
      what: "the cross-entropy of this image",
      sentence:
        `\u2212ln ${number(p, 4)}: minus the logarithm of the probability of the label ` +
        `${info.classes[label]}. It is 0 when the network is certain of the label.`,
      terms: [
        {
          text: `p(${info.classes[label]})`,
          value: p,
          subject: { k: info.stages.length - 1, cell: label, weight: null },
        },
      ],
    };
  },
};

function shapeSentence(info, k) {
  const { shape, word, options, name } = info.stages[k];
  if (k === 0)
    return `The image: ${shape[0]} channel(s) of ${shape[1]} rows and ${shape[2]} columns.`;
  const input = info.stages[k - 1].shape;
  const kernel = options.kernel ?? options.size;
  if (kernel && shape.length === 3) {
    const dilation = options.dilation?.[0] ?? 1;
    const sum = `(${input[1]} + 2\u00b7${options.padding[0]} \u2212 ${dilation * (kernel[0] - 1) + 1}) / ${options.stride[0]} + 1 = ${shape[1]}`;
    return (
      `${shape[0]} maps. Rows: (rows + 2 padding \u2212 window) / stride + 1 = ${sum}, rounded down. ` +
      "Columns in the same way."
    );
  }
  if (word === "flatten") return `${input.join(" \u00b7 ")} = ${shape[0]} numbers in one row.`;
  if (word === "dense")
    return `${shape[0]} units, each with a weight for each of the ${input.join(" \u00b7 ")} numbers before it.`;
  return `${name} acts on each number alone, so the shape stays.`;
}
