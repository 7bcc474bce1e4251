/**
 * Panels below the network: [{title, mount(root, engine, page), when: offers => bool}]. `page` is
 * what `mount` of app.js returns. An engine that does not train or break offers neither.
 */

import { breaking } from "./breaking.js";
import { editor } from "./editor.js";
import { training } from "./train.js";

export const panels = [
  { title: "Train", mount: training, when: (offers) => offers.train },
  { title: "Break it", mount: breaking, when: (offers) => offers.break },
  { title: "Write your own", mount: editor, when: (offers) => offers.edit },
];
