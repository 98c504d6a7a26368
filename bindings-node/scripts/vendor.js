// Puts the Rust sources into the package before it is packed (`rust/`), and takes them out again with `--remove`.
//
// A package is installed where there is no repository around it, so it carries a workspace of its own: the core, the crate of
// the addon, and the lock file. What only tests and benches need stays out.

const fs = require('node:fs');
const path = require('node:path');

const here = path.dirname(__dirname);
const root = path.dirname(here);
const target = path.join(here, 'rust');
const MEMBERS = ['core', 'bindings-node'];

/** A manifest without the sections whose files are not in the package. */
function trimmed(manifest) {
  return manifest
    .split(/^(?=\[)/m)
    .filter((section) => !/^\[\[(test|bench|example|bin)\]\]|^\[dev-dependencies/.test(section))
    .join('');
}

fs.rmSync(target, { recursive: true, force: true });
fs.rmSync(path.join(here, 'LICENSE'), { force: true });
if (process.argv[2] !== '--remove') {
  fs.mkdirSync(target);
  const workspace = fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8');
  const members = `members = [${MEMBERS.map((member) => `"${member}"`).join(', ')}]`;
  const all = workspace.replace(/^members = \[[^\]]*\]/m, members).replace(/^default-members = .*\n/m, '');
  fs.writeFileSync(path.join(target, 'Cargo.toml'), all);
  fs.copyFileSync(path.join(root, 'Cargo.lock'), path.join(target, 'Cargo.lock'));
  fs.copyFileSync(path.join(root, 'LICENSE'), path.join(here, 'LICENSE'));
  for (const member of MEMBERS) {
    const manifest = fs.readFileSync(path.join(root, member, 'Cargo.toml'), 'utf8');
    fs.mkdirSync(path.join(target, member));
    fs.writeFileSync(path.join(target, member, 'Cargo.toml'), trimmed(manifest));
    fs.cpSync(path.join(root, member, 'src'), path.join(target, member, 'src'), { recursive: true });
  }
}
