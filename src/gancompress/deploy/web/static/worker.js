// Runs the networks beside the page, one after the other, so that times are of one network alone.

const BUILDS = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };
const sessions = new Map();
let ort;
let queue = Promise.resolve();

onmessage = ({ data }) => {
  const tasks = { open, run };
  tasks[data.type](data).catch((error) => {
    postMessage({ type: "failed", network: data.network, message: String(error?.message ?? error) });
  });
};

/** Load the runtime, then every network as soon as it is here. */
async function open({ device, threads, networks }) {
  const home = new URL("runtime/", self.location.href).href;
  ort = await import(`${home}${BUILDS[device]}`);
  ort.env.wasm.wasmPaths = home;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  for (const { name, file } of networks) {
    const bytes = await download(name, file);
    await inTurn(async () => {
      const session = await ort.InferenceSession.create(bytes, { executionProviders: [device] });
      sessions.set(name, session);
    });
    postMessage({ type: "opened", network: name });
  }
}

async function download(network, file) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: the server answered ${answer.status}`);
  const total = Number(answer.headers.get("Content-Length"));
  const parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (total) postMessage({ type: "loading", network, share: Math.min(1, size / total) });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** One image: the time is from the numbers that go in to the numbers that come out. */
function run({ network, feeds, version }) {
  return inTurn(async () => {
    const session = sessions.get(network);
    const begun = performance.now();
    const tensors = {};
    for (const [name, { type, data, dims }] of Object.entries(feeds)) tensors[name] = new ort.Tensor(type, data, dims);
    const results = await session.run(tensors);
    const output = results[session.outputNames[0]];
    const values = await output.getData();
    const ms = performance.now() - begun;
    const copy = Float32Array.from(values);
    for (const result of Object.values(results)) result.dispose();
    postMessage({ type: "ran", network, version, ms, values: copy, dims: [...output.dims] }, [copy.buffer]);
  });
}

function inTurn(task) {
  queue = queue.catch(() => {}).then(task);
  return queue;
}
