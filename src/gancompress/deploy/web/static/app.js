// The page: what it is about, what goes in, what comes out, and how fast.

import { compareImages } from "./compare.js";
import { LabelMap } from "./labels.js";
import { Latent } from "./latent.js";
import { blank, cover, cssColour, outputImage } from "./pixels.js";
import { Sketch, copyOf } from "./sketch.js";
import { Strokes } from "./strokes.js";
import { Turns, median } from "./turns.js";

const PEN_COLOURS = ["#000000", "#d7263d", "#f5a623", "#2e9e4f", "#2667d6", "#ffffff"];
const MOST_THREADS = 8;
const ROUNDS = 10;
const WANDER_MS = 1600;

const at = (id) => document.getElementById(id);
const manifest = await (await fetch("manifest.json")).json();
const { input, networks } = manifest;
const turns = new Turns(networks);
const cards = new Map();

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const few = (number, digits = 3) => Number(number.toPrecision(digits)).toLocaleString("en");

function compact(number) {
  const [size, unit] = [[1e9, " G"], [1e6, " M"], [1e3, " k"]].find(([size]) => number >= size) ?? [1, ""];
  return `${few(number / size)}${unit}`;
}

function duration(ms) {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2);
}

function say(message, failed = false) {
  at("status").textContent = message;
  at("status").classList.toggle("failed", failed);
}

// ---------------------------------------------------------------- what it is about

function introduce() {
  document.title = `${manifest.title}: gancompress demo`;
  at("title").textContent = manifest.title;
  if (networks.length === 2) {
    const [original, compressed] = networks;
    const times = (key) => element("strong", { textContent: `${few(original[key] / compressed[key], 2)}x` });
    at("lead").append(
      "The same generator twice: as it was trained, and with ", times("parameters"), " fewer parameters and ", times("macs"),
      " less arithmetic. Both run here, in turns.",
    );
  }
  const single = "Nobody sends this page the headers that browsers want for threads (COOP, COEP): it runs on one thread.";
  at("note").textContent = crossOriginIsolated ? "" : single;
}

// ---------------------------------------------------------------- what comes out

function makeCards() {
  at("outputs").classList.toggle("one", networks.length === 1);
  for (const network of networks) {
    const canvas = element("canvas", { width: input.width ?? 1, height: input.height ?? 1 });
    const title = titleOf(network.name);
    Object.assign(canvas, { role: "img", ariaLabel: `${title}: the image it draws` });
    const [ms, rate, badge, bar] = [element("strong", { textContent: "…" }), element("span"), element("span"), element("i")];
    Object.assign(badge, { className: "badge", hidden: true });
    const facts = `${compact(network.parameters)} parameters, ${compact(network.macs)} MACs, ${few(network.file_bytes / 1e6)} MB`;
    const save = element("button", { type: "button", textContent: "Save", ariaLabel: `Save the image of ${title}` });
    save.onclick = () => download(canvas, `${manifest.title}-${network.name}.png`);
    const buttons = element("span", { className: "row" }, save);
    if (networks.length > 1 && network.name === "original") buttons.prepend(pauseButton(network));
    const card = element(
      "article", { className: `card ${network.name}`, id: `card-${network.name}` },
      element("h2", { textContent: title }),
      element("div", { className: "surface" }, canvas),
      element("p", { className: "ms" }, ms, element("span", { textContent: "ms" }), ...(network.name === "compressed" ? [badge] : [])),
      element("div", { className: "bar", ariaHidden: "true" }, bar),
      element("p", { className: "facts" }, rate),
      element("p", { className: "facts", textContent: facts }),
      buttons,
    );
    cards.set(network.name, { card, canvas, ms, rate, badge, bar });
    at("outputs").append(card);
  }
}

function titleOf(name) {
  return { original: networks.length > 1 ? "Original" : "Network", compressed: "Compressed" }[name];
}

