package dev.wirespan;

import jakarta.websocket.server.ServerEndpointConfig;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.websocket.jakarta.server.config.JakartaWebSocketServletContainerInitializer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

final class JettyServer implements TestServer {
    private final Server server = new Server(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    private final int port;

    JettyServer(ServerEndpointConfig endpoint) throws Exception {
        ServletContextHandler context = new ServletContextHandler("/");
        server.setHandler(context);
        JakartaWebSocketServletContainerInitializer.configure(context, (servlets, container) -> {
            // Jetty takes 64 KiB by default.
            container.setDefaultMaxBinaryMessageBufferSize(1_000_000);
            container.addEndpoint(endpoint);
        });
        server.start();
        // A connector that was stopped knows its port no more.
        port = ((ServerConnector) server.getConnectors()[0]).getLocalPort();
    }

    @Override
    public int port() {
        return port;
    }

    @Override
    public void close() throws Exception {
        server.stop();
    }
}
