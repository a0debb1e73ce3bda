// Colour maps by the names that URLs and `/api/image` use; `_r` after a name reverses it.
const MAPS = {
  viridis: ['Viridis', false],
  gray: ['Greys', false],
  magma: ['Magma', false],
  inferno: ['Inferno', false],
  plasma: ['Plasma', false],
  turbo: ['Turbo', false],
  coolwarm: ['RdBu', true],
};

export function colourMap(name = 'viridis') {
  const reversed = name.endsWith('_r');
  const [colorMap, invert] = MAPS[reversed ? name.slice(0, -2) : name] ?? MAPS.viridis;
  return { colorMap, invertColorMap: invert !== reversed };
}
