// Strokes by finger, mouse, pen or keys. Places and widths are shares of the canvas, so that they outlive its size.

const STEP = 1 / 32;

/** Listens to a canvas. */
export class Strokes extends EventTarget {
  /** Events: "begin", "extend" (detail: x, y), "end". The cursor is an element that shows where the keys are. */
  constructor(canvas, cursor) {
    super();
    [this.canvas, this.cursor] = [canvas, cursor];
    this.place = [0.5, 0.5];
    this.down = false;
    this.enabled = true;
    canvas.addEventListener("pointerdown", (event) => this._pointerDown(event));
    canvas.addEventListener("pointermove", (event) => this._pointerMove(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => this._lift());
    canvas.addEventListener("keydown", (event) => this._key(event));
    canvas.addEventListener("blur", () => this._lift());
  }

  _pointerDown(event) {
    if (!this.enabled || event.button > 0) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true, focusVisible: false });
    this.canvas.setPointerCapture(event.pointerId);
    this.cursor.hidden = true;
    this._begin(this._share(event));
  }

  _pointerMove(event) {
    if (!this.down || !this.canvas.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() ?? []) this._extend(this._share(each));
    this._extend(this._share(event));
  }

  _key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      const [right, down] = moves[event.key].map((step) => step * STEP * (event.shiftKey ? 4 : 1));
      const clamp = (value) => Math.min(1, Math.max(0, value));
      this.place = [clamp(this.place[0] + right), clamp(this.place[1] + down)];
      if (this.down) this._extend(this.place);
    } else if (event.key === " " || event.key === "Enter") {
      if (this.down) this._lift();
      else this._begin(this.place);
    } else return;
    event.preventDefault();
    this._showCursor();
  }

  _showCursor() {
    this.cursor.hidden = false;
    this.cursor.classList.toggle("down", this.down);
    this.cursor.style.left = `${100 * this.place[0]}%`;
    this.cursor.style.top = `${100 * this.place[1]}%`;
  }

  _begin(place) {
    this.down = true;
    this.place = place;
    this._tell("begin", place);
  }

  _extend(place) {
    this.place = place;
    this._tell("extend", place);
  }

  _lift() {
    if (!this.down) return;
    this.down = false;
    this._tell("end", this.place);
  }

  _share(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  _tell(type, [x, y]) {
    this.dispatchEvent(new CustomEvent(type, { detail: { x, y } }));
  }
}
