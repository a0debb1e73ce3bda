// Colour images: red, green and blue, the last axis of the array, are read one by one.
import { VisMesh } from '@h5web/lib';
import { useMemo } from 'react';
import { DataTexture, NearestFilter, RGBAFormat, SRGBColorSpace } from 'three';
import PlaneCanvas, { usePlace } from './frame.jsx';
import { layer, valueOf } from './layers.js';

function texture(channels) {
  const [rows, columns] = channels[0].shape;
  const pixels = new Uint8Array(rows * columns * 4).fill(255);
  channels.forEach(({ data }, k) => data.forEach((value, i) => { pixels[i * 4 + k] = value; }));
  const made = new DataTexture(pixels, columns, rows, RGBAFormat);
  Object.assign(made, { colorSpace: SRGBColorSpace, magFilter: NearestFilter, needsUpdate: true });
  return made;
}

function Layer({ channels, z }) {
  const place = usePlace(channels[0]);
  const map = useMemo(() => texture(channels), [channels]);
  return (
    <VisMesh size={place.size} position={[...place.at, z]} scale={[1, -1, 1]}>
      <meshBasicMaterial key={map.uuid} map={map} side={2} transparent />
    </VisMesh>
  );
}

export default function Image({ whole, finer, state, ...canvas }) {
  const { x, y } = state.axes;
  const layers = useMemo(
    () => [whole, finer].filter(Boolean).map(({ planes, ranges }) => planes.map((plane) => layer(plane, ranges, { x, y }))),
    [whole.planes, finer?.planes, x, y],
  );
  const valueAt = (atX, atY) => {
    const colours = [...layers].reverse().map((channels) => channels.map((one) => valueOf(one, atX, atY)));
    return colours.find(([red]) => red !== undefined)?.join(', ');
  };
  return (
    <PlaneCanvas {...canvas} state={{ ...state, aspect: 'equal' }} valueAt={valueAt}>
      {layers.map((channels, z) => (
        <Layer key={z} channels={channels} z={z} />
      ))}
    </PlaneCanvas>
  );
}
