/** Form controls with their labels, and buttons that report their errors. */

import { element } from "./dom.js";

let count = 0; // of labels, for the ids that join them to their controls

/** A label above a control. */
export function labelled(text, control) {
  control.id = `autocnn-control-${++count}`;
  return element("span", { class: "labelled" }, element("label", { for: control.id }, text), control);
}

/** A field for a number; onChange gets the number. */
export function numeric(value, { min, max, step = "any" }, onChange) {
  const field = element("input", { type: "number", min, max, step, value: String(value) });
  field.addEventListener("change", () => field.value !== "" && onChange(Number(field.value)));
  return field;
}

/** A choice from a list. options: [[value, text]]. Returns a <select>. */
export function select(options, onChange) {
  const made = element("select", {}, optionsOf(options));
  made.addEventListener("change", () => onChange(made.value));
  return made;
}

/** Replace the options of a <select>. */
export function setOptions(made, options) {
  made.replaceChildren(...optionsOf(options));
}

const optionsOf = (options) =>
  options.map(([value, text]) => element("option", { value }, text));

/** A button that does something asynchronous; what goes wrong is told. */
export function action(text, title, run, tell) {
  const button = element("button", { type: "button", title }, text);
  button.addEventListener("click", () => attempt(run, tell));
  return button;
}

/** Run something asynchronous, and tell what goes wrong in one line. */
export async function attempt(run, tell) {
  try {
    await run();
  } catch (error) {
    tell(error.message);
  }
}
