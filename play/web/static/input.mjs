// Input of a page as messages: keys, mouse, gamepad, touch. Shared by the served and the exported page.

// Buttons of a standard gamepad (W3C) by SDL's numbers, which the keymaps use; the cross is told apart.
const PAD_BUTTONS = { 0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 8: 6, 9: 7, 10: 8, 11: 9 };
const STICKS = [0, 1, 3, 4];
const TRIGGERS = { 6: 2, 7: 5 };
const REPEATED_BY_PAGE = new Set(["F5", "F12"]);

/** Sends keys; keys of the browser itself are left to it. */
export function listenToKeys(send) {
  const told = (event, down) => {
    if (event.repeat || event.metaKey || event.altKey || REPEATED_BY_PAGE.has(event.code)) return;
    if (event.target.closest?.("summary, a") && ["Enter", "Space", "Tab"].includes(event.code)) return;
    event.preventDefault();
    send({ key: event.code, down });
  };
  addEventListener("keydown", (event) => told(event, true));
  addEventListener("keyup", (event) => told(event, false));
  addEventListener("blur", () => send({ blur: true }));
}

/** Sends the mouse while a click on `canvas` has captured it; motion is summed until the next picture. */
export function listenToMouse(canvas, send, onCapture = () => {}) {
  let right = 0, down = 0, sensitivity = 1;
  canvas.addEventListener("mousedown", (event) => {
    if (document.pointerLockElement === canvas) send({ click: event.button, down: true });
    else canvas.requestPointerLock()?.catch?.(() => {});
  });
  addEventListener("mouseup", (event) => send({ click: event.button, down: false }));
  addEventListener("mousemove", (event) => {
    if (document.pointerLockElement !== canvas) return;
    if (right === 0 && down === 0) requestAnimationFrame(flush);
    right += event.movementX * sensitivity;
    down += event.movementY * sensitivity;
  });
  addEventListener("keydown", (event) => {
    if (["Equal", "NumpadAdd"].includes(event.code)) sensitivity *= 1.25;
    if (["Minus", "NumpadSubtract"].includes(event.code)) sensitivity /= 1.25;
  });
  document.addEventListener("pointerlockchange", () => onCapture(document.pointerLockElement === canvas));
  function flush() {
    send({ move: [right, down] });
    right = down = 0;
  }
}

/** A finger that is drawn over `canvas` looks around. */
export function listenToDrags(canvas, send) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => { if (event.pointerType === "touch") last = event; });
  canvas.addEventListener("pointermove", (event) => {
    if (last === null || event.pointerId !== last.pointerId) return;
    send({ move: [4 * (event.clientX - last.clientX), 4 * (event.clientY - last.clientY)] });
    last = event;
  });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { last = null; });
}

/** Reads gamepads once a picture and sends what has changed. */
export function listenToPads(send) {
  const before = new Map();
  const changed = (name, value) => before.get(name) !== value && (before.set(name, value), true);
  function look() {
    const pad = navigator.getGamepads?.().find((one) => one?.mapping === "standard");
    if (pad) tell(pad);
    requestAnimationFrame(look);
  }
  function tell(pad) {
    for (const [button, number] of Object.entries(PAD_BUTTONS)) {
      const down = pad.buttons[button]?.pressed ?? false;
      if (changed(`button ${button}`, down)) send({ pad: number, down });
    }
    pad.axes.slice(0, 4).forEach((tilt, i) => {
      const value = Math.max(-1, Math.min(1, Math.round(tilt * 50) / 50));
      if (changed(`axis ${i}`, value)) send({ axis: STICKS[i], value });
    });
    for (const [button, axis] of Object.entries(TRIGGERS)) {
      const value = pad.buttons[button]?.pressed ? 1 : -1;
      if (changed(`trigger ${button}`, value)) send({ axis, value });
    }
    const down = (button) => (pad.buttons[button]?.pressed ? 1 : 0);
    const hat = [down(15) - down(14), down(12) - down(13)];
    if (changed("hat", hat.join())) send({ hat });
  }
  addEventListener("gamepadconnected", look, { once: true });
}

/** Adds touch buttons to `nav` and sends which are held. `buttons`: {directions, others}. */
export function showTouchButtons(nav, buttons, send) {
  nav.replaceChildren(...[buttons.directions, buttons.others].map((group) => {
    const box = document.createElement("div");
    box.append(...group.map(({ name, label }) => touchButton(name, label, send)));
    return box;
  }));
  nav.hidden = !matchMedia("(pointer: coarse)").matches;
  addEventListener("touchstart", () => { nav.hidden = false; }, { once: true });
}

function touchButton(name, label, send) {
  const button = document.createElement("button");
  button.textContent = label;
  button.dataset.name = name;
  const hold = (down) => (event) => {
    event.preventDefault();
    button.classList.toggle("down", down);
    send({ hold: name, down });
  };
  button.addEventListener("pointerdown", hold(true));
  for (const kind of ["pointerup", "pointercancel", "pointerleave"]) {
    button.addEventListener(kind, (event) => button.classList.contains("down") && hold(false)(event));
  }
  return button;
}
