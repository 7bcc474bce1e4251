/** The three rooms of the page: the drawing, the network, and the panels below. */

import { element } from "./dom.js";

/** Make the rooms' elements. parts: of app.js. about: an element. bar, panels: lists of elements. */
export function roomsOf(parts, about, bar, panels) {
  return [
    element(
      "section",
      { class: "side", "aria-label": "Drawing" },
      element("h2", {}, "Draw"),
      parts.drawing.element,
      parts.gallery.element,
      about,
    ),
    element(
      "section",
      { class: "center", "aria-label": "Network" },
      element("div", { class: "row bar-top" }, bar),
      parts.network.element,
      parts.inspector.element,
    ),
    element("section", { class: "panels" }, panels),
  ];
}

/** What to do in a direction. */
export const NOTES = {
  forward:
    "Point at a cell: all cells that it is computed from are framed in the stages before it.",
  backward:
    "Point at a cell: all cells that its gradient comes from are framed in the stages after " +
    "it. Dots mark ties: equal maxima in a window, or ReLU at exactly 0.",
};
