/** Curves over training, as SVG. */

import { element } from "./dom.js";
import { number } from "./numbers.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [340, 168, 40, 88, 14, 22];
const APART = 13; // of two labels, so that they do not overlap
const MOST = 500; // points that a line is drawn with

const shown = (x) => (Number.isFinite(x) ? number(x, 2) : "\u221e");

function scale(values, log) {
  const of = (y) => (log ? Math.log10(Math.max(y, 1e-6)) : y);
  const finite = values.filter(Number.isFinite).map(of);
  let [low, high] = [Math.min(...finite), Math.max(...finite)];
  if (!finite.length) [low, high] = [0, 1];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  return { of, low, high };
}

/**
 * A chart. series: [{name, kind, points: [[x, y]]}], kind "main", "second" or "faint"; a faint one
 * has no label. options: {title, log, range: [low, high], at: x of the moment that is shown}.
 */
export function chart(series, { title, log = false, range = null, at = null }) {
  const all = series.flatMap(({ points }) => points);
  const y = range ? { of: (v) => v, low: range[0], high: range[1] } : scale(all.map((p) => p[1]), log);
  const last = Math.max(1e-9, ...all.map(([x]) => x), at ?? 0);
  const px = (x) => LEFT + (x / last) * (WIDTH - LEFT - RIGHT);
  const py = (v) => TOP + (1 - (y.of(v) - y.low) / (y.high - y.low)) * (HEIGHT - TOP - BOTTOM);
  const labels = [];
  const lines = series.map(({ name, kind, points }) => {
    const finite = points.filter(([, v]) => Number.isFinite(v));
    if (!finite.length) return null;
    const every = Math.ceil(finite.length / MOST);
    const kept = finite.filter((_, i) => i % every === 0 || i === finite.length - 1);
    const path = kept.map(([x, v]) => `${px(x).toFixed(1)},${py(v).toFixed(1)}`).join(" ");
    if (kind !== "faint") labels.push({ name, kind, value: finite.at(-1)[1], y: py(finite.at(-1)[1]) });
    return element("svg:polyline", { class: `line ${kind}`, points: path });
  });
  labels.sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + APART);
  const over = Math.max(0, (labels.at(-1)?.y ?? 0) - (HEIGHT - BOTTOM));
  const ticks = [y.low, y.high].map((v) => {
    const value = log && !range ? 10 ** v : v;
    const top = v === y.low ? HEIGHT - BOTTOM : TOP;
    return text(LEFT - 6, top + 4, shown(value), "end");
  });
  const summary = labels.map(({ name, value }) => `${name} ${shown(value)}`).join(", ");
  return element("svg:svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}: ${summary || "nothing yet"}` },
    element("svg:path", { class: "axis", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }),
    ticks,
    text(LEFT, HEIGHT - 6, "0", "middle"),
    text(WIDTH - RIGHT, HEIGHT - 6, `${number(last, 3)} epochs`, "end"),
    at === null ? null : element("svg:path", { class: "moment", d: `M${px(at).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}` }),
    lines.filter(Boolean),
    labels.map((l) => text(WIDTH - RIGHT + 5, l.y - over + 4, `${l.name} ${shown(l.value)}`, "start", l.kind)),
  );
}

function text(x, y, words, anchor, kind = "") {
  return element("svg:text", { x, y: y.toFixed(1), "text-anchor": anchor, class: kind }, words);
}

/** Bars on a logarithmic scale: the size of the gradient by layer. norms: {layer: size}. */
export function bars(norms) {
  const low = -7;
  const rows = Object.entries(norms).map(([name, size]) => {
    const share = Math.min(1, Math.max(0.01, (Math.log10(size || 1e-9) - low) / (1 - low)));
    return element("div", { class: "bar-row" },
      element("span", { class: "bar-name" }, name),
      element("span", { class: "bar-track" }, element("span", { class: "bar-fill", style: `width: ${(100 * share).toFixed(1)}%` })),
      element("span", { class: "bar-value", "data-norm": name, "data-value": String(size) }, shown(size)));
  });
  return rows.length ? rows : [element("p", { class: "quiet" }, "After the first step.")];
}
