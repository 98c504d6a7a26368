package dev.wirespan;

import jakarta.websocket.DeploymentException;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.IOException;
import java.util.Map;
import org.glassfish.tyrus.server.TyrusServerContainer;
import org.glassfish.tyrus.spi.ServerContainer;
import org.glassfish.tyrus.spi.ServerContainerFactory;

final class TyrusServer implements TestServer {
    private final ServerContainer container = ServerContainerFactory.createServerContainer(Map.of());
    private final int port;

    TyrusServer(ServerEndpointConfig endpoint) throws DeploymentException, IOException {
        container.addEndpoint(endpoint);
        container.start("/", 0);
        port = ((TyrusServerContainer) container).getPort();
    }

    @Override
    public int port() {
        return port;
    }

    @Override
    public void close() {
        container.stop();
    }
}
