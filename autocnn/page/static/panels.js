/**
 * Panels below the network: [{title, mount(root, engine, page), when: offers => bool}]. `page` is
 * what `mount` of app.js returns. An engine that does not train or break offers neither.
 */

import { element } from "./dom.js";
import { breaking } from "./breaking.js";
import { editor } from "./editor.js";
import { training } from "./train.js";

export const panels = [
  { title: "Train", mount: training, when: (offers) => offers.train },
  { title: "Break it", mount: breaking, when: (offers) => offers.break },
  { title: "Write your own", mount: editor, when: (offers) => offers.edit },
];

/** The sections of the panels that an engine offers, each mounted. */
export function panelsOf(offers, engine, page) {
  return panels
    .filter(({ when }) => when(offers))
    .map(({ title, mount }) => {
      const room = element("div", { class: "panel-body" });
      mount(room, engine, page);
      return element(
        "section",
        { class: "panel", "aria-label": title },
        element("h2", {}, title),
        room,
      );
    });
}
