// Builds the addon with cargo and puts it beside this file. It needs nothing but Node.js and Rust.
//
// In the repository the crate is the folder around this file; in a package it is the vendored workspace in `rust/`.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const ADDON = path.join(__dirname, 'wirespan.node');
const LIBRARY = { win32: 'wirespan_node.dll', darwin: 'libwirespan_node.dylib' }[process.platform] ?? 'libwirespan_node.so';

/** The folder of the workspace that holds the crate. */
function workspace() {
  const vendored = path.join(__dirname, 'rust');
  if (fs.existsSync(path.join(vendored, 'Cargo.toml'))) return vendored;
  const repository = path.dirname(__dirname);
  if (fs.existsSync(path.join(__dirname, 'Cargo.toml')) && fs.existsSync(path.join(repository, 'core'))) return repository;
  throw new Error('The Rust sources of wirespan are missing: install the package again.');
}

function build(root) {
  const args = ['build', '--release', '--package', 'wirespan-node', '--message-format', 'json-render-diagnostics'];
  let messages;
  try {
    messages = execFileSync(process.env.CARGO ?? 'cargo', args, {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 256 * 1024 * 1024,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new Error('wirespan is built from Rust, and cargo was not found: install Rust (https://rustup.rs) and try again.');
  }
  // Cargo says where it put the library; the folder may be configured to be anywhere.
  for (const line of messages.split('\n').reverse()) {
    if (!line.startsWith('{')) continue;
    const message = JSON.parse(line);
    const files = message.reason === 'compiler-artifact' ? message.filenames : [];
    const found = files.find((file) => path.basename(file) === LIBRARY);
    if (found !== undefined) return found;
  }
  throw new Error(`cargo built no ${LIBRARY}.`);
}

try {
  const library = build(workspace());
  // A process that has the old addon loaded keeps it: the name moves to the new file.
  const fresh = `${ADDON}.${process.pid}.new`;
  fs.copyFileSync(library, fresh);
  fs.renameSync(fresh, ADDON);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
