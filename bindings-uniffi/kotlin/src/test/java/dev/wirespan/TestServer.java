package dev.wirespan;

/** A server of Jakarta WebSocket on a free port of the loopback interface. */
interface TestServer {
    int port();

    void close() throws Exception;
}
