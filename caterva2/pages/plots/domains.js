// Bounds of colours and of value axes.
import { extendDomain } from '@h5web/lib';

const finite = (value) => value !== null && value !== undefined && Number.isFinite(value);

// The smallest value above 0, where a logarithm begins.
export function smallestPositive(data) {
  let least = Infinity;
  for (const value of data) if (value > 0 && value < least) least = value;
  return Number.isFinite(least) ? least : undefined;
}

// What a logarithm can show of [low, high]; `data` are the values shown.
function aboveZero([low, high], data) {
  if (low > 0) return [low, high];
  const least = smallestPositive(data) ?? 1;
  return [least, Math.max(high, least)];
}

function ordered(low, high) {
  return low <= high ? [low, high] : [high, low];
}

// Colours go from percentile 1 to 99 at first sight; where these are equal (a few peaks on a flat
// ground), from the least to the greatest value, or the peaks would be as bright as anything.
export function colourDomain(plane, { lo, hi, scale }) {
  let low = plane.p1;
  let high = plane.p99;
  if (!finite(low) || !finite(high) || low === high) [low, high] = [plane.min, plane.max];
  if (!finite(low) || !finite(high)) [low, high] = [0, 1];
  const shown = ordered(finite(lo) ? lo : low, finite(hi) ? hi : high);
  return scale === 'log' ? aboveZero(shown, plane.data) : shown;
}

// A value axis shows everything, with some room.
export function valueDomain(values, { lo, hi, scale }) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (scale === 'log' && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = scale === 'log' ? [1, 10] : [0, 1];
  if (scale === 'log' && finite(lo) && lo <= 0) lo = undefined;
  const shown = ordered(finite(lo) ? lo : low, finite(hi) ? hi : high);
  const room = finite(lo) && finite(hi) ? 0 : 0.05;
  return extendDomain(shown, shown[0] === shown[1] ? 0.5 : room, scale);
}
