/** The panel "Break it": a planted mistake in one layer of the path by hand, and the checker. */

import { action, attempt, labelled, select, setOptions } from "./controls.js";
import { element } from "./dom.js";
import { listing, refused, report, waiting } from "./report.js";

const AGREE = 8; // digits; rounding leaves 14 or more, a mistake hardly any

/** Fill `root` with the panel. */
export async function breaking(root, engine, page) {
  const { tell } = page;
  const known = await engine.ask("mistakes").catch((error) => (tell(error.message), []));
  let broken = page.state.info.broken;

  const layer = select(known.map(({ layer, word }) => [layer, layer === "loss" ? `loss: ${word.replace("_", "-")}` : layer]), choose);
  const mistake = select([], () => plant());
  const status = element("p", { class: "status", role: "status" });
  const [source, found] = [element("div", { class: "source" }), element("div", { class: "found" })];
  const mend = action("Mend", "Take the mistake out", () => set(null), tell);
  const check = action("Check", "Run the gradient checker on this layer", runCheck, tell);
  [mend.dataset.action, check.dataset.action] = ["mend", "check"];

  root.replaceChildren(
    element("p", { class: "quiet" },
      "Plant a mistake in the backward pass by hand. Look at the gradients, train with it, then have it checked."),
    element("div", { class: "row" }, labelled("Layer", layer), labelled("Mistake", mistake), check, mend),
    status,
    element("div", { class: "split" }, source, found),
  );

  async function choose() {
    const { mistakes } = known.find((one) => one.layer === layer.value);
    setOptions(mistake, [["", "none"], ...mistakes.map((name) => [name, name])]);
    mistake.value = broken?.layer === layer.value ? broken.mistake : "";
    await show();
  }

  const plant = () => attempt(() => set(mistake.value || null), tell);

  async function set(name) {
    ({ broken } = await engine.ask("break", { layer: layer.value, mistake: name }));
    mistake.value = broken?.layer === layer.value ? broken.mistake : "";
    await show();
  }

  async function show(wrong = null) {
    const start = mistake.value || null;
    const { text } = await engine.ask("source", { layer: layer.value, start });
    source.replaceChildren(listing(text, wrong));
    if (wrong === null) found.replaceChildren();
    mend.disabled = !broken;
  }

  /** Say what is broken, and where the two paths part for the image that is shown. */
  function describe(look) {
    const compared = look.stages.flatMap(({ name, digits, weights }) => [
      [name, digits],
      ...Object.entries(weights).map(([key, weight]) => [`${name}.${key}`, weight.digits]),
    ]).filter(([, digits]) => digits !== null);
    const apart = compared.filter(([, digits]) => digits < AGREE).map(([name]) => name);
    const fewest = Math.min(...compared.map(([, digits]) => digits));
    const what = broken ? `${broken.layer} is broken: ${broken.mistake}. ` : "Nothing is broken. ";
    let where = "";
    if (apart.length) where = `The two paths part at ${listed(apart)}.`;
    else if (compared.length) where = `For this image the two paths agree to ${fewest.toFixed(1)} digits or more.`;
    status.textContent = what + where;
    status.classList.toggle("is-broken", Boolean(broken));
    status.dataset.apart = apart.join(" ");
  }

  async function runCheck() {
    waiting(found);
    try {
      const answer = await engine.ask("check", { layer: layer.value, mistake: mistake.value || null });
      if (answer.dropped) return;
      await show(answer.place?.line ?? 0);
      report(found, answer);
    } catch (error) {
      refused(found, error.message);
    }
  }

  engine.on("look", describe);
  await attempt(choose, tell);
  if (page.state.look) describe(page.state.look);
}

const listed = (names) =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
