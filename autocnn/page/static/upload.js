/** Image files: chosen or dropped, and fitted to the network by the server. */

import { attempt } from "./controls.js";
import { element } from "./dom.js";

const MOST = 15 * 2 ** 20; // bytes that the server takes in one message

/** Let a person open an image file on the page in `root`. */
export function upload(root, engine, page) {
  const field = element("input", { type: "file", accept: "image/*", hidden: true, tabindex: "-1" });
  const button = element("button", { type: "button", title: "Open an image file; or drop one on the page", onclick: () => field.click() }, "Open");
  root.querySelector(".tools").append(button, field);

  field.addEventListener("change", () => {
    if (field.files.length) take(field.files[0]);
    field.value = "";
  });
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });

  const take = (file) =>
    attempt(async () => {
      if (file.size > MOST) throw new Error(`${file.name} has more than ${MOST / 2 ** 20} MB; make it smaller first`);
      const { pixels, steps } = await engine.read(file);
      page.setPixels(Float32Array.from(pixels));
      page.tell([file.name, steps.join(", ")].filter(Boolean).join(": "));
    }, page.tell);
}
