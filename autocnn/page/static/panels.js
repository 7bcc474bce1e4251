/** Panels below the network: [{title, mount(root, engine, state), when: offers => bool}]. */
export const panels = [];
