/** What is on screen as SVG or PNG. */

import { colour, css } from "./colours.js";
import { square } from "./layout.js";

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** Cells as paths, one for each colour: small files, and vectors throughout. */
function cellPaths(tile, left, top) {
  const { values, kind, most, theme } = tile.colours;
  const byColour = new Map();
  for (let at = 0; at < values.length; at++) {
    const fill = css(colour(theme, kind, Math.round((values[at] / most) * 48) / 48, 1));
    const { x, y, size } = square(tile.grid, at);
    const path = `M${left + x} ${top + y}h${size}v${size}h${-size}z`;
    byColour.set(fill, (byColour.get(fill) ?? "") + path);
  }
  return [...byColour].map(([fill, path]) => `<path fill="${fill}" d="${path}"/>`).join("");
}

function textElement(node, origin, colours) {
  const box = node.getBoundingClientRect();
  const text = node.textContent.trim();
  if (!text || !box.width) return "";
  const style = getComputedStyle(node);
  const x = box.left - origin.left;
  const y = box.top - origin.top + box.height / 2;
  return (
    `<text x="${x}" y="${y}" dominant-baseline="central" font-size="${style.fontSize}" ` +
    `font-weight="${style.fontWeight}" fill="${colours.text}">${escaped(text)}</text>`
  );
}

/** The network as one SVG text. columns: of `network`; root: its element. */
export function svg(root, columns, colours) {
  const origin = root.getBoundingClientRect();
  const parts = [];
  for (const { root: node, maps, kernels } of columns) {
    for (const tile of [maps, kernels].filter(Boolean)) {
      const box = tile.canvas.getBoundingClientRect();
      parts.push(cellPaths(tile, box.left - origin.left + 2, box.top - origin.top + 2));
    }
    for (const text of node.querySelectorAll(".name, .shape, .most, .digits, .class-name, .value"))
      parts.push(textElement(text, origin, colours));
    for (const fill of node.querySelectorAll(".fill, .line")) {
      const box = fill.getBoundingClientRect();
      const [x, y] = [box.left - origin.left, box.top - origin.top];
      if (fill.matches(".fill"))
        parts.push(
          `<rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" fill="${colours.accent}"/>`,
        );
      else
        parts.push(
          `<path d="M${x} ${y + box.height / 2}h${box.width}" stroke="${colours.text}" fill="none"/>`,
        );
    }
  }
  const [width, height] = [Math.ceil(root.scrollWidth), Math.ceil(origin.height)];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-16 -16 ${width + 32} ${height + 32}" ` +
    `width="${width + 32}" height="${height + 32}" font-family="Helvetica, Arial, sans-serif">` +
    `<rect x="-16" y="-16" width="100%" height="100%" fill="${colours.paper}"/>${parts.join("")}</svg>`
  );
}

/** Hand a file to the person. */
export function download(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const saveSvg = (name, text) =>
  download(`${name}.svg`, new Blob([text], { type: "image/svg+xml" }));

/** Draw an SVG at twice its size and save it as PNG. */
export async function savePng(name, text) {
  const image = new Image();
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(address);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  download(`${name}.png`, blob);
}
