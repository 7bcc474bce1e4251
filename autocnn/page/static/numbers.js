/** How numbers, shapes and places are written. */

const MINUS = "\u2212";
const SUPERSCRIPT = { "-": "\u207b", 0: "\u2070", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3" };
for (let digit = 4; digit < 10; digit++) SUPERSCRIPT[digit] = String.fromCharCode(0x2070 + digit);

const signed = (text) => text.replace("-", MINUS);

/** A number with `digits` significant digits: 0.0312, −1.24, 3.1·10⁻⁶. */
export function number(x, digits = 3) {
  if (x === 0 || !Number.isFinite(x)) return signed(String(x === 0 ? 0 : x));
  const size = Math.abs(x);
  if (size >= 1e-3 && size < 1e5) {
    const after = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
    return signed(x.toFixed(Math.min(after, digits + 2)));
  }
  const [mantissa, exponent] = x.toExponential(Math.max(0, digits - 1)).split("e");
  const power = [...String(Number(exponent))].map((c) => SUPERSCRIPT[c]).join("");
  return `${signed(mantissa)}\u00b710${power}`;
}

/** A number for a small cell, in at most five characters. */
export function short(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  const sign = x < 0 ? MINUS : "";
  if (size >= 99.5) return sign + size.toFixed(0);
  if (size >= 9.95) return sign + size.toFixed(1);
  if (size >= 0.0005 && size < 0.005) return sign + size.toFixed(3).replace(/^0/, "");
  if (size >= 0.005) return sign + size.toFixed(2).replace(/^0/, "");
  const [mantissa, exponent] = size.toExponential(0).split("e");
  return `${sign}${mantissa}e${signed(exponent)}`;
}

/** A probability as a percentage. */
export function percent(p) {
  const value = 100 * p;
  if (value >= 99.95 && p < 1) return "> 99.9 %";
  if (value > 0 && value < 0.05) return "< 0.1 %";
  return `${value.toFixed(1)} %`;
}

/** 3 × 6 × 6. */
export const shapeText = (shape) => shape.join("\u00d7");

/** conv[1, 2, 3]. */
export const cellText = (name, indices) => `${name}[${indices.join(", ")}]`;

/** Where a cell is, in words. */
export function placeText(shape, indices) {
  if (shape.length === 3) return `map ${indices[0]}, row ${indices[1]}, column ${indices[2]}`;
  return `number ${indices[0]} of ${shape[0]}`;
}
