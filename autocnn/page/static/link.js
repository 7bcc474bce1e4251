/** The state as the address's #fragment, so that a link shows what one sees. */

const encode = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

/**
 * Write a state as a fragment. state: {network, image: index | null, pixels, label, mode, subject,
 * theme}. An image of the data set is written by its index, a drawing by its bytes.
 */
export function write({ network, image, pixels, label, mode, subject, theme }) {
  const parts = new URLSearchParams({ network, mode });
  if (image !== null) parts.set("image", image);
  else parts.set("pixels", encode(Uint8Array.from(pixels, (p) => Math.round(255 * p))));
  if (label !== null) parts.set("label", label);
  if (subject) {
    const { k, cell, weight, about } = subject;
    parts.set(
      "at",
      [k, about ?? cell, weight].filter((part) => part !== undefined && part !== null).join("."),
    );
  }
  if (theme) parts.set("theme", theme);
  return `#${parts}`;
}

/** Read a fragment. What is missing or makes no sense is left out of the result. */
export function read(fragment) {
  const parts = new URLSearchParams(fragment.replace(/^#/, ""));
  const found = {};
  const whole = (text) => (/^\d{1,6}$/.test(text ?? "") ? Number(text) : undefined);
  if (parts.has("network")) found.network = parts.get("network");
  if (["forward", "backward"].includes(parts.get("mode"))) found.mode = parts.get("mode");
  if (whole(parts.get("image")) !== undefined) found.image = whole(parts.get("image"));
  if (whole(parts.get("label")) !== undefined) found.label = whole(parts.get("label"));
  if (["light", "dark"].includes(parts.get("theme"))) found.theme = parts.get("theme");
  try {
    if (parts.has("pixels"))
      found.pixels = Float32Array.from(decode(parts.get("pixels")), (b) => b / 255);
  } catch {
    // Not base64: the link was cut short, and the page opens with its first image.
  }
  const [k, cell, weight] = (parts.get("at") ?? "").split(".");
  if (whole(k) !== undefined && whole(cell) !== undefined)
    found.subject = { k: whole(k), cell: whole(cell), weight: weight ?? null };
  else if (whole(k) !== undefined && /^[a-z]+$/.test(cell ?? ""))
    found.subject = { k: whole(k), about: cell };
  return found;
}

/** The address to hand on: a server's token, which lets people run code, stays here. */
export function shared(href) {
  const address = new URL(href);
  address.searchParams.delete("token");
  return address.href;
}

/** Copy the address to hand on. Resolves to what to tell the person. */
export async function copy({ href }) {
  const address = shared(href);
  const how =
    address === href
      ? ""
      : " It has no token: to open it, put its part from # on behind the address that the server printed.";
  try {
    await navigator.clipboard.writeText(address);
    return `The link is copied.${how}`;
  } catch {
    return `The link: ${address}${how}`;
  }
}
