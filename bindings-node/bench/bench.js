// The product against what one would write by hand, and against the copy of the body: bench.js OUTPUT [SIZE...]

const fs = require('node:fs');
const { rows, print } = require('./measure.js');
const { measureMessages } = require('./messages.js');
const { measureCarry, measureChunks, measureStart } = require('./parts.js');

measureMessages(process.argv.slice(3).map(Number));
measureChunks();
measureCarry();
measureStart();
fs.writeFileSync(process.argv[2], `${JSON.stringify(rows, null, 1)}\n`);
print();
