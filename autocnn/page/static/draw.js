/** The canvas on which one draws: a pen, an eraser, tools and keys. */

import { colour, css } from "./colours.js";
import { element } from "./dom.js";

const KEYS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

/** Pixels are kept at multiples of 1 / 255, so that a link restores them exactly. */
const byte = (value) => Math.fround(Math.round(255 * Math.min(1, Math.max(0, value))) / 255);

/** The pen's mark around (row, column): calls mark(i, j, strength). */
export function pen(height, width, row, column, mark) {
  if (height <= 12) return mark(Math.floor(row), Math.floor(column), 1);
  const radius = 0.045 * height;
  const reach = Math.ceil(radius + 1);
  for (let i = Math.floor(row) - reach; i <= row + reach; i++)
    for (let j = Math.floor(column) - reach; j <= column + reach; j++) {
      const distance = Math.hypot(i + 0.5 - row, j + 0.5 - column);
      mark(i, j, Math.max(0, Math.min(1, radius + 0.5 - distance + 0.25)));
    }
}

/** Changes of a whole image: functions (pixels, [C, H, W]) -> pixels. */
export const CHANGES = {
  clear: (pixels) => pixels.map(() => 0),
  invert: (pixels) => pixels.map((value) => byte(1 - value)),
  noise: (pixels) => pixels.map((value) => byte(value + 0.12 * gaussian())),
  up: (pixels, shape) => shifted(pixels, shape, -1, 0),
  down: (pixels, shape) => shifted(pixels, shape, 1, 0),
  left: (pixels, shape) => shifted(pixels, shape, 0, -1),
  right: (pixels, shape) => shifted(pixels, shape, 0, 1),
};

const gaussian = () =>
  Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

function shifted(pixels, [c, h, w], down, right) {
  return pixels.map((_, at) => {
    const k = Math.floor(at / (h * w));
    const [i, j] = [Math.floor((at % (h * w)) / w) - down, (at % w) - right];
    return k < c && i >= 0 && i < h && j >= 0 && j < w ? pixels[(k * h + i) * w + j] : 0;
  });
}

/**
 * Make the canvas. shape: (C, H, W). change(pixels): called with a new array after each mark.
 * say(text): one line for those who hear the page.
 *
 * Returns {element, canvas, lay(width), set(pixels), draw(theme, colours)}.
 */
export function drawing(shape, { change, say }) {
  const [channels, height, width] = shape;
  const canvas = element("canvas", {
    class: "pad",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "drawing",
    "aria-label":
      `Drawing of ${height} by ${width} pixels. Arrow keys move, space draws, ` +
      "backspace erases, shift with an arrow draws a line.",
  });
  const context = canvas.getContext("2d");
  let [pixels, side, ratio] = [new Float32Array(channels * height * width), 10, 1];
  let [erasing, last, keyboard] = [false, null, null];

  function mark(row, column, strength, erase) {
    const next = Float32Array.from(pixels);
    pen(height, width, row, column, (i, j, amount) => {
      if (i < 0 || j < 0 || i >= height || j >= width) return;
      for (let c = 0; c < channels; c++) {
        const at = (c * height + i) * width + j;
        next[at] = erase
          ? Math.min(next[at], byte(1 - amount * strength))
          : Math.max(next[at], byte(amount * strength));
      }
    });
    pixels = next;
  }

  function where(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientY - box.top) / side, (event.clientX - box.left) / side];
  }

  /** Draw from the last point to this one, in steps of at most a third of a pixel. */
  function stroke([row, column]) {
    const [from, across] = last ?? [row, column];
    const steps = Math.max(1, Math.ceil(3 * Math.hypot(row - from, column - across)));
    for (let k = 1; k <= steps; k++)
      mark(from + ((row - from) * k) / steps, across + ((column - across) * k) / steps, 1, erasing);
    last = [row, column];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 2) return;
    canvas.setPointerCapture(event.pointerId);
    keyboard = null;
    erasing = eraser.getAttribute("aria-pressed") === "true" || event.button === 2;
    last = null;
    stroke(where(event));
    change(pixels);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const point of event.getCoalescedEvents?.() ?? [event]) stroke(where(point));
    change(pixels);
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, () => (last = null));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener("keydown", (event) => {
    keyboard ??= [Math.floor(height / 2), Math.floor(width / 2)];
    const by = KEYS[event.key];
    const [draws, erases] = [event.key === " ", ["Backspace", "Delete"].includes(event.key)];
    if (!by && !draws && !erases) return;
    event.preventDefault();
    if (by) {
      const [row, column] = keyboard;
      keyboard = [
        Math.min(height - 1, Math.max(0, row + by[0])),
        Math.min(width - 1, Math.max(0, column + by[1])),
      ];
    }
    const [row, column] = keyboard;
    if (draws || erases || event.shiftKey) mark(row + 0.5, column + 0.5, 1, erases);
    say(`row ${row}, column ${column}: ${pixels[row * width + column].toFixed(2)}`);
    change(pixels);
  });
  canvas.addEventListener("blur", () => {
    keyboard = null;
    change(pixels);
  });

  const eraser = element(
    "button",
    {
      type: "button",
      "aria-pressed": "false",
      onclick: () =>
        eraser.setAttribute("aria-pressed", String(eraser.getAttribute("aria-pressed") !== "true")),
    },
    "Erase",
  );
  const tool = (name, text, label) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": label,
        title: label,
        onclick: () => change((pixels = CHANGES[name](pixels, shape))),
      },
      text,
    );
  const tools = element(
    "div",
    { class: "tools" },
    eraser,
    tool("clear", "Clear", "Clear the drawing"),
    tool("invert", "Invert", "Invert the drawing"),
    tool("noise", "Noise", "Add noise"),
    element(
      "span",
      { class: "arrows", role: "group", "aria-label": "Shift by one pixel" },
      tool("left", "\u2190", "Shift left"),
      tool("up", "\u2191", "Shift up"),
      tool("down", "\u2193", "Shift down"),
      tool("right", "\u2192", "Shift right"),
    ),
  );

  /** Fit the canvas into a width. */
  function lay(room) {
    side = Math.max(4, Math.floor(room / width));
    ratio = Math.max(1, window.devicePixelRatio || 1);
    [canvas.width, canvas.height] = [side * width * ratio, side * height * ratio];
    canvas.style.width = `${side * width}px`;
    canvas.style.height = `${side * height}px`;
  }

  function draw(theme, { accent, paper, line }) {
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        context.fillStyle = css(colour(theme, "ink", pixels[i * width + j], 1));
        context.fillRect(j * side, i * side, side, side);
      }
    if (height <= 12) {
      context.strokeStyle = line;
      context.lineWidth = 1;
      context.beginPath();
      for (let i = 1; i < height; i++) {
        context.moveTo(0, i * side + 0.5);
        context.lineTo(width * side, i * side + 0.5);
        context.moveTo(i * side + 0.5, 0);
        context.lineTo(i * side + 0.5, height * side);
      }
      context.stroke();
    }
    if (keyboard) {
      const [row, column] = keyboard;
      for (const [style, thick] of [
        [paper, 4],
        [accent, 2],
      ]) {
        context.strokeStyle = style;
        context.lineWidth = thick;
        context.strokeRect(column * side + 1, row * side + 1, side - 2, side - 2);
      }
    }
  }

  const root = element("div", { class: "drawing" }, canvas, tools);
  return { element: root, canvas, lay, draw, set: (next) => (pixels = Float32Array.from(next)) };
}
