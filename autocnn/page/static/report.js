/** What the gradient checker found: the verdict, the place, the edit, and the whole report. */

import { element } from "./dom.js";

/**
 * Show an answer to "check" in `root`. apply: called with the fix when a person asks for it, null
 * where there is nothing to edit.
 */
export function report(root, found, apply = null) {
  const { ok, headline, place, fix, html, printed } = found;
  const [, ...rest] = headline.split("  ");
  const verdict = element("p", { class: `verdict ${ok ? "right" : "wrong"}`, role: "status" },
    element("strong", {}, ok ? "Right" : "Wrong"), ` ${rest.join(" ").replace(/^backward of /, "")}`);
  const whole = element("details", {}, element("summary", {}, "The whole report"));
  const body = element("div", { class: "whole" });
  body.innerHTML = html; // of the checker, which escapes what it quotes
  whole.append(body);
  root.replaceChildren(
    verdict,
    ...[
      place && element("p", {}, element("strong", {}, `Line ${place.line}. `), place.why),
      fix && edit(fix, apply),
      printed && element("pre", { class: "printed", "aria-label": "What the code printed" }, printed),
      whole,
    ].filter(Boolean),
  );
}

function edit(fix, apply) {
  const button = apply && element("button", { type: "button", "data-action": "apply", onclick: () => apply(fix) }, "Apply this edit");
  return element("div", { class: "edit" },
    element("p", { class: "quiet" }, `The edit of line ${fix.line} with which all gradients agree, here and at three other points:`),
    element("pre", {},
      changed("before", "\u2212 ", fix.before, fix.after),
      changed("after", "+ ", fix.after, fix.before)),
    button || []);
}

/** A line of an edit, with what differs from the other line marked. */
function changed(kind, sign, line, other) {
  const most = Math.min(line.length, other.length);
  let [first, last] = [0, 0];
  while (first < most && line[first] === other[first]) first += 1;
  while (last < most - first && line.at(-1 - last) === other.at(-1 - last)) last += 1;
  const end = line.length - last;
  return element("span", { class: kind },
    element("span", { class: "sign" }, sign),
    line.slice(0, first), element("mark", {}, line.slice(first, end)), line.slice(end));
}

/** Show that a check runs. */
export function waiting(root) {
  root.replaceChildren(element("p", { class: "quiet", role: "status" }, "The checker compares every gradient ..."));
}

/** Show in one line why there is no report. */
export function refused(root, line) {
  root.replaceChildren(element("p", { class: "verdict wrong", role: "alert" }, line));
}

/** A text with numbered lines, of which `wrong` (a number from 1, or null) is marked. */
export function listing(text, wrong = null) {
  const lines = text.replace(/\n$/, "").split("\n");
  return element("ol", { class: "listing", "aria-label": "The backward pass" },
    lines.map((line, i) =>
      element("li", { class: i + 1 === wrong ? "wrong" : null, "data-line": i + 1 }, element("code", {}, line || " "))));
}