function pauseButton({ name }) {
  const button = element("button", { type: "button", textContent: "Pause", ariaPressed: "false" });
  button.setAttribute("aria-label", "Pause the original, so that the compressed one runs alone");
  button.onclick = () => {
    const paused = button.ariaPressed !== "true";
    button.ariaPressed = String(paused);
    turns.want(name, !paused);
  };
  return button;
}

function download(canvas, name) {
  canvas.toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

turns.addEventListener("image", ({ detail: { name, values, dims, version } }) => {
  const { canvas } = cards.get(name);
  const image = outputImage(values, dims);
  if (canvas.width !== image.width || canvas.height !== image.height) {
    Object.assign(canvas, { width: image.width, height: image.height });
  }
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0);
  canvas.dataset.version = version;
  demo.outputs[name] = { values, dims, version };
  compared?.refresh();
});

turns.addEventListener("change", () => {
  const medians = turns.networks.map(({ times }) => (times.length ? median(times) : null));
  const slowest = Math.max(...medians.filter((ms) => ms !== null), 1e-9);
  turns.networks.forEach(({ name, ready, share, times, runs, wanted }, index) => {
    const { card, ms, rate, bar } = cards.get(name);
    const middle = medians[index];
    card.classList.toggle("unwanted", !wanted);
    ms.textContent = middle === null ? "…" : duration(middle);
    const loading = ready ? "" : share > 0 ? `loading, ${Math.round(100 * share)} %` : "loading";
    const measured = runs > 1 ? `median of ${times.length}` : "first run";
    rate.textContent = middle === null ? loading : `${few(1000 / middle)} images/s, ${measured}`;
    bar.style.width = middle === null ? 0 : `${(100 * middle) / slowest}%`;
  });
  if (medians.length === 2) showFaster(turns.networks.every(({ runs }) => runs > 1) ? medians[0] / medians[1] : null);
  if (turns.networks.every(({ ready }) => ready) && !at("status").classList.contains("failed")) say("Ready.");
});

/** How many times faster the compressed network is; null before both have run more than once. */
function showFaster(ratio) {
  const { badge } = cards.get("compressed");
  badge.hidden = ratio === null;
  if (ratio === null) return;
  badge.textContent = ratio >= 1 ? `${few(ratio, 2)}x faster` : `${few(1 / ratio, 2)}x slower`;
}

turns.addEventListener("failed", ({ detail: { message } }) => {
  const begun = turns.networks.some(({ runs }) => runs > 0);
  if (at("device").value === "webgpu" && !begun) {
    Object.assign(at("device").options[1], { disabled: true, textContent: "Graphics (WebGPU): fails here" });
    at("device").value = "wasm";
    reopen();
  } else say(`It does not run here: ${message}`, true);
});

/** The pad and what the networks drew, side by side on one surface. */
function comparing() {
  const shown = (name) => () => (demo.outputs[name] ? cards.get(name).canvas : null);
  const sources = { input: () => at("pad"), ...Object.fromEntries(networks.map(({ name }) => [name, shown(name)])) };
  return compareImages(at, sources, [["input", "Input"], ...networks.map(({ name }) => [name, titleOf(name)])]);
}

// ---------------------------------------------------------------- how fast

/** Open the networks on the device that is chosen. */
function reopen() {
  at("status").classList.remove("failed");
  say("Loading the networks.");
  at("threads").disabled = at("threads").options.length === 1 || at("device").value !== "wasm";
  turns.open(at("device").value, Number(at("threads").value));
}

/** Graphics where the browser has them, and else, or where they fail, the processor. */
async function chooseDevice() {
  const most = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  for (let count = 1; count <= most; count++) at("threads").append(new Option(String(count)));
  at("threads").value = String(most);
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (adapter) {
    Object.assign(at("device").options[1], { disabled: false, textContent: "Graphics (WebGPU)" });
    at("device").value = "webgpu";
  }
  at("device").onchange = at("threads").onchange = reopen;
  reopen();
}

