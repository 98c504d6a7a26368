package dev.wirespan;

import jakarta.websocket.DeploymentException;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.IOException;
import java.net.URI;
import java.util.Map;
import org.glassfish.tyrus.server.TyrusServerContainer;
import org.glassfish.tyrus.spi.ServerContainer;
import org.glassfish.tyrus.spi.ServerContainerFactory;

/** Tyrus on a free port of the loopback interface. */
final class TyrusServer implements AutoCloseable {
    private final ServerContainer container = ServerContainerFactory.createServerContainer(Map.of());
    final int port;

    TyrusServer(ServerEndpointConfig... endpoints) throws DeploymentException, IOException {
        for (ServerEndpointConfig endpoint : endpoints) {
            container.addEndpoint(endpoint);
        }
        container.start("/", 0);
        port = ((TyrusServerContainer) container).getPort();
    }

    URI uri(String path) {
        return URI.create("ws://localhost:" + port + path);
    }

    @Override
    public void close() {
        container.stop();
    }
}
