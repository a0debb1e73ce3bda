// The colours of a domain with values beside them; both ends are always labelled.
import { INTERPOLATORS, getLinearGradient } from '@h5web/lib';
import { colourMap } from './maps.js';

const STEPS = 4;
const TO = {
  linear: [(v) => v, (v) => v],
  log: [Math.log10, (v) => 10 ** v],
  symlog: [(v) => Math.sign(v) * Math.log10(1 + Math.abs(v)), (v) => Math.sign(v) * (10 ** Math.abs(v) - 1)],
};

// As many digits as tell neighbouring labels apart.
function label(value, span) {
  if (value === 0) return '0';
  const digits = Math.ceil(Math.log10(Math.abs(value) / (span || Math.abs(value)))) + 4;
  const text = Number(value.toPrecision(Math.min(17, Math.max(3, digits))));
  return Math.abs(text) >= 1e7 && digits < 8 ? text.toExponential().replace('e+', 'e') : String(text);
}

export default function ColourBar({ domain, scale, map }) {
  const { colorMap, invertColorMap } = colourMap(map);
  const colour = (t) => INTERPOLATORS[colorMap](invertColorMap ? 1 - t : t);
  const [to, from] = TO[scale] ?? TO.linear;
  const [low, high] = domain.map(to);
  const values = Array.from({ length: STEPS + 1 }, (_, k) =>
    k === 0 ? domain[0] : k === STEPS ? domain[1] : from(low + ((high - low) * k) / STEPS),
  );
  const span = scale === 'linear' ? domain[1] - domain[0] : 0;
  return (
    <div className="plot-colours">
      <div style={{ backgroundImage: getLinearGradient(colour, 'top') }} />
      <ol>
        {values.reverse().map((value, k) => (
          <li key={k}>{low === high && k > 0 && k < STEPS ? '' : label(value, span)}</li>
        ))}
      </ol>
    </div>
  );
}
