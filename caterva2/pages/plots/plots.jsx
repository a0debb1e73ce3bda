// The island of plots: one function for the page, everything else inside.
import '@h5web/lib/styles.css';
import './plots.css';
import { ScaleType } from '@h5web/lib';
import { Component, useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { flushSync } from 'react-dom';
import { HistogramPlot, LinePlot, ScatterPlot } from './curves.jsx';
import { ZoomButtons } from './frame.jsx';
import Heatmap from './heatmap.jsx';
import Image from './image.jsx';
import { usePlanes } from './reading.js';
import { covers, finerRanges, pairRequests, planeRequest, shownAxes, sliceText, wholeRanges } from './requests.js';

const SCALES = { linear: ScaleType.Linear, log: ScaleType.Log, symlog: ScaleType.SymLog };

// The requests of a state: one, two for scatter plots, three for images.
function requestsOf(state, shape, ranges) {
  if (state.kind === 'scatter') return pairRequests(state, shape);
  const request = planeRequest(state, shape, ranges);
  if (state.kind !== 'image') return [request];
  const channels = shape.length - 1;
  return [0, 1, 2].map((k) => ({
    ...request,
    reduce: 'nearest', // bytes stay bytes
    slice: sliceText(shape, { ...state.index, [channels]: k }, ranges),
  }));
}

// The axes of the array that are visible, from the zoom of the plot; null without one.
function visibleRanges({ zoom, axes, kind }, shape) {
  if (!zoom || kind === 'histogram' || kind === 'scatter') return null;
  const ranges = { [axes.x]: [zoom[0], zoom[1]] };
  if (kind !== 'line') ranges[axes.y] = [zoom[2], zoom[3]];
  for (const [axis, range] of Object.entries(ranges)) {
    ranges[axis] = [Math.max(0, Math.floor(range[0])), Math.min(shape[axis], Math.ceil(range[1]))];
  }
  return ranges;
}

// Finer data for what is visible: the region read last stays as long as it covers the view.
function useFiner({ read, state, shape, version }, whole) {
  const wanted = useRef(null);
  const visible = whole ? visibleRanges(state, shape) : null;
  const request = whole ? planeRequest(state, shape, whole.ranges) : null;
  const key = JSON.stringify([request?.slice, state.part, state.field, state.reduce, state.kind, version]);
  if (wanted.current?.key !== key) wanted.current = null;
  if (visible) {
    const ranges = finerRanges(visible, shape, whole.planes[0].widths, request.size);
    const kept = wanted.current?.ranges;
    const fine = kept && ranges && covers(kept, visible) && isClose(kept, ranges);
    if (!fine) wanted.current = ranges && { key, ranges };
  }
  const ranges = visible ? wanted.current?.ranges : null;
  const got = usePlanes(read, ranges && requestsOf(state, shape, ranges), version);
  const current = ranges && !got.busy && got.planes && !got.error;
  return { visible, busy: got.busy, finer: current ? { ranges, planes: got.planes, plane: got.planes[0], requests: got.requests } : null };
}

// Whether a region has at most twice the length of another one along each axis.
const isClose = (kept, wanted) =>
  Object.entries(wanted).every(([axis, [start, stop]]) => kept[axis][1] - kept[axis][0] <= 2 * (stop - start));

// What is shown, for tests and for reading aloud.
function useReport(element, { whole, finer, status }, state, shape, onPlane) {
  const view = JSON.stringify([state.kind, state.axes]);
  useEffect(() => {
    const shown = finer ?? whole;
    const text = (value) => (value === null || value === undefined ? '' : String(value));
    Object.assign(element.dataset, {
      state: status,
      exact: text(shown?.plane.exact),
      min: text(shown?.plane.min),
      max: text(shown?.plane.max),
      shape: shownAxes(state, shape).map((axis) => shape[axis]).join('x'),
      slice: text(shown?.requests[0].slice),
    });
  }, [element, whole?.planes, finer?.planes, status, view]);
  useEffect(() => {
    if (whole) onPlane?.(whole.plane);
  }, [whole?.planes]);
}

function labelOf(axis, shape, dims) {
  if (axis === null || axis === undefined) return '';
  return dims?.[axis] ? `${dims[axis]} (axis ${axis})` : `axis ${axis}`;
}

function columnOf({ axes, pair }, side) {
  return axes.y === null ? String(pair[side]) : `column ${pair[side] || (side === 'x' ? 0 : 1)}`;
}

function labelsOf(state, { shape, dims }) {
  if (state.kind === 'scatter') return { x: columnOf(state, 'x'), y: columnOf(state, 'y') };
  if (state.kind === 'histogram') return { x: 'value', y: 'count' };
  if (state.kind === 'line') return { x: labelOf(state.axes.x, shape, dims), y: '' };
  return { x: labelOf(state.axes.x, shape, dims), y: labelOf(state.axes.y, shape, dims) };
}

const PLOTS = { line: LinePlot, heatmap: Heatmap, image: Image, histogram: HistogramPlot, scatter: ScatterPlot };

// The style sheet names the colour of lines as that of the caret: one that is resolved.
function useColours(element) {
  const now = () => ({ line: getComputedStyle(element).caretColor });
  const [colours, setColours] = useState(now);
  useEffect(() => {
    const change = () => setColours(now);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', change);
    const chosen = new MutationObserver(change);
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
    return () => {
      dark.removeEventListener('change', change);
      chosen.disconnect();
    };
  }, [element]);
  return colours;
}

// A sentence for what has no values to draw.
function emptiness(whole, state, shape) {
  if (shape.includes(0)) return 'This array has no items.';
  if (whole && whole.plane.min === null && whole.plane.nan > 0) return 'All values here are NaN.';
  return null;
}

// Square pixels need no more room than this, besides axes and colours.
function room({ kind, aspect }, { x, y }) {
  if (!(kind === 'image' || (kind === 'heatmap' && aspect === 'equal'))) return {};
  const ratio = Math.max(x, 1) / Math.max(y, 1);
  return {
    maxWidth: `calc(100cqh * ${ratio} + 11rem)`,
    maxHeight: `calc((100cqw - 9rem) / ${ratio} + 4.5rem)`,
  };
}

// On a narrow screen the name of the axis upwards would take the room of the plot.
function useNarrow() {
  const [narrow, setNarrow] = useState(() => matchMedia('(max-width: 40rem)').matches);
  useEffect(() => {
    const query = matchMedia('(max-width: 40rem)');
    const change = () => setNarrow(query.matches);
    query.addEventListener('change', change);
    return () => query.removeEventListener('change', change);
  }, []);
  return narrow;
}

function Plot({ element, title, shape, dims, read, state, version = 0, onZoom, onPick, onPlane }) {
  const buttons = useRef(() => {});
  const colours = useColours(element);
  const ranges = wholeRanges(state, shape);
  const some = shape.every((n) => n > 0);
  const got = usePlanes(read, some ? requestsOf(state, shape, ranges) : null, version);
  // Planes of an earlier state are drawn until the next ones are there, if they fit into it.
  const drawn = useRef(null);
  const view = JSON.stringify([state.kind, state.axes]);
  if (some && got.planes && !got.busy && !got.error) {
    drawn.current = { view, ranges, planes: got.planes, plane: got.planes[0], requests: got.requests };
  }
  if (drawn.current?.view !== view) drawn.current = null;
  const whole = drawn.current;
  const { finer, busy } = useFiner({ read, state, shape, version }, whole);
  const [mounted, setMounted] = useState(false);
  const loading = got.busy || busy || (whole && !got.error && !mounted);
  const status = loading ? 'loading' : got.error ? 'error' : 'ready';
  useReport(element, { whole, finer, status }, state, shape, onPlane);
  const Kind = PLOTS[state.kind] ?? LinePlot;
  const extent = { x: shape[state.axes.x], y: shape[state.axes.y] };
  const narrow = useNarrow();
  const labels = labelsOf(state, { shape, dims });
  const empty = emptiness(whole, state, shape);
  return (
    <div className="plot-island" data-zoomed={state.zoom ? '' : undefined}>
      {whole && (
        <figure className="plot-figure" aria-label={title} style={room(state, extent)}>
          <Kind
            {...{ whole, finer, state, extent, colours, onZoom, onPick, buttons }}
            onMounted={setMounted}
            planes={whole.planes}
            scale={SCALES[state.scale] ?? ScaleType.Linear}
            labels={narrow ? { ...labels, y: undefined } : labels}
          />
          <ZoomButtons buttons={buttons} />
        </figure>
      )}
      {empty && (
        <p className="plot-note" role="status">
          {empty}
        </p>
      )}
      {got.error && (
        <p className="plot-error" role="alert">
          {got.error.message}
        </p>
      )}
    </div>
  );
}

// An exception while drawing is shown, and ends the plot only.
class Guard extends Component {
  state = { error: null };

  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch() {
    this.props.element.dataset.state = 'error';
  }

  render() {
    if (!this.state.error) return this.props.children;
    return (
      <p className="plot-error" role="alert">
        This can’t be drawn: {this.state.error.message}
      </p>
    );
  }
}

/**
 * Draw a plot into an element.
 *
 * `options`: `title`, `shape`, `dims` (names of axes), `state` (`kind` "line", "heatmap", "image",
 * "scatter" or "histogram"; `axes` {x, y}; `index` {axis: i}; `scale`, `map`, `lo`, `hi`, `zoom`, `aspect` "fill" or "equal", `reduce`,
 * `part`, `field`, `pair` {x, y}), `read(request, signal)`, `onState(changes)` for what the user changes in
 * the plot, `onPick(x, y)` for a click on a cell, `onPlane(plane)` for each plane that is drawn.
 */
export function mount(element, options) {
  const root = createRoot(element);
  let current = { version: 0, ...options };
  const onZoom = (zoom) => {
    current = { ...current, state: { ...current.state, zoom } };
    render();
    current.onState?.({ zoom });
  };
  const render = () =>
    root.render(
      <Guard element={element}>
        <Plot {...current} element={element} onZoom={onZoom} />
      </Guard>,
    );
  element.dataset.state = 'loading';
  element.classList.add('plot-colour');
  render();
  return {
    // Show another state; with `version`, read anew even what has been read.
    update(state, version = current.version) {
      current = { ...current, state, version };
      flushSync(render);
    },
    unmount() {
      root.unmount();
    },
  };
}
