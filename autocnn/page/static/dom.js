/** Making elements. */

/**
 * Make an element: element("button", {class: "x", "aria-label": "y", onclick: f}, "text", child).
 * Attributes that are null or false are left out; functions become listeners; children may be
 * nested lists.
 */
export function element(name, attributes = {}, ...children) {
  const [namespace, tag] = name.startsWith("svg:")
    ? ["http://www.w3.org/2000/svg", name.slice(4)]
    : ["http://www.w3.org/1999/xhtml", name];
  const made = document.createElementNS(namespace, tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== false));
  return made;
}

/** Choices of which one is pressed. Returns {element, set(value)}. */
export function choice(label, options, onChoose) {
  const buttons = options.map(([value, text, title]) =>
    element(
      "button",
      { type: "button", title, "data-value": value, onclick: () => onChoose(value) },
      text,
    ),
  );
  const group = element("div", { class: "choice", role: "group", "aria-label": label }, buttons);
  const set = (chosen) =>
    buttons.forEach((button) =>
      button.setAttribute("aria-pressed", String(button.dataset.value === String(chosen))),
    );
  return { element: group, set };
}
