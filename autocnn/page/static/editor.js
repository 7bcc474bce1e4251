/** The panel "Write your own": the backward pass of one layer in an editor, and the checker. */

import { action, attempt, labelled, select, setOptions } from "./controls.js";
import { element } from "./dom.js";
import { refused, report, waiting } from "./report.js";

/** Fill `root` with the panel. */
export async function editor(root, engine, page) {
  const { tell } = page;
  const known = await engine.ask("mistakes").catch((error) => (tell(error.message), []));
  const layer = select(known.map(({ layer, word }) => [layer, layer === "loss" ? `loss: ${word.replace("_", "-")}` : layer]), choose);
  const start = select([], () => attempt(load, tell));
  const gutter = element("ol", { class: "gutter", "aria-hidden": "true" });
  const stripe = element("div", { class: "stripe", hidden: true });
  const area = element("textarea", { class: "code", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", "aria-label": "The function in NumPy; Control and Enter check it" });
  const found = element("div", { class: "found" });
  const check = action("Check", "Run the gradient checker (Control and Enter)", runCheck, tell);
  check.dataset.action = "check";

  root.replaceChildren(
    element("p", { class: "quiet" },
      "Write a backward pass as you would in NumPy: a function returns y and backward, which takes dL/dy. The checker runs it on this machine, for 20 seconds at most."),
    element("div", { class: "row" }, labelled("Layer", layer), labelled("Start from", start), check),
    element("div", { class: "split" }, element("div", { class: "paper" }, gutter, element("div", { class: "sheet" }, stripe, area)), found),
  );

  async function choose() {
    const { mistakes } = known.find((one) => one.layer === layer.value);
    setOptions(start, [["blank", "an empty backward pass"], ["", "the right one"], ...mistakes.map((name) => [name, name])]);
    await attempt(load, tell);
  }

  async function load() {
    const { text } = await engine.ask("source", { layer: layer.value, start: start.value || null });
    write(text);
    found.replaceChildren();
  }

  function write(text) {
    area.value = text.trimEnd();
    lay();
    mark(null);
  }

  /** As many numbered rows as the text has lines. */
  function lay() {
    const count = area.value.split("\n").length;
    area.rows = count;
    if (gutter.childElementCount !== count)
      gutter.replaceChildren(...Array.from({ length: count }, (_, i) => element("li", {}, String(i + 1))));
  }

  /** Mark a line, from 1; null for none. */
  function mark(line) {
    stripe.hidden = line === null;
    stripe.style.setProperty("--line-number", line ?? 1);
    stripe.dataset.line = line ?? "";
    for (const [i, item] of [...gutter.children].entries()) item.classList.toggle("wrong", i + 1 === line);
  }

  async function runCheck() {
    waiting(found);
    mark(null);
    const text = area.value;
    try {
      const answer = await engine.ask("check", { layer: layer.value, text });
      if (answer.dropped) return;
      mark(answer.place?.line ?? null);
      report(found, answer, (fix) => attempt(() => apply(fix), tell));
    } catch (error) {
      const line = /^line (\d+)/.exec(error.message);
      mark(line ? Number(line[1]) : null);
      refused(found, error.message);
    }
  }

  /** Put the edit into the text, and check it again. */
  async function apply({ line, before, after }) {
    const lines = area.value.split("\n");
    const joined = [];
    for (let end = line; end <= lines.length && end < line + 12; end++) {
      joined.push(lines[end - 1].trim());
      if (joined.join(" ").replace(/\s+/g, " ") !== before && lines[line - 1].trim() !== before) continue;
      const indent = /^\s*/.exec(lines[line - 1])[0];
      lines.splice(line - 1, lines[line - 1].trim() === before ? 1 : joined.length, indent + after);
      write(lines.join("\n"));
      area.focus();
      return runCheck();
    }
    tell(`line ${line} is no longer what was checked: check it again`);
  }

  area.addEventListener("input", () => {
    lay();
    mark(null);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) return void runCheck();
    const before = area.value.slice(0, area.selectionStart).split("\n").at(-1);
    const indent = /^\s*/.exec(before)[0] + (before.trimEnd().endsWith(":") ? "    " : "");
    area.setRangeText(`\n${indent}`, area.selectionStart, area.selectionEnd, "end");
    lay();
    mark(null);
  });
  await choose();
}