async function timeBoth() {
  at("time").disabled = true;
  at("timed").textContent = `Timing ${ROUNDS} rounds.`;
  try {
    const times = await turns.time(ROUNDS);
    const told = Object.entries(times).map(([name, each]) => {
      return `${name} ${duration(median(each))} ms (${duration(Math.min(...each))} to ${duration(Math.max(...each))})`;
    });
    at("timed").textContent = `Median of ${ROUNDS} rounds in turns: ${told.join(", ")}.`;
  } catch (error) {
    at("timed").textContent = error.message;
  }
  at("time").disabled = false;
}

// ---------------------------------------------------------------- what goes in: pictures

const sizes = [];
let size = { width: input.width, height: input.height };

function offerSizes() {
  const fits = (side) => side % input.multiple === 0 && side >= input.smallest;
  for (const scale of [0.5, 0.75, 1, 1.5, 2]) {
    const [width, height] = [input.width * scale, input.height * scale];
    if (fits(width) && fits(height)) sizes.push({ width, height });
  }
  at("size").append(...sizes.map(({ width, height }) => new Option(`${width} x ${height}`)));
  at("size").selectedIndex = sizes.findIndex(({ width }) => width === input.width);
}

function radio(group, value, checked, label, properties = {}) {
  const button = element("input", { type: "radio", name: group, value, checked });
  button.ariaLabel = label;
  return element("label", { title: label, ...properties }, button);
}

function pictures() {
  const isSketch = input.kind === "image";
  const picture = new (isSketch ? Sketch : LabelMap)(at("pad"), input);
  const strokes = new Strokes(at("pad"), at("cursor"));
  const refresh = () => turns.show(picture.feeds());
  const camera = new Camera(at("video"));
  offerSizes();
  picture.resize(size.width, size.height);
  at("pad").classList.toggle("map", !isSketch);
  at("pad").ariaLabel =
    (isSketch ? "Sketch pad. " : "Label map. ") + "Arrow keys move the pen, Space puts it down and lifts it, with Shift farther.";
  at("hint").textContent = isSketch
    ? "Draw, drop or paste a photo, or use the camera. Keys: arrows, Space."
    : "Paint a label map, or drop one. Keys: arrows, Space, 1 to 9.";

  const load = (source, options) => {
    stopCamera();
    picture.load(source, options);
    refresh();
  };
  strokes.addEventListener("begin", ({ detail }) => {
    picture.begin(detail);
    turns.hold(true);
    refresh();
  });
  strokes.addEventListener("extend", ({ detail }) => {
    picture.extend(detail);
    refresh();
  });
  strokes.addEventListener("end", () => turns.hold(false));

  at("undo").onclick = () => {
    picture.undo();
    refresh();
  };
  at("clear").onclick = () => load(null);
  at("size").onchange = () => {
    size = sizes[at("size").selectedIndex];
    picture.resize(size.width, size.height);
    refresh();
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.type !== "search") {
      event.preventDefault();
      at("undo").click();
    }
  });

  const tools = isSketch ? { pen: "Pen", eraser: "Eraser" } : { brush: "Brush", fill: "Fill" };
  for (const [value, name] of Object.entries(tools)) {
    const choice = radio("tool", value, value === "pen" || value === "brush", name);
    choice.append(name);
    choice.firstChild.onchange = () => Object.assign(picture.pen, isSketch ? { erasing: value === "eraser" } : { filling: value === "fill" });
    at("tool-choice").append(choice);
  }
  at("width").value = String(Math.sqrt(picture.pen.width * 4e4));
  at("width").oninput = () => (picture.pen.width = at("width").value ** 2 / 4e4);
  at("colours").hidden = !isSketch;
  at("objects-label").hidden = isSketch || !input.edges;
  at("objects").onchange = () => (picture.pen.objects = at("objects").checked);
  if (isSketch) penColours(picture);
  else palette(picture);

  const openFile = async (file) => {
    try {
      load(await createImageBitmap(file));
    } catch {
      say(`${file.name || "It"} is no image that this browser can read.`);
    }
  };
  at("open").onchange = () => at("open").files[0] && openFile(at("open").files[0]);
  acceptDrops(openFile);

  const stopCamera = () => {
    camera.stop();
    at("camera").ariaPressed = "false";
    strokes.enabled = true;
    turns.removeEventListener("idle", nextFrame);
  };
  const nextFrame = () => {
    if (!camera.running) return;
    picture.load(at("video"), { mirrored: true });
    requestAnimationFrame(() => camera.running && refresh());
  };
  at("camera").hidden = !isSketch;
  at("camera").onclick = async () => {
    if (camera.running) return load(copyOf(at("pad"), size.width, size.height));
    try {
      await camera.start();
    } catch (error) {
      return say(`No camera: ${error.message}`);
    }
    at("camera").ariaPressed = "true";
    strokes.enabled = false;
    turns.addEventListener("idle", nextFrame);
    if (turns.idle) nextFrame();
  };

  showSamples(load);
  if (!manifest.samples.length) refresh();
  demo.picture = picture;
}

