package dev.wirespan.examples;

import java.util.Map;

/** A message schema of an application, as it was before anybody traced it. Jackson reads and writes it. */
public class MessageWithHeaders {
    private Map<String, String> headers;
    private String body;

    public MessageWithHeaders() {}

    public MessageWithHeaders(Map<String, String> headers, String body) {
        this.headers = headers;
        this.body = body;
    }

    public Map<String, String> getHeaders() {
        return headers;
    }

    public void setHeaders(Map<String, String> headers) {
        this.headers = headers;
    }

    public String getBody() {
        return body;
    }

    public void setBody(String body) {
        this.body = body;
    }
}
