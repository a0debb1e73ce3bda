// Bundles the plots into ../static/plots (or the directory named): the scripts, their style, licences and versions.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(process.argv[2] ?? join(here, '../static/plots'));
const SOURCE = /^(package\.json|package-lock\.json|.*\.(js|jsx|css|mjs))$/;

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const byName = (a, b) => (a < b ? -1 : 1);

const options = {
  absWorkingDir: here,
  outdir: target,
  write: false,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  legalComments: 'none',
  metafile: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  alias: { ndarray: './ndarray.js', 'ndarray-ops': './ndarray-ops.js' },
};

// Two files, which browsers compile at once. Most of what is not of three runs for the first plot, so that
// V8 is asked to compile all of it beside the page's own thread, and not function by function in it.
const apart = {
  name: 'three',
  setup: ({ onResolve }) => onResolve({ filter: /^three$/ }, () => ({ path: './three.js', external: true })),
};
const results = [
  await build({ ...options, entryPoints: { three: 'three' } }),
  await build({
    ...options, entryPoints: { plots: 'plots.jsx' }, plugins: [apart], banner: { js: '//# allFunctionsCalledOnLoad' },
  }),
];

// The packages of which something is in the bundle, with their versions and licences.
function packages() {
  const found = new Set();
  for (const output of results.flatMap(({ metafile }) => Object.values(metafile.outputs))) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const at = path.lastIndexOf('node_modules/');
      if (at < 0 || !bytesInOutput) continue;
      const [scope, name] = path.slice(at + 'node_modules/'.length).split('/');
      found.add(path.slice(0, at) + 'node_modules/' + (scope.startsWith('@') ? `${scope}/${name}` : scope));
    }
  }
  return [...found]
    .map((path) => ({ path, ...JSON.parse(readFileSync(join(here, path, 'package.json'))) }))
    .sort((a, b) => byName(`${a.name} ${a.version}`, `${b.name} ${b.version}`));
}

function licenceText(path) {
  const file = readdirSync(join(here, path)).sort().find((name) => /^(licen[cs]e|copying)/i.test(name));
  return file ? readFileSync(join(here, path, file), 'utf8').trim() : '(the package has no text of its licence)';
}

const used = packages();
const legal = used.map(
  ({ path, name, version, license }) => `${name} ${version} (${license})\n\n${licenceText(path)}\n`,
);
const files = { 'plots.LEGAL.txt': `${legal.join(`\n${'-'.repeat(72)}\n\n`)}` };
for (const { path, contents } of results.flatMap(({ outputFiles }) => outputFiles)) files[path.slice(target.length + 1)] = contents;

const toml = (table, entries) => [`[${table}]`, ...entries.map(([key, value]) => `"${key}" = "${value}"`), ''];
const sources = readdirSync(here).filter((name) => SOURCE.test(name)).sort(byName);
files.VERSIONS = [
  '# Made by bin/build-plots, as are the files beside it.',
  ...toml('files', Object.keys(files).sort(byName).map((name) => [name, sha256(files[name])])),
  ...toml('sources', sources.map((name) => [name, sha256(readFileSync(join(here, name)))])),
  ...toml('packages', used.map(({ name, version, license }) => [`${name} ${version}`, license])),
].join('\n');

if (!existsSync(target)) mkdirSync(target, { recursive: true });
for (const [name, contents] of Object.entries(files)) writeFileSync(join(target, name), contents);
