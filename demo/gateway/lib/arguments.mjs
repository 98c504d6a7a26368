import { parseArgs } from 'node:util';

const USAGE =
  'usage: gateway.mjs --recogniser ws://HOST:PORT --kitchen ws://HOST:PORT [--host ADDRESS] [--port PORT] [--print-context]';

/** Reads the command line. Throws an Error that says what is wrong. */
export function readArguments(args) {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        host: { type: 'string', default: '127.0.0.1' },
        port: { type: 'string', default: '0' },
        recogniser: { type: 'string' },
        kitchen: { type: 'string' },
        'print-context': { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new Error(`${error.message}\n${USAGE}`);
  }
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) throw new Error(`--port: ${JSON.stringify(values.port)} is no port`);
  for (const name of ['recogniser', 'kitchen']) {
    if (!isWebSocketUrl(values[name])) throw new Error(`--${name} must be a URL such as ws://127.0.0.1:8765\n${USAGE}`);
  }
  const { host, recogniser, kitchen } = values;
  return { host, port, recogniser, kitchen, printContext: values['print-context'] };
}

function isWebSocketUrl(text) {
  return text !== undefined && URL.canParse(text) && ['ws:', 'wss:'].includes(new URL(text).protocol);
}
