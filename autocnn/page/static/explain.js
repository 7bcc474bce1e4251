/** What a number is and where it comes from, as data. */

import { cellText, number } from "./numbers.js";
import { place } from "./tensor.js";

/** One line for those who hear the page. */
export function spoken({ look, mode }, { k, cell, weight, about }) {
  const stage = look.stages[k];
  if (about) return `${about} of ${stage.name}`;
  const array = weight ? stage.weights[weight] : stage;
  const backward = mode === "backward" && array.auto;
  const value = (backward ? array.auto : array.values)[cell];
  const name = weight ? `${stage.name}.${weight}` : stage.name;
  return `${backward ? "gradient of " : ""}${cellText(name, place(array.shape, cell))} = ${number(value, 4)}`;
}
