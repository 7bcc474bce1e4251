/**
 * The engine over a websocket, or over the channel of a notebook: the server's Python computes.
 *
 * A message is a line of JSON, filled up with spaces to a multiple of four bytes, and the numbers
 * of its arrays behind it. {"$": offset, shape, type} stands for an array: Float32Array, or
 * Uint8Array for flags. The server's side is `wire.py`; the questions are in `session.py`.
 *
 * Beside info, look and on, an engine of a server has ask(question, fields), which resolves to the
 * answer and rejects with an Error of one line; read(file), which fits an image file to the
 * network; and the events "progress" and "look", after each answer to a look. Every stage and weight of a look has `difference`, manual -
 * auto in float64 before it was rounded to float32.
 */

const AGAIN = [250, 500, 1000, 2000, 4000]; // milliseconds until the next try to connect
const NEWLINE = 10;
const ANEW = "the server was started anew: open the address that it printed";

/** Turn a message into bytes. Its values that are typed arrays go behind the line. */
export function encode(message) {
  const parts = [];
  let size = 0;
  const fields = Object.entries(message).map(([key, value]) => {
    if (!ArrayBuffer.isView(value)) return [key, value];
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    const type = value instanceof Uint8Array ? "uint8" : "float32";
    const reference = { $: size, shape: [value.length], type };
    parts.push([size, bytes]);
    size += Math.ceil(bytes.length / 4) * 4;
    return [key, reference];
  });
  const line = new TextEncoder().encode(JSON.stringify(Object.fromEntries(fields)));
  const begin = Math.ceil((line.length + 1) / 4) * 4;
  const whole = new Uint8Array(begin + size).fill(32, 0, begin);
  whole.set(line);
  whole[begin - 1] = NEWLINE;
  for (const [at, bytes] of parts) whole.set(bytes, begin + at);
  return whole;
}

/** Turn an ArrayBuffer into the message that it holds. Arrays are views of the buffer. */
export function decode(buffer) {
  const bytes = new Uint8Array(buffer);
  const end = bytes.indexOf(NEWLINE);
  const line = new TextDecoder().decode(bytes.subarray(0, end));
  return JSON.parse(line, (key, value) => {
    if (value === null || typeof value !== "object" || !("$" in value)) return value;
    const length = value.shape.reduce((a, b) => a * b, 1);
    const View = value.type === "uint8" ? Uint8Array : Float32Array;
    const view = new View(buffer, end + 1 + value.$, length);
    view.shape = value.shape;
    return view;
  });
}

/** A connection that is made again when it is lost. receive(buffer), state("lost" | "found"). */
export function socket(url) {
  const link = { receive() {}, state() {}, send, close };
  let [open, tries, closed, wanted] = [null, 0, false, []];

  function connect() {
    const to = new WebSocket(url);
    to.binaryType = "arraybuffer";
    to.onopen = () => {
      open = to;
      if (tries > 0) link.state("found");
      tries = 0;
      for (const bytes of wanted.splice(0)) to.send(bytes);
    };
    to.onmessage = ({ data }) => link.receive(data);
    to.onclose = ({ code }) => {
      open = null;
      if (closed || code === 4403) return;
      if (tries === 0) link.state("lost");
      setTimeout(connect, AGAIN[Math.min(tries, AGAIN.length - 1)]);
      tries += 1;
    };
  }

  function send(bytes) {
    if (open) open.send(bytes);
    else if (tries === 0) wanted.push(bytes);
    else return false;
    return true;
  }

  function close() {
    closed = true;
    if (open) open.close();
  }

  connect();
  return link;
}

/** The address of the websocket of this page, with its token and a name for this window. */
export function socketAddress(location) {
  const token = new URLSearchParams(location.search).get("token") || "";
  const name = [...crypto.getRandomValues(new Uint8Array(12))].map((n) => n.toString(16)).join("");
  const query = new URLSearchParams({ token, window: `window-${name}` });
  return `ws://${location.host}/socket?${query}`;
}

/** The channel of a notebook's widget, as a link. */
export function channel(model) {
  const link = { receive() {}, state() {}, close() {} };
  link.send = (bytes) => {
    model.send({}, undefined, [bytes.buffer]);
    return true;
  };
  model.on("msg:custom", (content, buffers) => {
    const { buffer, byteOffset, byteLength } = buffers[0];
    link.receive(buffer.slice(byteOffset, byteOffset + byteLength));
  });
  return link;
}

/** Make the engine that talks over a link: `socket(...)` or `channel(...)`. */
export function remote(link) {
  const [waiting, listeners] = [new Map(), new Map()];
  // From a number of its own, since all views of a notebook's widget get all answers.
  let [count, looking, next] = [Math.floor(Math.random() * 2 ** 40), null, null];
  let met = false; // whether this server has answered before

  function emit(event, value) {
    for (const listener of listeners.get(event) || []) listener(value);
  }

  function on(event, listener) {
    if (!listeners.has(event)) listeners.set(event, []);
    listeners.get(event).push(listener);
  }

  function ask(question, fields = {}) {
    const id = ++count;
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      if (link.send(encode({ id, ask: question, ...fields }))) return;
      waiting.delete(id);
      reject(new Error("the server does not answer"));
    });
  }

  link.receive = (buffer) => {
    const message = decode(buffer);
    if (message.event === "refused") {
      const text = met && message.token ? ANEW : message.text;
      emit("lost", text);
      emit("message", text);
      failAll(text);
    } else if (message.event) {
      emit(message.event, message.event === "message" ? message.text : message);
    } else if (waiting.has(message.id)) {
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      met = true;
      if ("error" in message) reject(new Error(message.error));
      else resolve(message.answer);
    }
  };

  link.state = (state) => {
    emit(state);
    if (state === "lost") failAll("the server does not answer");
    else emit("changed");
  };

  function failAll(reason) {
    for (const { reject } of waiting.values()) reject(new Error(reason));
    waiting.clear();
    [looking, next] = [null, null];
  }

  /** One look is on its way and at most one waits: the newest. Older ones get its answer. */
  function look(pixels, label = null) {
    const fields = { pixels: Float32Array.from(pixels), label };
    if (!looking) {
      looking = ask("look", fields).finally(begin);
      looking.then((answer) => emit("look", answer), () => {});
      return looking;
    }
    if (!next) {
      next = {};
      next.promise = new Promise((resolve, reject) => Object.assign(next, { resolve, reject }));
    }
    next.fields = fields;
    return next.promise;
  }

  function begin() {
    looking = null;
    if (!next) return;
    const { fields, resolve, reject } = next;
    next = null;
    look(fields.pixels, fields.label).then(resolve, reject);
  }

  async function read(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    return ask("image", { file: bytes, name: file.name });
  }

  return { info: () => ask("info"), look, on, ask, read, close: () => link.close() };
}
