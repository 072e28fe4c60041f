// Between pixels and the numbers that networks take: the arithmetic of Python, in float32.

const LEVELS = Float32Array.from({ length: 256 }, (_, level) => Math.fround(level / 127.5) - 1);

/** An image as [1, channels, h, w] in [-1, 1]; grey as Pillow makes it. */
export function imageInput({ data, width, height }, channels) {
  const area = width * height;
  const values = new Float32Array(channels * area);
  for (let pixel = 0; pixel < area; pixel++) {
    const [red, green, blue] = [data[4 * pixel], data[4 * pixel + 1], data[4 * pixel + 2]];
    if (channels === 1) {
      values[pixel] = LEVELS[(19595 * red + 38470 * green + 7471 * blue + 32768) >> 16];
    } else {
      values[pixel] = LEVELS[red];
      values[pixel + area] = LEVELS[green];
      values[pixel + 2 * area] = LEVELS[blue];
    }
  }
  return { type: "float32", data: values, dims: [1, channels, height, width] };
}

/** A network's image [1, c, h, w] as pixels; halves round to the even number, as in Python. */
export function outputImage(values, [, channels, height, width]) {
  const area = width * height;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < area; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = values[pixel + (channels === 1 ? 0 : channel * area)];
      image.data[4 * pixel + channel] = Math.fround(Math.fround(value + 1) * 127.5);
    }
    image.data[4 * pixel + 3] = 255;
  }
  return image;
}

/** Where an object meets another one, on both sides of the border. */
export function borders(objects, width, height) {
  const edges = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const here = y * width + x;
      if (x + 1 < width && objects[here] !== objects[here + 1]) edges[here] = edges[here + 1] = 1;
      if (y + 1 < height && objects[here] !== objects[here + width]) edges[here] = edges[here + width] = 1;
    }
  }
  return edges;
}

/** The part around the middle of an image that has the shape of a canvas, drawn over all of it. */
export function cover(context, source, { mirrored = false, smooth = true } = {}) {
  const { width, height } = context.canvas;
  const [wide, high] = [source.videoWidth || source.width, source.videoHeight || source.height];
  const scale = Math.max(width / wide, height / high);
  const [cutWidth, cutHeight] = [width / scale, height / scale];
  context.save();
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  if (mirrored) context.setTransform(-1, 0, 0, 1, width, 0);
  context.drawImage(source, (wide - cutWidth) / 2, (high - cutHeight) / 2, cutWidth, cutHeight, 0, 0, width, height);
  context.restore();
}

/** A canvas of its own, and what draws on it. */
export function blank(width, height, colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (colour) {
    context.fillStyle = colour;
    context.fillRect(0, 0, width, height);
  }
  return context;
}

export const cssColour = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
