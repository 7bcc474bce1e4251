/** The page in one file: its networks are in the document, and JavaScript computes. */

import { mount } from "./app.js";
import { cross_entropy, forward_and_backward, run, softmax, words } from "./interpret.js";
import { explain } from "./explain.js";
import { influence, receptive } from "./fields.js";
import { local, network } from "./local.js";

const data = document.querySelector('script[data-autocnn="networks"]').textContent;
const { networks } = JSON.parse(data);
const engines = networks.map(local);
const page = mount(document.querySelector('[data-autocnn="page"]'), engines[0], {
  engines,
  link: true,
});

// For tests, and for those who open the console: the interpretation and the page's engines.
window.autocnn = {
  interpret: { cross_entropy, forward_and_backward, network, run, softmax, words },
  fields: { influence, receptive },
  look: (pixels, label) => page.state.engine.look(pixels, label),
  networks,
  engines,
  explain,
  page,
};
