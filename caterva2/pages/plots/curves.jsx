// Lines, points and histograms: values over one axis.
import {
  CurveType,
  DataCurve,
  DefaultInteractions,
  Interpolation,
  ResetZoomButton,
  TooltipMesh,
  VisCanvas,
} from '@h5web/lib';
import { useMemo } from 'react';
import { valueDomain } from './domains.js';
import { Mounted, describe, tick } from './frame.jsx';
import { numbers } from './reading.js';
import Viewport from './viewport.jsx';

const FEW = 100; // values, up to which each is marked

// A line in bins of [least, greatest] as a curve through both: its outline is that of all values.
function curve(plane, ranges) {
  const values = numbers(plane.data);
  const [start] = Object.values(ranges)[0];
  const [width] = plane.widths;
  if (width === 1) {
    const count = plane.shape[0];
    const single = plane.shape.length === 2 ? values.filter((_, i) => i % 2 === 0) : values;
    return { x: Float64Array.from({ length: count }, (_, i) => start + i), y: single };
  }
  return { x: Float64Array.from(values, (_, i) => start + ((i + 0.5) * width) / 2), y: values };
}

// The finer part in the place of what it covers.
function joined(whole, finer, ranges) {
  if (!finer) return whole;
  const [start, stop] = Object.values(ranges)[0];
  const before = whole.x.findIndex((x) => x >= start);
  const after = whole.x.findIndex((x) => x >= stop);
  const parts = (key) => [
    ...whole[key].slice(0, before < 0 ? whole.x.length : before),
    ...finer[key],
    ...(after < 0 ? [] : whole[key].slice(after)),
  ];
  return { x: parts('x'), y: parts('y') };
}

function nearest(sorted, value) {
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle;
    else high = middle;
  }
  return value - sorted[low] <= sorted[high] - value ? low : high;
}

function Canvas({ title, labels, x, y, scale, state, onZoom, onMounted, buttons, tooltip, children }) {
  return (
    <VisCanvas
      title={title}
      abscissaConfig={{ visDomain: x, showGrid: true, label: labels.x, formatTick: tick }}
      ordinateConfig={{ visDomain: y, showGrid: true, label: labels.y, formatTick: scale === 'log' ? undefined : tick, scaleType: scale }}
    >
      <DefaultInteractions />
      <ResetZoomButton />
      <Viewport zoom={state.zoom} onZoom={onZoom} buttons={buttons} />
      {tooltip && <TooltipMesh guides="vertical" renderTooltip={tooltip} />}
      {children}
      <Mounted onMounted={onMounted} />
    </VisCanvas>
  );
}

export function LinePlot({ whole, finer, state, extent, colours, ...canvas }) {
  const base = useMemo(() => curve(whole.plane, whole.ranges), [whole.plane]);
  const { x, y } = useMemo(
    () => joined(base, finer && curve(finer.plane, finer.ranges), finer?.ranges),
    [base, finer?.plane],
  );
  const domain = useMemo(() => valueDomain(base.y, state), [base, state.lo, state.hi, state.scale]);
  const room = Math.max((extent.x - 1) * 0.01, extent.x === 1 ? 0.5 : 0);
  const tooltip = (at) => {
    const k = nearest(x, at);
    return (
      <>
        {canvas.labels.x} {describe(x[k])} <strong>{describe(y[k])}</strong>
      </>
    );
  };
  const few = x.length <= FEW;
  return (
    <Canvas {...canvas} state={state} x={[-room, extent.x - 1 + room]} y={domain} tooltip={tooltip}>
      <DataCurve
        abscissas={x}
        ordinates={y}
        color={colours.line}
        width={1.5}
        glyphSize={6}
        curveType={few ? CurveType.LineAndGlyphs : CurveType.LineOnly}
      />
    </Canvas>
  );
}

export function ScatterPlot({ planes, state, colours, ...canvas }) {
  const [x, y] = useMemo(() => planes.map((plane) => numbers(plane.data)), [planes]);
  const across = useMemo(() => valueDomain(x, { scale: 'linear' }), [x]);
  const up = useMemo(() => valueDomain(y, state), [y, state.lo, state.hi, state.scale]);
  return (
    <Canvas {...canvas} state={state} x={across} y={up}>
      <DataCurve abscissas={x} ordinates={y} color={colours.line} glyphSize={6} curveType={CurveType.GlyphsOnly} />
    </Canvas>
  );
}

export function HistogramPlot({ whole, state, colours, scale, ...canvas }) {
  const { counts, lo, hi } = whole.plane.histogram ?? { counts: [], lo: 0, hi: 1 };
  const { x, y } = useMemo(() => {
    const width = (hi - lo) / Math.max(counts.length, 1) || 1;
    // Steps from the ground up and back to it.
    const ground = scale === 'log' ? 0.5 : 0;
    const heights = [ground, ...counts.map((count) => Math.max(count, ground)), ground];
    return { x: [lo, ...counts.map((_, i) => lo + i * width), lo + counts.length * width], y: heights };
  }, [whole.plane, scale]);
  const top = Math.max(1, ...y);
  const tooltip = (at) => {
    const k = Math.floor(((at - lo) / (hi - lo || 1)) * counts.length);
    return counts[k] === undefined ? '' : `${describe(at)}: ${counts[k]}`;
  };
  return (
    <Canvas
      {...canvas}
      state={state}
      scale={scale}
      x={[x[0], x[x.length - 1]]}
      y={[scale === 'log' ? 0.5 : 0, top * 1.05]}
      tooltip={tooltip}
    >
      <DataCurve
        abscissas={x}
        ordinates={y}
        color={colours.line}
        width={1.5}
        interpolation={Interpolation.Constant}
      />
    </Canvas>
  );
}
