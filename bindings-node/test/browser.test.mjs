// The browser's part by itself: what it imports, and what it does in a few words. The rest is in conformance/cases.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import * as wirespan from '../browser/dist/parts.js';

const browser = new URL('../browser/', import.meta.url);
const read = (path) => readFileSync(new URL(path, browser), 'utf8');
/** What a text imports, and not for its types alone. */
const importsOf = (text) => [...text.matchAll(/\b(?:from|import|require)\s*\(?\s*['"]([^'"]+)['"]/g)].map(([, from]) => from);

test('its sources import nothing but each other, and types of the OpenTelemetry API', () => {
  const sources = readdirSync(new URL('src/', browser), { recursive: true }).filter((name) => name.endsWith('.ts'));
  assert.ok(sources.length > 25);
  for (const name of sources) {
    const text = read(`src/${name}`).replace(
      /^import type .*@opentelemetry\/api';$|typeof import\('@opentelemetry\/api'\)/gm,
      '',
    );
    for (const from of importsOf(text)) {
      const { pathname } = new URL(from.replace(/\.js$/, '.ts'), new URL(`src/${name}`, browser));
      const path = pathname.slice(new URL('src/', browser).pathname.length);
      assert.ok(/^\.\.?\//.test(from) && sources.includes(path), `${name} imports ${from}`);
    }
  }
});

test('what is loaded imports nothing, and is at most 10 KiB compressed', () => {
  for (const name of ['index', 'parts']) assert.deepEqual(importsOf(read(`dist/${name}.js`)), []);
  assert.ok(gzipSync(read('dist/index.js')).length <= 10240);
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

test('an error has its kind and field', () => {
  const twice = [
    ['x', '1'],
    ['X', '2'],
  ];
  assert.throws(() => wirespan.wrap({}, twice, { text: '' }), {
    kind: 'invalid_argument',
    field: 'X',
    message: 'invalid_argument: X',
  });
});
