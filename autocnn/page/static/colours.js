/**
 * Colours of values: a diverging scale from blue (negative) over the paper's colour (zero) to
 * orange (positive), and for images a scale from paper to ink. Blue and orange stay apart in all
 * common kinds of colour blindness.
 */

// Stops from 0 to 1 for each sign; each is more distinct from the paper than the one before.
const SCALES = {
  light: {
    zero: [250, 249, 246],
    positive: [
      [253, 226, 190],
      [246, 173, 96],
      [224, 112, 22],
      [166, 68, 0],
    ],
    negative: [
      [205, 225, 242],
      [123, 176, 219],
      [44, 115, 180],
      [10, 66, 128],
    ],
    ink: [28, 30, 34],
  },
  dark: {
    zero: [30, 33, 38],
    positive: [
      [88, 54, 22],
      [156, 86, 20],
      [226, 128, 36],
      [255, 196, 128],
    ],
    negative: [
      [24, 56, 92],
      [34, 94, 156],
      [72, 146, 216],
      [172, 214, 250],
    ],
    ink: [240, 240, 236],
  },
};

const LEVELS = 256; // of each sign

function ramp(zero, stops) {
  const all = [zero, ...stops];
  return Array.from({ length: LEVELS }, (_, i) => {
    const at = (i / (LEVELS - 1)) * (all.length - 1);
    const k = Math.min(all.length - 2, Math.floor(at));
    return all[k].map((c, channel) => Math.round(c + (at - k) * (all[k + 1][channel] - c)));
  });
}

const TABLES = Object.fromEntries(
  Object.entries(SCALES).map(([theme, { zero, positive, negative, ink }]) => [
    theme,
    { positive: ramp(zero, positive), negative: ramp(zero, negative), ink: ramp(zero, [ink]) },
  ]),
);

/** The colour [r, g, b] of a value. kind: "signed" or "ink". most: the value of the last colour. */
export function colour(theme, kind, value, most) {
  const table = TABLES[theme];
  const level = Math.round(Math.min(1, Math.abs(value) / (most || 1)) * (LEVELS - 1)) || 0;
  if (kind === "ink") return value > 0 ? table.ink[level] : table.ink[0];
  return (value < 0 ? table.negative : table.positive)[level];
}

/** The colour as CSS. */
export const css = ([r, g, b]) => `rgb(${r}, ${g}, ${b})`;

/** WCAG's relative luminance of [r, g, b], 0 to 1. */
export function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => {
    const s = c / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Text on a colour: near black or white, whichever contrasts more. */
export const textOn = (rgb) => (luminance(rgb) > 0.179 ? "#101214" : "#ffffff");

/** Fill ImageData's bytes with the colours of `count` values from `from` on, at byte `into`. */
export function paintRow(bytes, into, theme, kind, values, from, step, count, most) {
  for (let i = 0; i < count; i++, from += step, into += 4) {
    const [r, g, b] = colour(theme, kind, values[from], most);
    bytes[into] = r;
    bytes[into + 1] = g;
    bytes[into + 2] = b;
    bytes[into + 3] = 255;
  }
}

/** The theme in force: root's data-theme, or what the system prefers. */
export function themeOf(root) {
  const chosen = root.dataset.theme;
  if (chosen === "light" || chosen === "dark") return chosen;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** The colours in force, from the style sheet. */
export function coloursOf(root) {
  const style = getComputedStyle(root);
  const probe = (name) => style.getPropertyValue(name).trim();
  return {
    accent: probe("--accent"),
    paper: probe("--paper"),
    line: probe("--line"),
    text: probe("--text"),
  };
}
