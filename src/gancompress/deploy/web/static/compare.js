// Two images on one surface, with a divider between them: what a network was given or another one draws, and its own.

const NEAR_PX = 28;
const ZOOMS = [1, 2, 4, 8, 16];

const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

/** Events: "change", when the divider, the zoom or the part that is shown has changed. */
export class Comparison extends EventTarget {
  constructor(canvas) {
    super();
    Object.assign(this, { canvas, left: null, right: null, split: 0.5, zoom: 1, x: 0.5, y: 0.5 });
    this.pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => this._down(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this._up(event));
    canvas.addEventListener("dblclick", (event) => this.zoomTo(this.zoom > 1 ? 1 : 4, this._place(event)));
    canvas.addEventListener("keydown", (event) => this._key(event));
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  show(left, right) {
    Object.assign(this, { left, right });
    this.draw();
  }

  splitAt(split) {
    this.split = clamp(split, 0, 1);
    this._changed();
  }

  /** Zoom, so that a place of the surface, from 0 to 1, keeps what it shows. */
  zoomTo(zoom, { x, y } = { x: 0.5, y: 0.5 }) {
    const part = 1 / this.zoom - 1 / zoom;
    Object.assign(this, { zoom, x: this.x + (x - 0.5) * part, y: this.y + (y - 0.5) * part });
    this._changed();
  }

  centre() {
    Object.assign(this, { x: 0.5, y: 0.5, split: 0.5 });
    this.zoomTo(1);
  }

  _step(by, place) {
    const next = clamp(ZOOMS.findLastIndex((zoom) => zoom <= this.zoom) + by, 0, ZOOMS.length - 1);
    this.zoomTo(ZOOMS[next], place);
  }

  _changed() {
    const most = 1 - 0.5 / this.zoom;
    Object.assign(this, { x: clamp(this.x, 1 - most, most), y: clamp(this.y, 1 - most, most) });
    this.canvas.style.touchAction = this.zoom > 1 ? "none" : "pan-y pinch-zoom";
    this.draw();
    this.dispatchEvent(new Event("change"));
  }

  draw() {
    const { canvas, left, right } = this;
    if (!left || !right) return;
    const wide = canvas.parentElement.clientWidth * (window.devicePixelRatio || 1);
    const [width, height] = [Math.max(1, Math.round(wide)), Math.max(1, Math.round((wide * right.height) / right.width))];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const edge = Math.round(this.split * width);
    for (const [image, from, to] of [[left, 0, edge], [right, edge, width]]) {
      context.save();
      context.beginPath();
      context.rect(from, 0, to - from, height);
      context.clip();
      // A smaller image is enlarged smoothly, as a viewer would; the pixels of the largest are shown as they are.
      context.imageSmoothingEnabled = image.width < Math.max(left.width, right.width) || width < this.zoom * image.width;
      context.imageSmoothingQuality = "high";
      const [partWidth, partHeight] = [image.width / this.zoom, image.height / this.zoom];
      const [startX, startY] = [this.x * image.width - partWidth / 2, this.y * image.height - partHeight / 2];
      context.drawImage(image, startX, startY, partWidth, partHeight, 0, 0, width, height);
      context.restore();
    }
  }

  _place({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height, width: box.width };
  }

  _down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    const place = this._place(event);
    this.pointers.set(event.pointerId, place);
    const near = Math.abs(place.x - this.split) * place.width < NEAR_PX;
    this.dividing = this.pointers.size === 1 && (this.zoom === 1 || near);
    if (this.dividing) this.splitAt(place.x);
    if (this.pointers.size === 2) this.apart = this._apart();
  }

  _move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const place = this._place(event);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size === 2) {
      const apart = this._apart();
      this.zoomTo(clamp((this.zoom * apart) / this.apart, 1, ZOOMS.at(-1)), place);
      this.apart = apart;
    } else if (this.dividing) {
      this.splitAt(place.x);
    } else {
      Object.assign(this, { x: this.x + (before.x - place.x) / this.zoom, y: this.y + (before.y - place.y) / this.zoom });
      this._changed();
    }
  }

  _up(event) {
    this.pointers.delete(event.pointerId);
    this.dividing = false;
  }

  _apart() {
    const [one, other] = [...this.pointers.values()];
    return Math.max(1e-3, Math.hypot(one.x - other.x, one.y - other.y));
  }

  _wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    this._step(event.deltaY < 0 ? 1 : -1, this._place(event));
  }

  _key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (event.key === "+" || event.key === "=") this._step(1);
    else if (event.key === "-") this._step(-1);
    else if (way && event.shiftKey) {
      Object.assign(this, { x: this.x + (0.1 * way[0]) / this.zoom, y: this.y + (0.1 * way[1]) / this.zoom });
      this._changed();
    } else if (way && way[0]) this.splitAt(this.split + 0.02 * way[0]);
    else return;
    event.preventDefault();
  }
}

/** Offer a comparison of the input and of what the networks draw, as far as there is something to compare. */
export function compareImages(at, sources, names) {
  const comparison = new Comparison(at("compared"));
  const sides = { left: at("left"), right: at("right") };
  for (const side of Object.values(sides)) side.append(...names.map(([value, text]) => new Option(text, value)));
  let chosen = false;
  const refresh = () => {
    const images = Object.fromEntries(names.map(([name]) => [name, sources[name]()]));
    const drawn = names.map(([name]) => name).filter((name) => name !== "input" && images[name]);
    if (!drawn.length || (names.length > 2 && drawn.length < 2)) return;
    if (!chosen) {
      const enlarges = images[drawn.at(-1)].width > images.input.width;
      sides.left.value = enlarges || drawn.length < 2 ? "input" : drawn[0];
      sides.right.value = drawn.at(-1);
      chosen = true;
    }
    at("compare").hidden = false;
    comparison.show(images[sides.left.value], images[sides.right.value]);
  };
  sides.left.onchange = sides.right.onchange = refresh;
  at("split").oninput = () => comparison.splitAt(at("split").value / 1000);
  at("zoom").onchange = () => comparison.zoomTo(Number(at("zoom").value));
  at("centre-view").onclick = () => comparison.centre();
  comparison.addEventListener("change", () => {
    at("split").value = String(1000 * comparison.split);
    at("divider").style.left = `${100 * comparison.split}%`;
    at("zoom").value = String(ZOOMS.findLast((zoom) => zoom <= comparison.zoom + 1e-9));
  });
  return { comparison, refresh };
}
