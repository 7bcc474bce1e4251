/** Digits of agreement where there is no server: central differences while nothing else happens. */

const CELLS = 16; // of each stage
const TIME = 12; // milliseconds at a time

const idle = globalThis.requestIdleCallback ?? ((f) => setTimeout(f, 50));

/**
 * Make {start(look)}: it fills in `digits` and `checked` of the look's stages, the last first, and
 * calls found() after each. A later look, or another network, ends it.
 */
export function agreement(state, found) {
  let current = null;

  function next(look, k) {
    if (look !== current || state.look !== look || k < 0) return;
    const { engine } = state;
    const started = performance.now();
    while (k >= 0 && performance.now() - started < TIME) {
      const result = engine.agreement(look, k, CELLS);
      look.stages[k].digits = result.digits;
      look.stages[k].checked = result;
      k -= 1;
    }
    found();
    idle(() => next(look, k));
  }

  function start(look) {
    if (current === look || !state.engine.agreement || look.loss === null) return;
    current = look;
    setTimeout(() => idle(() => next(look, look.stages.length - 1)), 200);
  }

  return { start };
}
