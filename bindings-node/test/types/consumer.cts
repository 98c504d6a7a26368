// The same types reach CommonJS.
import wirespan = require('wirespan');
import integration = require('wirespan/ws');

const carry: wirespan.Carry<number> = wirespan.Carry.capture(1);
const kinds: readonly wirespan.ErrorKind[] = wirespan.names.errorKinds;
void integration.serve({}, { port: 0 }).then((server) => server.close());
export = { carry, kinds };
