/** Tensors: {shape: number[], values: Float64Array}, the last axis fastest. */

/** The number of values of a shape. */
export const size = (shape) => shape.reduce((a, b) => a * b, 1);

/** Make a tensor; zeros without values. Values are copied unless they are a Float64Array. */
export function tensor(shape, values = null) {
  if (values === null) values = new Float64Array(size(shape));
  else if (!(values instanceof Float64Array)) values = Float64Array.from(values);
  if (values.length !== size(shape))
    throw new Error(`shape ${shape.join("x")} needs ${size(shape)} values, got ${values.length}`);
  return { shape: [...shape], values };
}

/** The indices of a flat position: place([3, 6, 6], 50) is [1, 2, 2]. */
export function place(shape, at) {
  const indices = new Array(shape.length);
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    indices[axis] = at % shape[axis];
    at = Math.floor(at / shape[axis]);
  }
  return indices;
}

/** The flat position of indices; the inverse of `place`. */
export const position = (shape, indices) =>
  indices.reduce((at, index, axis) => at * shape[axis] + index, 0);

/** The largest absolute value, 0 for no values. */
export function largest(values) {
  let most = 0;
  for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  return most;
}
