/** The numbers of what is drawn, asked of the engine one question at a time. */

/**
 * Make ask(), which fills in state.look and calls found(). While an answer is on its way, further
 * calls become one more question after it. An error's line goes to tell(text). ask.busy() says
 * whether an answer is on its way.
 */
export function asker(state, found, tell) {
  let [busy, again] = [false, false];

  ask.busy = () => busy;
  return ask;

  async function ask() {
    if (busy) return void (again = true);
    busy = true;
    try {
      const { engine } = state;
      const look = await engine.look(state.pixels, state.label);
      if (engine !== state.engine) return; // another network was chosen, which asks by itself
      state.look = look;
      found();
    } catch (error) {
      tell(error.message);
    } finally {
      busy = false;
      if (again) {
        again = false;
        ask();
      }
    }
  }
}
