const { bytesOf } = require('./body.js');
const { invalid } = require('./error.js');

/** Headers as `rawHeaders`, as pairs or as an object whose values may be arrays: names and values in turn. Values may be bytes. */
function flatten(headers) {
  if (Array.isArray(headers)) return headers.every((item) => typeof item === 'string') ? headers : pairs(headers);
  if (headers === null || typeof headers !== 'object') throw invalid('headers', 'must be an object or an array');
  return pairs(
    Object.entries(headers).flatMap(([name, value]) =>
      Array.isArray(value) ? value.map((one) => [name, one]) : value === undefined ? [] : [[name, value]],
    ),
  );
}

function pairs(entries) {
  for (const entry of entries) {
    if (!Array.isArray(entry) || entry.length !== 2) throw invalid('headers', 'must be names with their values');
  }
  return entries.flatMap(([name, value]) => [name, ArrayBuffer.isView(value) ? bytesOf(value, 'headers') : String(value)]);
}

module.exports = { flatten };
