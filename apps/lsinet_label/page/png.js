/**
 * Masks as PNG files: 8 bits, one channel; a pixel's value is the id of its lesion.
 *
 * A canvas cannot do this: it writes RGBA only, and browsers that guard against fingerprinting change its pixels.
 */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const PALETTE = 3; // its indices are the ids

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc;
}

async function through(stream, bytes) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

/** Encode labels (Uint8Array of width * height, row by row) as a PNG; resolves to a Blob. */
export async function encodePng(labels, width, height) {
  const rows = new Uint8Array(height * (width + 1)); // each row begins with its filter; 0: no filter
  for (let y = 0; y < height; y++) rows.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([8, GREY, 0, 0, 0], 8);
  const data = await through(new CompressionStream("deflate"), rows);
  const parts = [Uint8Array.from(SIGNATURE), chunk("IHDR", header), chunk("IDAT", data), chunk("IEND", [])];
  return new Blob(parts, { type: "image/png" });
}

/** The bytes of a Blob as base64. */
export async function toBase64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** The bytes that base64 stands for, as an ArrayBuffer. */
export const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;

/** Decode a PNG (ArrayBuffer) to {width, height, labels}; throws an Error for other kinds of images. */
export async function decodePng(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new Error("The mask is not a PNG file.");
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  const [depth, kind, , , interlaced] = bytes.subarray(24, 29);
  if (depth !== 8 || (kind !== GREY && kind !== PALETTE) || interlaced) {
    throw new Error(
      `The PNG file of the mask has ${depth} bits and colour type ${kind}; it must have 8 bits and one channel.`,
    );
  }
  const data = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT")
      data.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = await through(new DecompressionStream("deflate"), await new Blob(data).arrayBuffer());
  return { width, height, labels: unfilter(rows, width, height) };
}

const FILTERS = [
  () => 0,
  (left) => left,
  (left, up) => up,
  (left, up) => (left + up) >> 1,
  (left, up, corner) => {
    const toLeft = Math.abs(up - corner);
    const toUp = Math.abs(left - corner);
    const toCorner = Math.abs(left + up - 2 * corner);
    if (toLeft <= toUp && toLeft <= toCorner) return left;
    return toUp <= toCorner ? up : corner;
  },
];

/** Undo the filters of the rows (PNG specification, section 9), for one byte per pixel. */
function unfilter(rows, width, height) {
  const labels = new Uint8Array(width * height);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    const filter = rows[from++];
    if (!filter) {
      labels.set(rows.subarray(from, from + width), to);
      [from, to] = [from + width, to + width];
      continue;
    }
    const guess = FILTERS[filter];
    for (let x = 0; x < width; x++, from++, to++) {
      const left = x ? labels[to - 1] : 0;
      const up = y ? labels[to - width] : 0;
      const corner = x && y ? labels[to - width - 1] : 0;
      labels[to] = rows[from] + guess(left, up, corner);
    }
  }
  return labels;
}
