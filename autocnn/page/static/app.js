/** The page: its state, what changes it, and what is drawn after a change. */

import { coloursOf, themeOf } from "./colours.js";
import { asker } from "./asking.js";
import { NOTES, roomsOf } from "./body.js";
import { choice, element } from "./dom.js";
import { drawing } from "./draw.js";
import { influence, receptive } from "./fields.js";
import { gallery, ordered } from "./gallery.js";
import { inspector } from "./inspect.js";
import { copy, read, write } from "./link.js";
import { square } from "./layout.js";
import { network } from "./network.js";
import { percent } from "./numbers.js";
import { spoken } from "./explain.js";
import { panelsOf } from "./panels.js";
import { size } from "./tensor.js";
import { agreement } from "./agreement.js";
import { svg } from "./save.js";
import { headerOf } from "./header.js";

/**
 * Show an engine's network in `root`, an element of class "autocnn".
 *
 * options.engines: further engines, between which the page offers a choice. options.link: whether
 * the address's #fragment holds the state; a notebook leaves it alone.
 * Returns {state, ready: Promise, setPixels, setLabel, setMode, point, pin}.
 */
export function mount(root, engine, { engines = [engine], link = false } = {}) {
  const state = {
    engine,
    info: null,
    pixels: null,
    image: null,
    label: null,
    mode: "forward",
    look: null,
    subject: null,
    pinned: null,
    theme: null,
  };
  const live = element("div", { class: "only-heard", "aria-live": "polite" });
  const message = element("p", { class: "message", role: "status", hidden: true });
  const parts = { network: null, drawing: null, gallery: null, inspector: null };
  let [dirty, frame, speech, writing, opening] = [new Set(), 0, 0, 0, 0];

  const modes = choice(
    "Direction",
    [
      ["forward", "Forward", "The activations"],
      ["backward", "Backward", "The gradients of the loss"],
    ],
    setMode,
  );
  let [showNetwork, colours] = [() => {}, null];
  const about = element("p", { class: "about" });
  const lossText = element("button", {
    type: "button",
    class: "loss",
    onclick: () => pin({ k: last(), about: "loss" }),
  });
  const note = element("p", { class: "note" });
  const body = element("main", { class: "main" });
  const header = element("header", { class: "top" });
  root.replaceChildren(header, message, body, live);

  const last = () => state.info.stages.length - 1;
  const theme = () => themeOf(root);
  const say = (text) => {
    clearTimeout(speech);
    speech = setTimeout(() => (live.textContent = text), 250);
  };

  /** Ask for a drawing of what changed, at the next frame. */
  function changed(...what) {
    for (const part of what) dirty.add(part);
    frame ||= requestAnimationFrame(render);
  }

  function render() {
    frame = 0;
    const now = dirty;
    dirty = new Set();
    if (!state.info) return;
    if (!colours || root.dataset.shade !== theme()) {
      root.dataset.shade = theme();
      colours = coloursOf(root);
    }
    if (now.has("layout")) layout();
    parts.drawing.draw(theme(), colours);
    if (!state.look) return;
    const subject = state.pinned ?? state.subject;
    const view = { ...state, theme: theme(), colours, subject, boxes: boxesOf(subject) };
    if (now.has("look") || now.has("layout") || now.has("digits")) {
      parts.network.set(view);
      showLoss();
    }
    parts.network.draw(view);
    parts.inspector.show(view);
    root.classList.toggle("holding", state.pinned !== null);
    if (now.has("look") && state.mode === "backward") agreeing.start(view.look);
    if (link && now.has("link")) {
      clearTimeout(writing);
      writing = setTimeout(writeLink, 300);
    }
  }

  function writeLink() {
    const view = { ...state, network: state.info.name, subject: state.pinned };
    history.replaceState(null, "", write(view));
  }

  function boxesOf(subject) {
    if (!subject || subject.cell === undefined || subject.weight) return null;
    const field = state.mode === "backward" ? influence : receptive;
    return field(state.info.stages, subject.k, subject.cell);
  }

  function showLoss() {
    const { look, label, info } = state;
    lossText.hidden = look.loss === null;
    if (look.loss !== null)
      lossText.textContent = `loss for ${info.classes[label]}: ${look.loss.toFixed(4)}`;
  }

  const ask = asker(state, () => changed("look"), tell);

  function tell(text) {
    message.textContent = text;
    message.hidden = !text;
  }

  function setPixels(pixels, image = null) {
    state.pixels = pixels;
    state.image = image;
    if (image !== null) state.label = state.info.images[image].label;
    parts.drawing.set(pixels);
    parts.gallery.mark(image);
    ask().then(() => {
      if (!state.look) return;
      const p = state.look.probabilities;
      const most = p.indexOf(Math.max(...p));
      say(`${state.info.classes[most]}, ${percent(p[most])}`);
    });
    changed("link");
  }

  function setLabel(label) {
    state.label = label;
    ask();
    changed("link");
  }

  function setMode(mode) {
    state.mode = mode;
    if (state.label === null) state.label = 0;
    modes.set(mode);
    root.dataset.mode = mode;
    note.textContent = NOTES[mode];
    ask();
    changed("look", "link");
    say(mode === "backward" ? "Gradients of the loss" : "Activations");
  }

  function point(subject) {
    state.subject = subject;
    if (!state.pinned) changed("subject");
    if (state.look) say(spoken(state, subject));
  }

  function pin(subject) {
    state.pinned = subject;
    state.subject = subject ?? state.subject;
    if (subject && root.classList.contains("narrow")) reveal(subject.k);
    changed("subject", "link");
    if (subject && state.look) say(spoken(state, subject));
  }

  /** In a narrow window the inspector covers the lower half: scroll the stage above it. */
  function reveal(k) {
    const { top, bottom } = parts.network.columns[k].root.getBoundingClientRect();
    if (top < 0 || Math.min(bottom, top + 160) > 0.5 * window.innerHeight)
      window.scrollBy({ top: top - 24 });
  }

  function layout() {
    const room = body.clientWidth;
    const aside = room >= 900;
    root.classList.toggle("narrow", !aside);
    const pad = aside ? Math.max(176, Math.min(360, Math.round(room * 0.13))) : Math.min(room, 300);
    root.style.setProperty("--pad", `${pad}px`);
    parts.drawing.lay(pad);
    const height = Math.max(300, Math.min(1100, window.innerHeight * 0.47));
    parts.network.lay(aside ? room - pad - 32 : room, height);
  }

  async function open(next) {
    state.engine = next;
    const info = await next.info();
    Object.assign(state, {
      info,
      look: null,
      subject: null,
      pinned: null,
      label: null,
      image: null,
    });
    showNetwork(info.name);
    const on = { point, pin, label: setLabel, leave() {} };
    parts.network = network(info, on);
    parts.drawing = drawing(info.input, { change: (pixels) => setPixels(pixels), say });
    parts.gallery = gallery(info, (i) => setPixels(Float32Array.from(info.images[i].pixels), i));
    parts.inspector = inspector(info, { pin, mode: setMode, engine: next });
    about.textContent = info.about ?? "";
    const bar = [modes.element, lossText, note];
    body.replaceChildren(...roomsOf(parts, about, bar, panelsOf(info.offers, next, api)));
    parts.gallery.paint(theme());
    changed("layout");
  }

  async function start(found = {}) {
    const infos = await Promise.all(engines.map((one) => one.info()));
    const chosen = Math.max(
      0,
      infos.findIndex(({ name }) => name === found.network),
    );
    header.replaceChildren(...headerFor(infos));
    await open(engines[chosen]);
    if (found.theme) setTheme(found.theme);
    openImage(found);
    if (found.label !== undefined && found.label < state.info.classes.length) setLabel(found.label);
    setMode(found.mode ?? "forward");
    if (found.subject && state.info.stages[found.subject.k]) pin(found.subject);
  }

  /** Show the image of a link, else the most doubtful one, else nothing. */
  function openImage(found = {}) {
    const { images, input } = state.info;
    const count = size(input);
    const given = images[found.image] ? found.image : ordered(images, "doubtful")[0];
    if (found.pixels?.length === count) setPixels(found.pixels);
    else if (images.length) setPixels(Float32Array.from(images[given].pixels), given);
    else setPixels(new Float32Array(count));
  }

  function headerFor(infos) {
    const found = headerOf(infos, {
      async open(name) {
        opening++;
        await open(engines[infos.findIndex((one) => one.name === name)]);
        openImage();
        setMode(state.mode);
        opening--;
      },
      picture: () => svg(parts.network.element, parts.network.columns, coloursOf(root)),
      name: () => `autocnn-${state.info.name}-${state.mode}`,
      link: link ? copyLink : null,
      theme: () => setTheme(theme() === "dark" ? "light" : "dark"),
    });
    showNetwork = found.set;
    return found.parts;
  }

  async function copyLink() {
    writeLink();
    tell(await copy(location));
    setTimeout(() => tell(""), 8000);
  }

  function setTheme(next) {
    root.dataset.theme = state.theme = next;
    parts.gallery?.paint(theme());
    changed("look", "link");
  }

  const agreeing = agreement(state, () => changed("digits"));
  /** For tests: where the cells of a stage, or of its kernels, are drawn. */
  function drawn(name, weight = "") {
    const { maps, kernels } = parts.network.columns.find(({ stage }) => stage.name === name);
    const { grid } = weight ? kernels : maps;
    return { square: (cell) => square(grid, cell) };
  }

  /** For tests: wait until every question is answered, and every change is drawn. */
  async function settled() {
    do await new Promise(requestAnimationFrame);
    while (opening || ask.busy() || frame);
  }

  const api = { drawn, settled, state, setPixels, setLabel, setMode, point, pin, tell };
  for (const one of engines) {
    one.on("changed", () => state.look && ask());
    one.on("message", tell);
    one.on("lost", () => tell("The server does not answer. The page keeps asking."));
    one.on("found", () => tell(""));
  }
  root.addEventListener("keydown", (event) => event.key === "Escape" && pin(null));
  new ResizeObserver(() => state.info && changed("layout")).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    parts.gallery?.paint(theme());
    changed("look");
  });
  api.ready = start(link ? read(location.hash) : {}).catch((error) => tell(error.message));
  return api;
}
