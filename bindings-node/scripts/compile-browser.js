// Makes `browser/dist` of `browser/src`, as `make` does and as packing does, also in a checkout where nothing is installed yet: declarations, and one
// file for each entry, whose private names (they end in `_`) and local names are as short as can be.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const here = path.dirname(__dirname);
const dist = path.join(here, 'browser', 'dist');
// What is installed goes to standard error: the last line of `npm pack` on standard output is the file's name.
const stdio = ['ignore', process.stderr, process.stderr];

if (!fs.existsSync(path.join(here, 'node_modules', '@swc', 'core'))) {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', args, { cwd: here, stdio, shell: process.platform === 'win32' });
}
fs.rmSync(dist, { recursive: true, force: true });
const compiler = path.join(here, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [compiler, '--project', 'browser'], { cwd: here, stdio });

async function bundle(entry) {
  const { outputFiles } = await require('esbuild').build({
    entryPoints: [path.join(here, 'browser', 'src', `${entry}.ts`)],
    tsconfig: path.join(here, 'browser', 'tsconfig.json'),
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    mangleProps: /_$/,
  });
  // What esbuild makes, SWC makes 6 % shorter after compression.
  const options = { module: true, ecma: 2022, compress: { passes: 3 }, mangle: { topLevel: true } };
  const { code } = await require('@swc/core').minify(outputFiles[0].text, options);
  fs.writeFileSync(path.join(dist, `${entry}.js`), `${code}\n`);
}

Promise.all(['index', 'parts'].map(bundle)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
