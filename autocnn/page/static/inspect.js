/** The inspector: what a number is, where it comes from, and why a gradient is zero. */

import { element } from "./dom.js";
import { spoken } from "./explain.js";

export function inspector(info, { pin, mode, engine }) {
  const root = element("section", { class: "inspector", "aria-label": "Inspector" });
  return {
    element: root,
    show(view) {
      root.textContent = view.subject ? spoken(view, view.subject) : "Point at a number.";
    },
  };
}
