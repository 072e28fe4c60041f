// Whose turn it is: one network at a time, the newest input, and the times of the last runs.

const KEPT = 9;

export function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The networks of a page, run by a worker in turns. */
export class Turns extends EventTarget {
  /** Events: "change" (a network's state), "image" (detail: name, values, dims), "idle", "failed" (detail: message). */
  constructor(networks) {
    super();
    this.networks = networks.map(({ name, file }) => ({ name, file, wanted: true }));
    this.version = 0;
    this.holding = false;
  }

  /** Begin anew on a device ("wasm" or "webgpu"). */
  open(device, threads) {
    this.worker?.terminate();
    this.busy = false;
    this.series = null;
    for (const network of this.networks) Object.assign(network, { ready: false, share: 0, shown: 0, times: [], runs: 0 });
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this[`_${data.type}`](data);
    this.worker.onerror = (event) => this._failed({ message: event.message || "the worker could not start" });
    const order = [...this.networks].reverse().map(({ name, file }) => ({ name, file: new URL(file, document.baseURI).href }));
    this.worker.postMessage({ type: "open", device, threads, networks: order });
    this._tell("change");
  }

  /** A new input; older ones that no network has begun are dropped. */
  show(feeds) {
    const dims = Object.values(feeds).map((feed) => feed.dims.join()).join();
    if (dims !== this.dims) for (const network of this.networks) Object.assign(network, { times: [], runs: 0 });
    [this.feeds, this.dims] = [feeds, dims];
    this.version++;
    this._next();
  }

  /** Whether the input still changes: the fastest network follows it, the others wait. */
  hold(holding) {
    this.holding = holding;
    this._next();
  }

  want(name, wanted) {
    this._named(name).wanted = wanted;
    this._tell("change");
    this._next();
  }

  /** Milliseconds of so many runs of every network on the input of now, in turns, first one way round, then the other. */
  time(rounds) {
    const ready = this.networks.filter((network) => network.ready).map(({ name }) => name);
    const queue = [];
    for (let round = 0; round <= rounds; round++) queue.push(...(round % 2 ? [...ready].reverse() : ready));
    const times = Object.fromEntries(ready.map((name) => [name, []]));
    return new Promise((resolve, reject) => {
      this.series = { queue, times, skipped: new Set(), resolve, reject };
      this._next();
    });
  }

  get idle() {
    return !this.busy && !this.series && this._waiting().length === 0;
  }

  _waiting() {
    const able = this.networks.filter((network) => network.ready && network.wanted);
    const following = this.holding ? able.slice(-1) : able;
    return following.filter((network) => network.shown < this.version);
  }

  _next() {
    if (this.busy || !this.feeds) return;
    if (this.series) {
      const name = this.series.queue.shift();
      if (name) return this._run(name);
      const { times, resolve } = this.series;
      this.series = null;
      resolve(times);
    }
    const network = this._waiting().pop();
    if (network) this._run(network.name);
    else this._tell("idle");
  }

  _run(name) {
    this.busy = true;
    this.worker.postMessage({ type: "run", network: name, feeds: this.feeds, version: this.version });
  }

  _loading({ network, share }) {
    this._named(network).share = share;
    this._tell("change");
  }

  _opened({ network }) {
    Object.assign(this._named(network), { ready: true, share: 1 });
    this._tell("change");
    this._next();
  }

  _ran({ network: name, version, ms, values, dims }) {
    const network = this._named(name);
    this.busy = false;
    network.shown = version;
    // The first run on a size makes room and, on a GPU, compiles: its time counts until there is another.
    network.times = (network.runs++ > 1 ? [...network.times, ms] : [ms]).slice(-KEPT);
    if (this.series) {
      if (this.series.skipped.has(name)) this.series.times[name].push(ms);
      else this.series.skipped.add(name);
    }
    this._tell("image", { name, values, dims, version });
    this._tell("change");
    this._next();
  }

  _failed({ message }) {
    this.busy = false;
    this.series?.reject(new Error(message));
    this.series = null;
    this._tell("failed", { message });
  }

  _named(name) {
    return this.networks.find((network) => network.name === name);
  }

  _tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
