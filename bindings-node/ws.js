const { connect } = require('./lib/ws-client.js');
const { TracedServer, attach, serve } = require('./lib/ws-server.js');

module.exports = { TracedServer, attach, connect, serve };
