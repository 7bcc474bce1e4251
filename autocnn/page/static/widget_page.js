/** The page in a notebook: the kernel's Python computes. */

import { mount } from "./app.js";
import { channel, remote } from "./remote.js";
import { upload } from "./upload.js";

/** Draw the page in a cell's output `el`. Returns the function that ends it. */
export function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "autocnn";
  el.append(root);
  const engine = remote(channel(model));
  const page = mount(root, engine);
  page.ready.then(() => page.state.info && upload(root, engine, page));
  return () => engine.close();
}
