// The values format: a head in JSON, and little-endian values behind it.
const TYPES = {
  b1: Uint8Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array,
  u4: Uint32Array, i8: BigInt64Array, u8: BigUint64Array, f4: Float32Array, f8: Float64Array,
};
const START = 8;

function half(bits) {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

// Returns the head, with `data`: a typed array over the bytes where there is one of that type.
export function decoded(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x43325601) throw new Error("The server's answer is not in the values format.");
  const length = view.getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, START, length)));
  const kind = head.dtype.slice(1);
  if (kind === "f2") {
    return { ...head, data: Float32Array.from(new Uint16Array(buffer, START + length), half) };
  }
  const Type = TYPES[kind];
  if (!Type) throw new Error(`Values of type ${head.dtype} can't be drawn.`);
  return { ...head, data: new Type(buffer, START + length) };
}
