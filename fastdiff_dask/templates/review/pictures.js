// Pictures of the large view: loaded once, turned so that they look like the first image, and compared.

const LONGEST = 1600;  // pixels of the difference map's longer side

export function load(address) {
  return new Promise((done, failed) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = () => failed(new Error("the picture cannot be shown"));
    picture.src = address;
  });
}

// Two turns, of b and of a to the first image: how b is turned to look like the first one. A turn comes after a mirroring.
export const across = image => image.turn % 180 !== 0;
export const shape = image => across(image) ? [image.height, image.width] : [image.width, image.height];

function drawn(picture, image, width, height) {
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
  canvas.width = width; canvas.height = height;
  context.imageSmoothingQuality = "high";
  context.translate(width / 2, height / 2); context.rotate(-image.turn * Math.PI / 180); context.scale(image.mirror ? -1 : 1, 1);
  const [w, h] = across(image) ? [height, width] : [width, height];
  context.drawImage(picture, -w / 2, -h / 2, w, h);
  return context.getImageData(0, 0, width, height).data;
}

// Where two pictures differ, from dark for equal to bright; and the share of pixels that differ by more than a little.
export function difference(canvas, one, a, two, b) {
  const [w, h] = shape(a), scale = Math.min(1, LONGEST / Math.max(w, h), Math.max(one.naturalWidth, one.naturalHeight, two.naturalWidth, two.naturalHeight) / Math.max(w, h));
  const width = Math.max(1, Math.round(w * scale)), height = Math.max(1, Math.round(h * scale));
  const x = drawn(one, a, width, height), y = drawn(two, b, width, height);
  canvas.width = width; canvas.height = height;
  const context = canvas.getContext("2d"), out = context.createImageData(width, height), pixels = out.data;
  let many = 0, most = 0;
  for (let i = 0; i < x.length; i += 4) {
    const far = Math.max(Math.abs(x[i] - y[i]), Math.abs(x[i + 1] - y[i + 1]), Math.abs(x[i + 2] - y[i + 2])), heat = Math.min(255, far * 6);
    if (far > 8) many++;
    if (far > most) most = far;
    pixels[i] = Math.min(255, heat * 1.6); pixels[i + 1] = Math.max(0, heat * 1.4 - 110); pixels[i + 2] = Math.max(16, heat * 1.2 - 180); pixels[i + 3] = 255;
  }
  context.putImageData(out, 0, 0);
  return { share: many / (x.length / 4), most };
}
