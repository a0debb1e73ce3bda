import { HeatmapMesh, useCameraState } from '@h5web/lib';
import ndarray from 'ndarray';
import { useMemo } from 'react';
import ColourBar from './colourbar.jsx';
import { colourDomain } from './domains.js';
import PlaneCanvas, { describe, usePlace } from './frame.jsx';
import { layer, thinned, valueOf } from './layers.js';
import { colourMap } from './maps.js';

// Textures have 32 bits: on a linear scale values are taken from the low end of the domain, so that
// small differences of large 64-bit values remain.
function texture(data, shape, base) {
  if (!base && (data instanceof Float32Array || data instanceof Uint8Array)) return ndarray(data, shape);
  return ndarray(Float32Array.from(data, (value) => value - base), shape);
}

// How many bins fall on a pixel of the screen, as [rows, columns].
function useCrowding([rows, columns], { size }) {
  const crowd = ({ scale }) => {
    const pixels = window.devicePixelRatio || 1;
    return [
      Math.ceil((rows * scale.y) / (size.height * pixels)) || 1,
      Math.ceil((columns * scale.x) / (size.width * pixels)) || 1,
    ];
  };
  return useCameraState(crowd, [rows, columns, size.width, size.height], (a, b) => String(a) === String(b));
}

function Layer({ layer, base, domain, z, scale, map, reduce }) {
  const [down, across] = useCrowding(layer.shape, usePlace(layer));
  const drawn = useMemo(() => thinned(layer, down, across, reduce), [layer, down, across, reduce]);
  const values = useMemo(() => texture(drawn.data, drawn.shape, base), [drawn, base]);
  const place = usePlace(drawn);
  return (
    <HeatmapMesh
      {...colourMap(map)}
      values={values}
      domain={domain.map((bound) => bound - base)}
      scaleType={scale}
      badColor="rgba(0,0,0,0)"
      size={place.size}
      position={[...place.at, z]}
      scale={[1, -1, 1]}
    />
  );
}

export default function Heatmap({ whole, finer, state, scale, ...canvas }) {
  const { x, y } = state.axes;
  const layers = useMemo(
    () => [whole, finer].filter(Boolean).map(({ plane, ranges }) => layer(plane, ranges, { x, y })),
    [whole.plane, finer?.plane, x, y],
  );
  const domain = colourDomain(whole.plane, state);
  const wide = whole.plane.data.BYTES_PER_ELEMENT > 2 && !(whole.plane.data instanceof Float32Array);
  const base = scale === 'linear' && wide ? domain[0] : 0;
  const valueAt = (atX, atY) => describe([...layers].reverse().map((l) => valueOf(l, atX, atY)).find((v) => v !== undefined));
  return (
    <>
      <PlaneCanvas {...canvas} state={state} valueAt={valueAt}>
        {layers.map((one, z) => (
          <Layer key={z} {...{ layer: one, base, domain, z, scale, map: state.map, reduce: state.reduce }} />
        ))}
      </PlaneCanvas>
      <ColourBar domain={domain} scale={scale} map={state.map} />
    </>
  );
}
