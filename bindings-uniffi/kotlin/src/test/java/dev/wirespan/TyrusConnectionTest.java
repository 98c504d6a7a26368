package dev.wirespan;

import jakarta.websocket.server.ServerEndpointConfig;

class TyrusConnectionTest extends ConnectionTest {
    @Override
    TestServer start(ServerEndpointConfig endpoint) throws Exception {
        return new TyrusServer(endpoint);
    }
}
