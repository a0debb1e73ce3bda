// What heat maps and images have in common: a canvas over the whole plane, meshes at their regions.
import {
  DefaultInteractions,
  ResetZoomButton,
  TooltipMesh,
  VisCanvas,
  useCanvasEvent,
  useVisCanvasContext,
} from '@h5web/lib';
import { useEffect, useRef } from 'react';
import Viewport from './viewport.jsx';

const CLICK = 4; // pixels that a click may move

// Where a region of the plane lies in the world: position and size of its mesh.
export function usePlace({ x, y }) {
  const { abscissaScale, ordinateScale } = useVisCanvasContext();
  const [left, right] = x.map((value) => abscissaScale(value));
  const [low, high] = y.map((value) => ordinateScale(value));
  return {
    size: { width: Math.abs(right - left), height: Math.abs(high - low) },
    at: [(left + right) / 2, (low + high) / 2],
  };
}

export function describe(value) {
  if (value === undefined || value === null) return '';
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
}

// Ticks in plain numbers as far as these are short.
export function tick(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(3).replace(/\.?0*e\+?/, 'e');
  const [whole, part] = String(Number(value.toPrecision(8))).split('.');
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, '\u202f') : whole;
  return part ? `${grouped}.${part}` : grouped;
}

// Zoom for keyboards and fingers, in the corner between the axes, where it covers nothing.
export function ZoomButtons({ buttons }) {
  return (
    <p className="plot-zoom">
      <button type="button" aria-label="Zoom in" onClick={() => buttons.current(1 / 1.5)}>
        +
      </button>
      <button type="button" aria-label="Zoom out" onClick={() => buttons.current(1.5)}>
        −
      </button>
    </p>
  );
}

// The last one in a canvas: says that this is there, and that what stands before hears of pointers.
export function Mounted({ onMounted }) {
  useEffect(() => {
    onMounted(true);
    return () => onMounted(false);
  }, [onMounted]);
  return null;
}

export default function PlaneCanvas(props) {
  const { title, extent, labels, state, onZoom, onPick, onMounted, valueAt, buttons, children } = props;
  const cell = (x, y) => [
    Math.min(extent.x - 1, Math.max(0, Math.floor(x))),
    Math.min(extent.y - 1, Math.max(0, Math.floor(y))),
  ];
  return (
    <VisCanvas
      title={title}
      aspect={state.aspect === 'equal' ? 'equal' : 'auto'}
      abscissaConfig={{ visDomain: [0, extent.x], isIndexAxis: true, label: labels.x, formatTick: tick }}
      ordinateConfig={{ visDomain: [0, extent.y], isIndexAxis: true, label: labels.y, formatTick: tick, flip: true }}
    >
      <DefaultInteractions />
      <ResetZoomButton />
      <Viewport zoom={state.zoom} onZoom={onZoom} buttons={buttons} />
      {onPick && <Picking onPick={(x, y) => onPick(...cell(x, y))} />}
      <TooltipMesh
        guides="both"
        renderTooltip={(x, y) => {
          const [column, row] = cell(x, y);
          return (
            <>
              {labels.y ?? 'row'} {row}, {labels.x} {column}
              <div>
                <strong>{valueAt(x, y)}</strong>
              </div>
            </>
          );
        }}
      />
      {children}
      <Mounted onMounted={onMounted} />
    </VisCanvas>
  );
}

// Clicks on the canvas, in data coordinates.
function Picking({ onPick }) {
  const start = useRef(null);
  useCanvasEvent('pointerdown', ({ sourceEvent }) => {
    start.current = sourceEvent.button === 0 ? [sourceEvent.clientX, sourceEvent.clientY] : null;
  });
  useCanvasEvent('pointerup', ({ sourceEvent, dataPt }) => {
    if (!start.current) return;
    const moved = Math.hypot(sourceEvent.clientX - start.current[0], sourceEvent.clientY - start.current[1]);
    start.current = null;
    if (moved <= CLICK) onPick(dataPt.x, dataPt.y);
  });
  return null;
}
