// Both module systems, and the facts that are written twice.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import ts from 'typescript';
import * as esm from 'wirespan';
import * as wsEsm from 'wirespan/ws';

const require = createRequire(import.meta.url);
const cjs = require('wirespan');
const wsCjs = require('wirespan/ws');
const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

test('ESM and CommonJS share one instance and export the same', () => {
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).sort());
  assert.deepEqual(Object.keys(wsEsm).sort(), Object.keys(wsCjs).sort());
  for (const [name, value] of Object.entries(esm)) assert.equal(value, cjs[name], name);
  for (const [name, value] of Object.entries(wsEsm)) assert.equal(value, wsCjs[name], name);
});

test('a second copy of the CommonJS module is independent', () => {
  const ours = Object.keys(require.cache).filter((file) => file.includes('bindings-node') && !file.includes('node_modules'));
  const kept = ours.map((file) => [file, require.cache[file]]);
  for (const file of ours) delete require.cache[file];
  const second = require('wirespan');
  for (const [file, module] of kept) require.cache[file] = module;
  assert.notEqual(second.Connection, cjs.Connection);
  for (const { StreamMetrics, WirespanError, parseTraceparent } of [second, cjs]) {
    const metrics = new StreamMetrics();
    metrics.recordChunk(1, 1);
    assert.equal(metrics.summary().chunks, 1);
    assert.throws(() => parseTraceparent('x'), WirespanError);
  }
});

/** The names that a declaration file exports as values, with the members of its classes. */
function declared(file) {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true);
  const classes = new Map();
  const values = new Set();
  const members = (node) =>
    node.members
      .filter((member) => !ts.isConstructorDeclaration(member))
      .map((member) => [
        member.name.getText(),
        member.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.StaticKeyword) ?? false,
      ]);
  for (const node of source.statements) {
    const exported = node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword);
    if (ts.isClassDeclaration(node)) {
      const base = node.heritageClauses?.find((clause) => clause.token === ts.SyntaxKind.ExtendsKeyword)?.types[0].getText();
      classes.set(node.name.text, [...(classes.get(base) ?? []), ...members(node)]);
    }
    if (!exported) continue;
    if (ts.isClassDeclaration(node) || ts.isFunctionDeclaration(node)) values.add(node.name.text);
    if (ts.isVariableStatement(node)) for (const one of node.declarationList.declarations) values.add(one.name.getText());
  }
  return { values, classes };
}

for (const [file, module] of [
  ['index.d.ts', cjs],
  ['ws.d.ts', wsCjs],
]) {
  test(`${file} declares what the module has, and its classes have what is declared`, () => {
    const { values, classes } = declared(file);
    assert.deepEqual([...values].sort(), Object.keys(module).sort());
    for (const name of values) {
      const type = module[name];
      for (const [member, isStatic] of classes.get(name) ?? []) {
        if (isStatic) assert.ok(member in type, `${name}.${member}`);
        else if (/^\w+$/.test(member))
          assert.ok(
            member in type.prototype ||
              type.toString().includes(`this.${member} =`) ||
              Object.getPrototypeOf(type).toString().includes(`this.${member} =`),
            `${name}.prototype.${member}`,
          );
      }
      // The other way: nothing public is undeclared.
      if (!classes.has(name)) continue;
      const known = new Set(classes.get(name).map(([member]) => member));
      for (
        let proto = type.prototype;
        proto !== Object.prototype && proto !== Error.prototype;
        proto = Object.getPrototypeOf(proto)
      ) {
        for (const member of Object.getOwnPropertyNames(proto)) {
          if (member !== 'constructor' && member !== 'name' && !member.startsWith('_'))
            assert.ok(known.has(member), `${name}.prototype.${member} is not declared`);
        }
      }
    }
  });
}

test('the words in the types are those of the core', () => {
  const words = (type) => {
    const found = new RegExp(`export type ${type} =([^;]*);`).exec(read('index.d.ts'));
    return found[1].match(/'[^']+'/g).map((word) => word.slice(1, -1));
  };
  assert.deepEqual(words('ErrorKind'), cjs.names.errorKinds);
  assert.deepEqual(words('Refusal'), cjs.names.refusals);
  assert.deepEqual(words('Counter'), cjs.names.counters);
  assert.deepEqual(words('Outcome'), cjs.names.outcomes);
});

test('every option is known to the core and to the types', () => {
  const { NAMES } = require('../lib/options.js');
  const body = /export interface Options \{([\s\S]*?)\n\}/.exec(read('index.d.ts'))[1];
  const declaredOptions = [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, name]) => name);
  assert.deepEqual(declaredOptions.sort(), Object.keys(NAMES).sort());
  const source = readFileSync(new URL('../../core/src/connection/options.rs', import.meta.url), 'utf8');
  const set = source.slice(source.indexOf('match name {'), source.indexOf('is no option of a connection'));
  const core = [...set.matchAll(/^ {12}"(\w+)" =>/gm)].map(([, name]) => name);
  assert.deepEqual(Object.values(NAMES).sort(), core.sort());
});

test('the version is that of the workspace', () => {
  const workspace = /\[workspace\.package\][\s\S]*?^version = "(.*)"$/m.exec(
    readFileSync(new URL('../../Cargo.toml', import.meta.url), 'utf8'),
  );
  const { version } = JSON.parse(read('package.json'));
  assert.equal(version, workspace[1]);
  assert.equal(cjs.names.version, version);
  const lock = JSON.parse(read('package-lock.json'));
  assert.equal(lock.version, version);
  assert.equal(read('package-lock.json').includes('"resolved"'), false, 'the lock names no registry');
});
