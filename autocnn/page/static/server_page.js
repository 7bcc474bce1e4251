/** The page of a server: Python computes. */

import { mount } from "./app.js";
import { remote, socket, socketAddress } from "./remote.js";
import { upload } from "./upload.js";

const root = document.querySelector('[data-autocnn="page"]');
const engine = remote(socket(socketAddress(location)));
const page = mount(root, engine, { link: true });
page.ready.then(() => page.state.info && upload(root, engine, page));

// For tests, and for those who open the console.
window.autocnn = { engine, page, look: engine.look };
