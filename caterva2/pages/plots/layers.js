// The whole plane in bins, and on top of it, where the view is zoomed, the visible part in finer ones.
import { numbers } from './reading.js';

// A plane as an image: rows along the y axis of the plot, whatever the order of the array's axes.
export function layer(plane, ranges, { x, y }) {
  const values = numbers(plane.data);
  const [rows, columns] = plane.shape;
  const across = x < y; // the plot's x axis comes first in the array
  const data = across ? transposed(values, rows, columns) : values;
  const shape = across ? [columns, rows] : [rows, columns];
  const widths = across ? { x: plane.widths[0], y: plane.widths[1] } : { x: plane.widths[1], y: plane.widths[0] };
  const [x0, y0] = [ranges[x][0], ranges[y][0]];
  return {
    data,
    shape,
    widths,
    x: [x0, x0 + shape[1] * widths.x],
    y: [y0, y0 + shape[0] * widths.y],
  };
}

function transposed(values, rows, columns) {
  const out = new values.constructor(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = values[i * columns + j];
  return out;
}

const KEEP = {
  max: (kept, value) => (value > kept || kept !== kept ? value : kept),
  min: (kept, value) => (value < kept || kept !== kept ? value : kept),
};

// A layer with `down` rows and `across` columns in one, where several would fall on a pixel: the
// screen would show one of them by chance, and lose the peaks that the bins have kept.
export function thinned(layer, down, across, reduce = 'max') {
  const keep = KEEP[reduce];
  if (!keep || (down === 1 && across === 1)) return layer;
  const { data, widths } = layer;
  const [rows, columns] = layer.shape;
  const size = [Math.ceil(rows / down), Math.ceil(columns / across)];
  const out = data.constructor.from({ length: size[0] * size[1] }, (_, k) => {
    const [i, j] = [Math.floor(k / size[1]) * down, (k % size[1]) * across];
    return data[i * columns + j];
  });
  for (let i = 0, at = 0; i < rows; i++) {
    const row = Math.floor(i / down) * size[1];
    for (let j = 0; j < columns; j++, at++) {
      const k = row + Math.floor(j / across);
      out[k] = keep(out[k], data[at]);
    }
  }
  return {
    data: out,
    shape: size,
    x: [layer.x[0], layer.x[0] + size[1] * across * widths.x],
    y: [layer.y[0], layer.y[0] + size[0] * down * widths.y],
  };
}

// The value that a layer has at a point of the plane; undefined outside.
export function valueOf({ data, shape, widths, x, y }, atX, atY) {
  if (atX < x[0] || atX >= x[1] || atY < y[0] || atY >= y[1]) return undefined;
  const column = Math.floor((atX - x[0]) / widths.x);
  const row = Math.floor((atY - y[0]) / widths.y);
  return data[row * shape[1] + column];
}