function penColours(picture) {
  for (const colour of PEN_COLOURS) {
    const names = { "#000000": "black", "#d7263d": "red", "#f5a623": "orange", "#2e9e4f": "green", "#2667d6": "blue", "#ffffff": "white" };
    const swatch = radio("colour", colour, colour === picture.pen.colour, names[colour], { className: "swatch" });
    swatch.style.background = colour;
    swatch.firstChild.onchange = () => (picture.pen.colour = colour);
    at("colours").append(swatch);
  }
}

function palette(picture) {
  at("palette").hidden = false;
  const chips = input.labels.map(({ name, colour }, label) => {
    const chip = radio("label", String(label), label === 0, name, { className: "chip" });
    const dot = element("i", { ariaHidden: "true" });
    dot.style.background = cssColour(colour);
    chip.append(dot, name);
    chip.firstChild.onchange = () => (picture.pen.label = label);
    return chip;
  });
  at("labels").append(...chips);
  at("find").hidden = chips.length <= 12;
  at("find").oninput = () => {
    const wanted = at("find").value.trim().toLowerCase();
    chips.forEach((chip, label) => (chip.hidden = !input.labels[label].name.toLowerCase().includes(wanted)));
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === "search") return;
    const chip = /^[1-9]$/.test(event.key) && chips[Number(event.key) - 1];
    if (chip) chip.firstChild.click();
  });
}

function acceptDrops(openFile) {
  const mark = (dropping) => (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", dropping);
  };
  document.addEventListener("dragover", mark(true));
  document.addEventListener("dragleave", mark(false));
  document.addEventListener("drop", (event) => {
    mark(false)(event);
    if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) openFile(file);
  });
}

async function showSamples(load) {
  const images = await Promise.all(
    manifest.samples.map(async ({ file }) => createImageBitmap(await (await fetch(file)).blob())),
  );
  images.forEach((image, index) => {
    const button = element("button", { type: "button", title: manifest.samples[index].name });
    button.ariaLabel = `Sample: ${manifest.samples[index].name}`;
    button.append(thumbnail(image));
    button.onclick = () => load(image);
    at("strip").append(button);
  });
  if (images.length && turns.version === 0) load(images[0]);
}

function thumbnail(image) {
  const context = blank(64, 64);
  context.canvas.ariaHidden = "true";
  if (input.kind === "image") cover(context, image);
  else new LabelMap(context.canvas, input).load(image);
  return context.canvas;
}

class Camera {
  constructor(video) {
    this.video = video;
    this.running = false;
  }

