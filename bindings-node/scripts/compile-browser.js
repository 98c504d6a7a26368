// Compiles `browser/src` into `browser/dist`, as `make` does and as packing does, also in a checkout where nothing is installed yet.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const here = path.dirname(__dirname);
const compiler = path.join(here, 'node_modules', 'typescript', 'bin', 'tsc');
// What is installed goes to standard error: the last line of `npm pack` on standard output is the file's name.
const stdio = ['ignore', process.stderr, process.stderr];

if (!fs.existsSync(compiler)) {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', args, { cwd: here, stdio, shell: process.platform === 'win32' });
}
execFileSync(process.execPath, [compiler, '--project', 'browser'], { cwd: here, stdio });
