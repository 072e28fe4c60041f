// Noise to draw, to move along directions, and to wander through.

/** Numbers in [0, 1), the same for a seed every time (mulberry32). */
function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers (Box and Muller). */
export function normal(seed, count) {
  const draw = uniform(seed);
  return Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw()));
}

export class Latent {
  constructor({ noise_size, classes, directions, names }) {
    Object.assign(this, { size: noise_size, classes, directions, names, seed: 0, label: 0, spread: 1 });
    this.from = this.to = normal(0, noise_size);
    this.way = 1;
    this.reset();
  }

  reset() {
    this.steps = this.directions.map(() => 0);
  }

  /** New noise; by way of the noise in between where it glides. */
  draw({ gliding = false } = {}) {
    this.from = this.noise();
    this.to = normal(++this.seed, this.size);
    this.way = gliding ? 0 : 1;
    if (!gliding) this.reset();
  }

  /** A step on the way to the new noise; false once it is there. */
  glide(share) {
    this.way = Math.min(1, this.way + share);
    return this.way < 1;
  }

  /** Between two noises on the arc, which keeps to the lengths that the network knows. */
  noise() {
    if (this.way >= 1) return this.to;
    const dot = this.from.reduce((sum, value, i) => sum + value * this.to[i], 0);
    const angle = Math.acos(Math.min(1, Math.max(-1, dot / (length(this.from) * length(this.to)))));
    if (angle < 1e-6) return this.to;
    const [before, after] = [Math.sin((1 - this.way) * angle), Math.sin(this.way * angle)].map((s) => s / Math.sin(angle));
    return this.from.map((value, i) => before * value + after * this.to[i]);
  }

  feeds() {
    const noise = this.noise();
    const values = new Float32Array(this.size + this.classes.length);
    for (let i = 0; i < this.size; i++) {
      const moved = this.directions.reduce((sum, direction, d) => sum + this.steps[d] * direction[i], 0);
      values[i] = this.spread * noise[i] + moved;
    }
    if (this.classes.length) values[this.size + this.label] = 1;
    return { [this.names[0]]: { type: "float32", data: values, dims: [1, values.length] } };
  }
}

const length = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