  async start() {
    if (!navigator.mediaDevices) throw new Error("browsers give it to pages from https or localhost alone");
    const ideal = { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } };
    this.stream = await navigator.mediaDevices.getUserMedia({ video: ideal });
    this.video.srcObject = this.stream;
    await this.video.play();
    this.running = true;
  }

  stop() {
    this.running = false;
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
  }
}

// ---------------------------------------------------------------- what goes in: noise

function noise() {
  const latent = new Latent(input);
  at("input-title").textContent = "Noise";
  at("latent").hidden = false;
  for (const each of document.querySelectorAll(".picture")) each.hidden = true;
  const refresh = () => {
    const feeds = latent.feeds();
    showNoise(Object.values(feeds)[0].data.subarray(0, input.noise_size));
    turns.show(feeds);
  };

  const sliders = input.directions.map((_, index) => {
    const slider = element("input", { type: "range", min: "-4", max: "4", step: "0.1", value: "0" });
    const shown = element("output", { textContent: "0" });
    slider.oninput = () => {
      latent.steps[index] = Number(slider.value);
      shown.textContent = slider.value;
      refresh();
    };
    at("directions").append(element("label", {}, `Direction ${index + 1}`, slider, shown));
    return [slider, shown];
  });
  const centre = () => {
    latent.reset();
    for (const [slider, shown] of sliders) [slider.value, shown.textContent] = ["0", "0"];
    refresh();
  };
  at("centre").onclick = centre;
  at("centre").hidden = !sliders.length;
  at("draw").onclick = () => {
    latent.draw();
    centre();
  };
  const spread = at("spread");
  spread.nextElementSibling.textContent = spread.value;
  spread.oninput = () => {
    latent.spread = Number(spread.value);
    spread.nextElementSibling.textContent = spread.value;
    refresh();
  };
  input.classes.forEach((name, label) => {
    const chip = radio("class", String(label), label === 0, name, { className: "chip" });
    chip.append(name);
    chip.firstChild.onchange = () => {
      latent.label = label;
      refresh();
    };
    at("classes").hidden = false;
    at("classes").lastElementChild.append(chip);
  });

  let before = null;
  const step = (now) => {
    if (at("wander").ariaPressed !== "true") return;
    if (!latent.glide(before === null ? 0 : (now - before) / WANDER_MS)) latent.draw({ gliding: true });
    before = now;
    refresh();
  };
  const wander = () => requestAnimationFrame(step);
  at("wander").onclick = () => {
    const wandering = at("wander").ariaPressed !== "true";
    at("wander").ariaPressed = String(wandering);
    before = null;
    if (wandering) {
      latent.draw({ gliding: true });
      turns.addEventListener("idle", wander);
      wander();
    } else turns.removeEventListener("idle", wander);
  };
  refresh();
  demo.picture = latent;
}

/** A bar for each number: up and warm where it is positive, down and cool where it is negative. */
function showNoise(values) {
  const canvas = at("noise");
  canvas.width = Math.max(1, values.length);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const middle = canvas.height / 2;
  values.forEach((value, place) => {
    const high = Math.min(middle, (Math.abs(value) * middle) / 3);
    context.fillStyle = style.getPropertyValue(value > 0 ? "--warm" : "--accent");
    context.fillRect(place, value > 0 ? middle - high : middle, 1, high);
  });
}

// ---------------------------------------------------------------- all together

/** What tests and benchmarks ask. */
const demo = (window.demo = { manifest, turns, outputs: {}, picture: null, time: (rounds) => turns.time(rounds) });

introduce();
makeCards();
at("main").hidden = false;
const compared = input.kind === "latent" ? null : comparing();
Object.assign(demo, { comparison: compared?.comparison });
at("time").onclick = timeBoth;
at("time").textContent = networks.length > 1 ? `Time both, ${ROUNDS} rounds` : `Time it, ${ROUNDS} rounds`;
if (input.kind === "latent") noise();
else pictures();
await chooseDevice();
