// The package under test, as an application beside it gets it: node driver.mjs [FOLDER], where FOLDER is that of the package.

import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = process.argv[2] ?? fileURLToPath(new URL('../../../bindings-node', import.meta.url));
const require = createRequire(resolve(folder, 'index.js'));

export const api = require('@opentelemetry/api');
export const wirespan = require('wirespan');
