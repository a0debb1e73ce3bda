// Stands in for the package `ndarray`, which compiles its accessors with `new Function` and so
// would need 'unsafe-eval' in the page's policy. @h5web/lib only reads arrays in C order.
const TYPED = /^(Int|Uint|Float)(\d+)(Clamped)?Array$/;

class NdArray {
  constructor(data, shape) {
    this.data = data;
    this.shape = shape;
    this.offset = 0;
    this.stride = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  }

  get dimension() {
    return this.shape.length;
  }

  get size() {
    return this.shape.reduce((a, b) => a * b, 1);
  }

  get dtype() {
    const match = TYPED.exec(this.data.constructor.name);
    if (!match) return 'array';
    return match[3] ? 'uint8_clamped' : match[1].toLowerCase() + match[2];
  }

  get(...index) {
    return this.data[index.reduce((at, i, axis) => at + i * this.stride[axis], 0)];
  }
}

export default function ndarray(data, shape = [data.length]) {
  return new NdArray(data, shape);
}
