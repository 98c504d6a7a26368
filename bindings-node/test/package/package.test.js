// The package as users get it: packed, installed outside the tree, and the README's quick start run as it stands.

const assert = require('node:assert/strict');
const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');

const here = path.resolve(__dirname, '..', '..');
const blocks = (text, language) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, code]) => code);

/** A process whose output is collected, until it has printed a number of lines or has ended. */
function start(t, folder, script) {
  const child = spawn(process.execPath, [script], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  let output = '';
  let check = () => {};
  child.stdout.on('data', (data) => {
    output += data;
    check();
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const lines = (count) =>
    new Promise((resolve) => {
      check = () => output.split('\n').length > count && resolve(output);
      check();
    });
  return { lines, ended, output: () => output };
}

test('the packed package installs outside the tree, and the quick start prints what the README says', async (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'wirespan-package-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const npm = (args, cwd) => {
    // Compiled crates are kept, so that only the first run takes its time.
    const env = { ...process.env, CARGO_TARGET_DIR: path.join(here, '..', 'target', 'npm-package') };
    return execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, env, encoding: 'utf8' });
  };
  npm(['pack', '--pack-destination', folder], here);
  const [tarball] = fs.readdirSync(folder);
  assert.equal(fs.existsSync(path.join(here, 'rust')), false, 'packing leaves nothing behind');
  fs.writeFileSync(path.join(folder, 'package.json'), '{"private":true}');
  const readme = fs.readFileSync(path.join(here, 'README.md'), 'utf8');
  // The README's own commands, with the packed file in place of the name.
  const commands = blocks(readme, 'sh')
    .join('')
    .split('\n')
    .filter((line) => /^npm install \S*(wirespan|@opentelemetry)/.test(line) && !line.includes('.tgz'));
  assert.equal(commands.length, 2);
  for (const command of commands) {
    const args = command.replace(' wirespan ', ` ./${tarball} `).split(' ').slice(1);
    npm([...args, '--prefer-offline'], folder);
  }
  assert.equal(fs.lstatSync(path.join(folder, 'node_modules', 'wirespan')).isSymbolicLink(), false);

  const scripts = blocks(readme, 'js');
  ['server.mjs', 'client.mjs', 'tracing.mjs'].forEach((name, at) => {
    fs.writeFileSync(path.join(folder, name), scripts[at]);
  });
  const [clientSays, serverSays] = blocks(readme, 'text');
  const server = start(t, folder, 'server.mjs');
  await server.lines(1);
  const client = start(t, folder, 'client.mjs');
  assert.equal(await client.ended, 0);
  assert.equal(client.output(), clientSays);
  assert.equal(await server.lines(3), serverSays);
});
