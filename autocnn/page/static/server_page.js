/** The page of a server: Python computes. */

import { mount } from "./app.js";
import { remote, socket, socketAddress } from "./remote.js";

const engine = remote(socket(socketAddress(location)));
const page = mount(document.querySelector('[data-autocnn="page"]'), engine, { link: true });

// For tests, and for those who open the console.
window.autocnn = { engine, page, look: engine.look };
