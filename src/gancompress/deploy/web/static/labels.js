// A label map to paint: a number for every pixel, shown in the colours of the labels.

import { blank, borders, cover } from "./pixels.js";

export class LabelMap {
  constructor(canvas, { labels, edges, names }) {
    this.context = canvas.getContext("2d");
    Object.assign(this, { palette: labels, withEdges: edges, names, base: null, strokes: [] });
    this.pen = { label: 0, width: 0.06, filling: false, objects: false };
  }

  resize(width, height) {
    Object.assign(this.context.canvas, { width, height });
    this._drawAll();
  }

  /** Begin with an image: grey values that are labels, or colours, of which each pixel takes the nearest label's. */
  load(image) {
    Object.assign(this, { base: image, strokes: [] });
    this._drawAll();
  }

  begin({ x, y }) {
    const { label, width, filling, objects } = this.pen;
    this.strokes.push({ label, width, filling, object: objects ? this.strokes.length + 1 : 0, points: [[x, y]] });
    this._paint(this.strokes.at(-1), 0);
    this._show();
  }

  extend({ x, y }) {
    const stroke = this.strokes.at(-1);
    if (stroke.filling) return;
    stroke.points.push([x, y]);
    this._paint(stroke, stroke.points.length - 2);
    this._show();
  }

  undo() {
    this.strokes.pop();
    this._drawAll();
  }

  feeds() {
    const { width, height } = this.context.canvas;
    const dims = [1, height, width];
    const feeds = { [this.names[0]]: { type: "int32", data: Int32Array.from(this.labels), dims } };
    if (this.withEdges) {
      const objects = this.labels.map((label, pixel) => label + this.palette.length * this.objects[pixel]);
      feeds[this.names[1]] = { type: "bool", data: borders(objects, width, height), dims };
    }
    return feeds;
  }

  _drawAll() {
    const { width, height } = this.context.canvas;
    this.labels = this.base ? this._read(width, height) : new Int32Array(width * height);
    this.objects = new Int32Array(width * height);
    for (const stroke of this.strokes) this._paint(stroke, 0);
    this._show();
  }

  _read(width, height) {
    const context = blank(width, height);
    cover(context, this.base, { smooth: false });
    const { data } = context.getImageData(0, 0, width, height);
    const pixels = Array.from({ length: width * height }, (_, pixel) => data.subarray(4 * pixel, 4 * pixel + 3));
    const numbers = pixels.every(([red, green, blue]) => red === green && green === blue && red < this.palette.length);
    const nearest = (pixel) => {
      const far = this.palette.map(({ colour }) => colour.reduce((sum, c, i) => sum + (c - pixel[i]) ** 2, 0));
      return far.indexOf(Math.min(...far));
    };
    return Int32Array.from(pixels, (pixel) => (numbers ? pixel[0] : nearest(pixel)));
  }

  _paint({ label, width: share, filling, object, points }, from) {
    const { width, height } = this.context.canvas;
    const places = points.slice(from).map(([x, y]) => [x * width - 0.5, y * height - 0.5]);
    if (filling) return this._fill(places[0], label, object);
    const radius = Math.max(0.5, (share * Math.max(width, height)) / 2);
    let [fromX, fromY] = places[0];
    for (const [toX, toY] of places) {
      const steps = Math.max(1, Math.ceil((2 * Math.hypot(toX - fromX, toY - fromY)) / radius));
      for (let step = 0; step <= steps; step++) {
        this._disc(fromX + ((toX - fromX) * step) / steps, fromY + ((toY - fromY) * step) / steps, radius, label, object);
      }
      [fromX, fromY] = [toX, toY];
    }
  }

  _disc(x, y, radius, label, object) {
    const { width, height } = this.context.canvas;
    for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(height - 1, y + radius); row++) {
      const half = Math.sqrt(radius ** 2 - (row - y) ** 2);
      const [left, right] = [Math.max(0, Math.ceil(x - half)), Math.min(width - 1, Math.floor(x + half))];
      if (right < left) continue;
      this.labels.fill(label, row * width + left, row * width + right + 1);
      this.objects.fill(object, row * width + left, row * width + right + 1);
    }
  }

  /** All pixels of one label that hang together with the one at a place. */
  _fill([x, y], label, object) {
    const { width, height } = this.context.canvas;
    const clamp = (value, size) => Math.min(size - 1, Math.max(0, Math.round(value)));
    const start = clamp(y, height) * width + clamp(x, width);
    const old = this.labels[start];
    const seen = new Uint8Array(width * height);
    for (const open = [start]; open.length; ) {
      const pixel = open.pop();
      if (seen[pixel] || this.labels[pixel] !== old) continue;
      seen[pixel] = 1;
      [this.labels[pixel], this.objects[pixel]] = [label, object];
      if (pixel % width) open.push(pixel - 1);
      if ((pixel + 1) % width) open.push(pixel + 1);
      if (pixel >= width) open.push(pixel - width);
      if (pixel + width < width * height) open.push(pixel + width);
    }
  }

  _show() {
    const { width, height } = this.context.canvas;
    const image = new ImageData(width, height);
    const colours = Uint32Array.from(this.palette, ({ colour: [r, g, b] }) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0);
    const pixels = new Uint32Array(image.data.buffer);
    for (let pixel = 0; pixel < pixels.length; pixel++) pixels[pixel] = colours[this.labels[pixel]];
    this.context.putImageData(image, 0, 0);
  }
}
