// What to read for a state of a plot: slices in numpy's words, and regions of planes.

export const SIZE = 1024; // bins along an axis of a heat map: about the pixels of a screen
const LINE_SIZE = 2048;
const POINTS = 4096;
const MARGIN = 0.15; // of what is visible, read on each side, so that small moves need no request

// The axes that a plot shows, in the order of the array's axes.
export function shownAxes({ kind, axes }, shape) {
  const wanted = kind === 'line' || axes.y === null || axes.y === undefined ? [axes.x] : [axes.x, axes.y];
  return wanted.filter((axis) => axis >= 0 && axis < shape.length).sort((a, b) => a - b);
}

export function sliceText(shape, index, ranges) {
  return shape
    .map((n, axis) => {
      const range = ranges[axis];
      if (!range) return String(Math.min(index[axis] ?? 0, Math.max(n - 1, 0)));
      return range[0] === 0 && range[1] === n ? ':' : `${range[0]}:${range[1]}`;
    })
    .join(',');
}

// A request for a region ({axis: [start, stop]}) of the plane that the state shows.
export function planeRequest(state, shape, ranges) {
  const line = Object.keys(ranges).length === 1;
  const size = state.kind === 'histogram' ? 64 : line ? LINE_SIZE : SIZE;
  const request = { slice: sliceText(shape, state.index, ranges), size };
  request.reduce = line ? 'minmax' : (state.reduce ?? 'max');
  if (state.field) request.field = state.field;
  if (state.part) request.part = state.part;
  return request;
}

export function wholeRanges(state, shape) {
  return Object.fromEntries(shownAxes(state, shape).map((axis) => [axis, [0, shape[axis]]]));
}

// The two requests of a scatter plot: fields of records, or columns along the second axis.
export function pairRequests(state, shape) {
  const base = { size: POINTS, reduce: 'nearest' };
  const ranges = { [state.axes.x]: [0, shape[state.axes.x]] };
  return ['x', 'y'].map((side) => {
    const name = state.pair?.[side];
    if (state.axes.y === null || state.axes.y === undefined) {
      return { ...base, slice: sliceText(shape, state.index, ranges), field: name };
    }
    const index = { ...state.index, [state.axes.y]: Number(name || (side === 'x' ? 0 : 1)) };
    return { ...base, slice: sliceText(shape, index, ranges), field: state.field };
  });
}

// The region to read for what is visible of a plane, or null where the whole plane's bins are as fine.
// `visible` and the answer are {axis: [start, stop]}; `widths` are the items of a bin of the whole plane.
export function finerRanges(visible, shape, widths, size) {
  const axes = Object.keys(visible).map(Number).sort((a, b) => a - b);
  let finer = false;
  const ranges = {};
  axes.forEach((axis, k) => {
    const [low, high] = visible[axis];
    const start = Math.max(0, Math.floor(low));
    const stop = Math.min(shape[axis], Math.ceil(high));
    const width = Math.max(1, Math.ceil(((stop - start) * (1 + 2 * MARGIN)) / size));
    const extra = Math.ceil((stop - start) * MARGIN);
    finer ||= width < widths[k] && stop > start;
    ranges[axis] = [
      Math.floor(Math.max(0, start - extra) / width) * width,
      Math.min(shape[axis], Math.ceil((stop + extra) / width) * width),
    ];
  });
  return finer ? ranges : null;
}

export function covers(outer, inner) {
  return Object.entries(inner).every(
    ([axis, [start, stop]]) => outer[axis] && outer[axis][0] <= Math.max(0, start) && outer[axis][1] >= stop,
  );
}
