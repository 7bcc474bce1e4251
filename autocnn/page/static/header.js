/** The line on top: which network, and what can be saved or switched. */

import { choice, element } from "./dom.js";
import { savePng, saveSvg } from "./save.js";

/**
 * Make the header's parts. infos: of the engines. on: {open(name), picture() -> SVG text, name() ->
 * file name, link: function | null, theme()}. Returns {parts: [elements], set(name)}.
 */
export function headerOf(infos, on) {
  const titles = infos.map(({ name, title }) => [name, title ?? name]);
  const networks = choice("Network", titles, on.open);
  const one = element("span", { class: "title" }, titles[0][1]);
  const button = (text, title, onclick) =>
    element("button", { type: "button", title, onclick }, text);
  const actions = element(
    "div",
    { class: "actions" },
    on.link && button("Link", "Copy a link to what you see", on.link),
    button("SVG", "Save the network as SVG", () => saveSvg(on.name(), on.picture())),
    button("PNG", "Save the network as PNG", () => savePng(on.name(), on.picture())),
    button("Light / dark", "Switch between light and dark", on.theme),
  );
  const parts = [element("h1", {}, "autocnn"), infos.length > 1 ? networks.element : one, actions];
  return { parts, set: networks.set };
}
