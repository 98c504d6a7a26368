package dev.wirespan;

import jakarta.websocket.server.ServerEndpointConfig;

class JettyConnectionTest extends ConnectionTest {
    @Override
    TestServer start(ServerEndpointConfig endpoint) throws Exception {
        return new JettyServer(endpoint);
    }
}
