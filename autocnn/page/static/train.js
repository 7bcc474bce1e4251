/** The panel "Train": play, pause, steps, settings, curves, kernels, and the way back. */

import { bars, chart } from "./charts.js";
import { paintRow, themeOf } from "./colours.js";
import { action, attempt, labelled, numeric, select } from "./controls.js";
import { element } from "./dom.js";
import { number } from "./numbers.js";
import { largest } from "./tensor.js";

const [MOST_LOSSES, MOST_KERNELS] = [2000, 32];

/** Fill `root` with the panel. */
export function training(root, engine, page) {
  const { tell } = page;
  let [status, losses, sliding] = [page.state.info.training, [], null];

  const play = action("Play", "Train until paused", () => ask(status.playing ? "pause" : "play"), tell);
  const settings = status.settings;
  const set = (change) => attempt(() => ask("settings", change), tell);
  const rate = numeric(settings.rate, { min: 0 }, (value) => set({ rate: value }));
  const batch = numeric(settings.batch_size, { min: 1, step: 1 }, (value) => set({ batch_size: value }));
  const seed = numeric(settings.seed, { min: 0, step: 1 }, (value) => set({ seed: value }));
  const optimizer = select(status.optimizers.map((name) => [name, name]), (value) => set({ optimizer: value }));
  optimizer.value = settings.optimizer;
  const slider = element("input", { type: "range", min: 0, step: 1, class: "slider" });
  const where = element("output", { class: "where" });
  const present = action("Present", "Go back to the latest parameters", () => ask("at", { moment: null }), tell);
  const [curves, accuracies] = [element("div"), element("div")];
  const [kernels, norms] = [element("div", { class: "kernels" }), element("div", { class: "bars" })];
  const figure = (title, body, note) =>
    element("figure", {}, element("figcaption", {}, title, note ? element("span", { class: "quiet" }, ` ${note}`) : null), body);

  play.dataset.action = "play";
  root.replaceChildren(
    element("div", { class: "row" },
      element("div", { class: "row tight" },
        play,
        action("One step", "Train on one batch", () => ask("step"), tell),
        action("One epoch", "Train to the end of the epoch", () => ask("epoch"), tell),
        action("Back to the start", "New parameters, as before training", () => ask("restart"), tell)),
      labelled("Rate", rate), labelled("Batch", batch), labelled("Optimizer", optimizer), labelled("Seed", seed)),
    element("div", { class: "figures" },
      figure("Loss", curves, "logarithmic"),
      figure("Accuracy", accuracies),
      figure("Kernels of the first convolution", kernels),
      figure("Gradient by layer", norms, "root mean square of dL/dw")),
    element("div", { class: "row history" }, labelled("Moment", slider), where, present),
  );

  const ask = (question, fields) => engine.ask(question, fields);

  slider.addEventListener("input", () => {
    const moment = Number(slider.value);
    say(status.history[moment]);
    const waits = sliding !== null;
    sliding = moment;
    if (!waits) slide();
  });

  /** Ask for the newest moment that the slider was moved to. */
  async function slide() {
    const moment = sliding;
    const is_last = moment === status.history.length - 1;
    await attempt(() => ask("at", { moment: is_last ? null : moment }), tell);
    const more = sliding !== moment;
    if (more) slide();
    else sliding = null;
  }

  function say({ step, epoch, loss, losses, accuracies }) {
    const parts = [`step ${step}`, `epoch ${number(epoch, 3)}`];
    if (losses) parts.push(`loss ${number(losses[0], 3)}`, `accuracy ${number(100 * accuracies[1], 3)} % of validation`);
    else if (loss !== null) parts.push(`batch loss ${number(loss, 3)}`);
    where.textContent = parts.join(" \u00b7 ");
  }

  function draw(kernel) {
    const { history, playing } = status;
    const at = status.at ?? history.length - 1;
    const moment = history[at];
    play.textContent = playing ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(playing));
    const perEpoch = history.at(-1).step / (history.at(-1).epoch || 1) || 1;
    const evaluated = history.filter((m) => m.losses);
    const line = (key, which) => evaluated.map((m) => [m.epoch, m[key][which]]);
    const x = status.at === null ? null : moment.epoch;
    curves.replaceChildren(chart([
      { name: "batch", kind: "faint", points: losses.map(([step, loss]) => [step / perEpoch, loss]) },
      { name: "training", kind: "main", points: line("losses", 0) },
      { name: "valid.", kind: "second", points: line("losses", 1) },
    ], { title: "Loss", log: true, at: x }));
    accuracies.replaceChildren(chart([
      { name: "training", kind: "main", points: line("accuracies", 0) },
      { name: "valid.", kind: "second", points: line("accuracies", 1) },
    ], { title: "Accuracy", range: [0, 1], at: x }));
    norms.replaceChildren(...[bars(moment.norms)].flat());
    if (kernel) kernels.replaceChildren(...kernelTiles(kernel, themeOf(root.closest(".autocnn"))));
    slider.max = history.length - 1;
    if (sliding === null) slider.value = at;
    slider.disabled = playing || history.length < 2;
    present.hidden = status.at === null;
    if (sliding === null) say(moment);
    for (const [field, value] of [[rate, status.settings.rate], [batch, status.settings.batch_size], [seed, status.settings.seed]])
      if (field !== document.activeElement) field.value = value;
  }

  engine.on("progress", (report) => {
    if (report.restarted) losses = [];
    losses.push(...report.batch_losses);
    if (losses.length > MOST_LOSSES) losses = losses.filter((_, i) => i % 2 === 0);
    status = report;
    if (root.isConnected) draw(report.kernels);
  });
  const first = page.state.info.stages.find((stage) => stage.weights.w?.shape.length === 4);
  const kernel = first && Object.assign(first.weights.w.values, { shape: first.weights.w.shape });
  requestAnimationFrame(() => draw(kernel)); // when the panel is in the page and has its colours
}

/** A canvas for each kernel, on one scale of colours. */
function kernelTiles(kernel, theme) {
  const [filters, channels, height, width] = kernel.shape;
  const [most, size] = [largest(kernel), height * width];
  const count = Math.min(filters * channels, MOST_KERNELS);
  return Array.from({ length: count }, (_, k) => {
    const name = `filter ${Math.floor(k / channels)}${channels > 1 ? `, channel ${k % channels}` : ""}`;
    const canvas = element("canvas", { width, height, role: "img", title: name, "aria-label": `${name}: ${kernelText(kernel, k * size, size)}` });
    const image = new ImageData(width, height);
    paintRow(image.data, 0, theme, "signed", kernel, k * size, 1, size, most);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  });
}

const kernelText = (kernel, from, size) =>
  Array.from(kernel.subarray(from, from + size), (value) => number(value, 2)).join(", ");
