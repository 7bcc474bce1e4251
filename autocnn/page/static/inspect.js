/** The inspector: what a number is, where it comes from, and why a gradient is zero. */

import { element } from "./dom.js";
import { arrayOf, explain } from "./explain.js";
import { numberGrid } from "./grids.js";
import { commonDigits } from "./local.js";
import { number } from "./numbers.js";
import { largest } from "./tensor.js";

const SIGNS = ["\u00d7", "=", ""];

/**
 * Make the inspector. on: {pin(subject | null), engine}, of which the engine may have `difference`.
 * Returns {element, show(view)}.
 */
export function inspector(info, { pin, engine }) {
  const root = element("section", {
    class: "inspector",
    "aria-label": "Where a number comes from",
  });
  let [group, shownFor] = [null, ""]; // the group that is shown in full; null for the largest

  function show(view) {
    const { subject } = view;
    if (!subject) {
      if (shownFor !== "hint") root.replaceChildren(hint());
      shownFor = "hint";
      return;
    }
    const key = `${subject.k} ${subject.weight}`;
    if (key !== shownFor) group = null;
    shownFor = key;
    const found = explain({ ...view, info }, subject);
    root.replaceChildren(
      heading(found, view),
      element("p", { class: "sentence" }, found.sentence),
      ...found.why.map((why) => element("p", { class: "why" }, why)),
      element("div", { class: "sum" }, groupParts(found, view), termParts(found)),
      ...paths(view, subject),
    );
  }

  function heading({ title, value, what }, { pinned }) {
    return element(
      "div",
      { class: "heading" },
      element("h2", {}, title),
      typeof value === "number" && element("output", { class: "value" }, `= ${number(value, 5)}`),
      element("span", { class: "quiet" }, what),
      pinned
        ? element(
            "button",
            {
              type: "button",
              class: "unpin",
              onclick: () => pin(null),
              title: "Let the inspector follow the pointer again (Escape)",
            },
            "Follow the pointer",
          )
        : element("span", { class: "quiet unpin" }, "Click to hold it"),
    );
  }

  function groupParts(found, view) {
    const { groups } = found;
    if (!groups.length) return [];
    const sums = groups.map(({ sum }) => Math.abs(sum ?? 0));
    const chosen =
      group !== null && group < groups.length ? group : sums.indexOf(Math.max(...sums));
    const { grids, sum, arrow } = groups[chosen];
    const tabs =
      groups.length > 1 &&
      element(
        "div",
        { class: "groups", role: "group", "aria-label": "Parts of the sum" },
        groups.map(({ name, sum }, i) =>
          element(
            "button",
            {
              type: "button",
              "aria-pressed": String(i === chosen),
              onclick: () => {
                group = i;
                show(view);
              },
            },
            element("span", {}, name),
            element("span", { class: "number" }, sum === null ? "" : number(sum, 3)),
          ),
        ),
      );
    const shown = grids.map((grid, i) => [
      numberGrid(grid, view.theme, pin),
      i + 1 < grids.length &&
        element("span", { class: "sign", "aria-hidden": "true" }, arrow ? "\u2190" : SIGNS[i]),
    ]);
    const total =
      sum !== null &&
      !arrow &&
      element(
        "div",
        { class: "group-sum" },
        element("span", { class: "sign" }, "\u03a3 ="),
        element("span", { class: "number" }, number(sum, 4)),
      );
    return [tabs, element("div", { class: "grids" }, shown, total)];
  }

  function termParts({ groups, terms, total, value }) {
    if (!terms.length && !(total && groups.length > 1)) return [];
    const own = terms.map(({ text, value, subject }) =>
      element(
        "li",
        {},
        element(
          subject ? "button" : "span",
          {
            type: subject ? "button" : null,
            class: "term",
            onclick: subject ? () => pin(subject) : null,
          },
          element("span", {}, text),
          element("span", { class: "number" }, number(value, 4)),
        ),
      ),
    );
    const parts = groups.length
      ? element(
          "li",
          {},
          element(
            "span",
            { class: "term" },
            element(
              "span",
              {},
              groups.length > 1
                ? `all ${groups.length} ${groups[0].name.split(" ")[0]}s`
                : "products",
            ),
            element(
              "span",
              { class: "number" },
              number(
                groups.reduce((sum, one) => sum + (one.sum ?? 0), 0),
                4,
              ),
            ),
          ),
        )
      : null;
    const sum =
      total &&
      element(
        "li",
        { class: "total" },
        element(
          "span",
          { class: "term" },
          element("span", {}, "sum"),
          element("span", { class: "number" }, number(value, 4)),
        ),
      );
    return element("ul", { class: "terms" }, parts && total ? parts : null, own, sum || null);
  }

  /** The second path to the same gradient, with the digits that both share. */
  function paths({ look, mode, label }, subject) {
    if (mode !== "backward" || label === null || subject.cell === undefined) return [];
    const { array } = arrayOf(look, subject);
    if (!array.auto) return [];
    const [mine, scale] = [array.auto[subject.cell], largest(array.auto)];
    const rows = [];
    if (array.manual) {
      const other = array.manual[subject.cell];
      rows.push(["autograd", mine], ["by hand", other]);
      if (array.difference) rows.push(["difference", array.difference[subject.cell]]);
      if (array.digits !== null)
        rows.push(["digits in common, whole stage", Math.floor(10 * array.digits) / 10]);
    } else if (engine.difference) {
      const found = engine.difference(subject.k, subject.cell, subject.weight);
      if (found) {
        rows.push(["backward pass", mine], ["central difference", found.value]);
        if (!found.kink && mine === 0 && found.value === 0) rows.push(["", "both are 0"]);
        else if (!found.kink)
          rows.push([
            "digits in common",
            Math.floor(10 * commonDigits(mine, found.value, scale)) / 10,
          ]);
        else
          rows.push([
            "",
            "a kink: the slopes to the left and right differ, so there is no derivative",
          ]);
      }
    }
    if (!rows.length) return [];
    return [
      element(
        "dl",
        { class: "paths", "aria-label": "Two paths to the same gradient" },
        rows.map(([name, value]) =>
          element(
            "div",
            {},
            element("dt", {}, name),
            element(
              "dd",
              {},
              typeof value === "number" ? number(value, name.startsWith("digits") ? 3 : 8) : value,
            ),
          ),
        ),
      ),
    ];
  }

  function hint() {
    return element(
      "div",
      { class: "hint" },
      element("h2", {}, "Where does a number come from?"),
      element(
        "p",
        {},
        "Draw on the left. Point at any cell to see the numbers that it is computed from, and click to hold it. " +
          "Forward shows activations, Backward the gradients of the loss; a click on a class takes it as the label.",
      ),
      element(
        "p",
        { class: "quiet" },
        "By keyboard: Tab reaches the drawing and the network. Arrow keys move, Enter holds a cell, Escape lets it go; " +
          "in the network, [ and ] go to the stage before and after, Page Up and Page Down to another map.",
      ),
    );
  }

  return { element: root, show };
}
