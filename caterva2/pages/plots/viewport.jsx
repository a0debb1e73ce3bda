// The part of a canvas that is visible: kept in the state, restored from it, and reported.
import { useCameraState, useVisCanvasContext } from '@h5web/lib';
import { useThree } from '@react-three/fiber';
import { useEffect, useLayoutEffect, useRef } from 'react';
import { Vector3 } from 'three';

const REPORT_MS = 200; // after the last move

const digits = (value) => Number(value.toPrecision(6));
const same = (a, b) => String(a) === String(b);

// [x0, x1, y0, y1] with both pairs ascending, or null where everything is visible.
function visible(camera, getVisibleDomains) {
  if (camera.scale.x > 0.9999 && camera.scale.y > 0.9999) return null;
  const { xVisibleDomain: x, yVisibleDomain: y } = getVisibleDomains(camera);
  return [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)].map(digits);
}

export default function Viewport({ zoom, onZoom, buttons }) {
  const { getVisibleDomains, dataToWorld, canvasSize } = useVisCanvasContext();
  const { width, height } = canvasSize;
  const camera = useThree((state) => state.camera);
  const invalidate = useThree((state) => state.invalidate);
  const shown = useCameraState((c) => visible(c, getVisibleDomains), [getVisibleDomains], same);
  const known = useRef(null); // what the state has: set by us, or from outside
  const stale = useRef(null); // what was visible before the camera was set, until the next frame

  useLayoutEffect(() => {
    if (same(zoom ?? null, known.current)) return;
    known.current = zoom ?? null;
    stale.current = String(shown);
    const corners = zoom && [
      dataToWorld(new Vector3(zoom[0], zoom[2])),
      dataToWorld(new Vector3(zoom[1], zoom[3])),
    ];
    const [a, b] = corners ?? [new Vector3(-width / 2, -height / 2), new Vector3(width / 2, height / 2)];
    if (![a.x, a.y, b.x, b.y].every(Number.isFinite)) return;
    camera.scale.set(Math.abs(b.x - a.x) / width || 1, Math.abs(b.y - a.y) / height || 1, 1);
    camera.position.set((a.x + b.x) / 2, (a.y + b.y) / 2, camera.position.z);
    camera.updateMatrixWorld();
    invalidate();
  }, [String(zoom), width, height]);

  useEffect(() => {
    if (stale.current === String(shown)) return undefined;
    stale.current = null;
    if (same(shown, known.current)) return undefined;
    const timer = setTimeout(() => {
      known.current = shown;
      onZoom(shown);
    }, REPORT_MS);
    return () => clearTimeout(timer);
  }, [String(shown)]);

  // Zoom for keyboards and fingers, around the centre.
  useEffect(() => {
    buttons.current = (factor) => {
      camera.scale.multiplyScalar(factor).min(new Vector3(1, 1, 1));
      const room = new Vector3((width * (1 - camera.scale.x)) / 2, (height * (1 - camera.scale.y)) / 2);
      camera.position.x = Math.max(-room.x, Math.min(room.x, camera.position.x));
      camera.position.y = Math.max(-room.y, Math.min(room.y, camera.position.y));
      camera.updateMatrixWorld();
      invalidate();
    };
  }, [camera, invalidate, width, height]);
  return null;
}
