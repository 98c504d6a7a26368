// The browser's part by itself: what it imports, and what it does in a few words. The rest is in conformance/cases.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as wirespan from '../browser/dist/index.js';

const dist = new URL('../browser/dist/', import.meta.url);
const sources = readdirSync(dist).filter((name) => name.endsWith('.js'));

test('it imports nothing but its own files', () => {
  assert.ok(sources.length > 10);
  for (const name of sources) {
    const text = readFileSync(new URL(name, dist), 'utf8');
    const imported = [...text.matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, from]) => from);
    for (const from of imported) assert.ok(sources.includes(from.replace(/^\.\//, '')), `${name} imports ${from}`);
  }
});

test('a text that is not UTF-8 is a plain message', () => {
  const bytes = Buffer.from('{"headers":{"a":"\xff"},"body":1}', 'latin1');
  assert.deepEqual(wirespan.unwrap(wirespan.textOf(bytes)), { plain: 'character' });
  assert.equal(wirespan.textOf(Buffer.from('é\ufffd')), 'é\ufffd');
});

test('nesting takes no stack', () => {
  const deep = '['.repeat(1e6);
  assert.deepEqual(wirespan.unwrap(`{"headers":{},"body":${deep}`, 'always'), { plain: 'too_many' });
  const { message } = wirespan.wrap({}, [], { text: deep });
  assert.ok(message.startsWith('{"headers":{"content":"text"},"body":"[['));
});

test('strings of megabytes are read', () => {
  const text = 'x\\'.repeat(4e6);
  const { message } = wirespan.wrap({}, [], { text });
  assert.equal(wirespan.unwrap(message).body, text);
  assert.equal(wirespan.unwrap(` ${message}`, 'always').body, text);
});

test('an error has its kind and number', () => {
  const twice = [
    ['x', '1'],
    ['X', '2'],
  ];
  assert.throws(() => wirespan.wrap({}, twice, { text: '' }), { kind: 'invalid_argument', code: 1, field: 'X' });
});
