// A picture to draw on: paper, a photograph or the camera, and strokes over it.

import { blank, cover, imageInput } from "./pixels.js";

export class Sketch {
  constructor(canvas, { channels, names }) {
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this, { channels, names, source: null, mirrored: false, paper: "#ffffff", strokes: [] });
    this.pen = { colour: "#000000", width: 0.012, erasing: false };
  }

  resize(width, height) {
    Object.assign(this.context.canvas, { width, height });
    this._drawAll();
  }

  /** Begin with an image or a video frame, or with empty paper. */
  load(source, { mirrored = false } = {}) {
    Object.assign(this, { source, mirrored, strokes: [] });
    this._drawAll();
  }

  begin({ x, y }) {
    const { colour, width, erasing } = this.pen;
    this.strokes.push({ colour: erasing ? this.paper : colour, width: erasing ? 3 * width : width, points: [[x, y]] });
    this._draw(this.strokes.at(-1), 0);
  }

  extend({ x, y }) {
    const stroke = this.strokes.at(-1);
    stroke.points.push([x, y]);
    this._draw(stroke, stroke.points.length - 2);
  }

  undo() {
    this.strokes.pop();
    this._drawAll();
  }

  feeds() {
    const { width, height } = this.context.canvas;
    return { [this.names[0]]: imageInput(this.context.getImageData(0, 0, width, height), this.channels) };
  }

  _drawAll() {
    const { width, height } = this.context.canvas;
    this.context.fillStyle = this.paper;
    this.context.fillRect(0, 0, width, height);
    if (this.source) cover(this.context, this.source, { mirrored: this.mirrored });
    for (const stroke of this.strokes) this._draw(stroke, 0);
  }

  /** A stroke from one of its points on. */
  _draw({ colour, width: share, points }, from) {
    const { width, height } = this.context.canvas;
    Object.assign(this.context, { strokeStyle: colour, lineCap: "round", lineJoin: "round" });
    this.context.lineWidth = Math.max(1, share * Math.max(width, height));
    this.context.beginPath();
    const [first, ...others] = points.slice(from).map(([x, y]) => [x * width, y * height]);
    this.context.moveTo(...first);
    for (const point of others.length ? others : [first]) this.context.lineTo(...point);
    this.context.stroke();
  }
}

/** A still copy of a video frame or an image, so that it can be drawn again. */
export function copyOf(source, width, height) {
  const context = blank(width, height);
  cover(context, source);
  return context.canvas;
}
