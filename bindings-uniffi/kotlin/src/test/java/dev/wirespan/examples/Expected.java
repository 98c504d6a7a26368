package dev.wirespan.examples;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/** What is expected to arrive, from the resources beside the tests. */
final class Expected {
    private Expected() {}

    /** The part of a file behind the line `# PART`, up to the next empty line. */
    static String of(String file, String part) throws IOException {
        String text = whole(file);
        String start = "# " + part + "\n";
        String rest = text.substring(text.indexOf(start) + start.length());
        int end = rest.indexOf("\n\n");
        return end < 0 ? rest : rest.substring(0, end + 1);
    }

    static String whole(String file) throws IOException {
        try (InputStream text = Expected.class.getResourceAsStream(file)) {
            return new String(text.readAllBytes(), StandardCharsets.UTF_8);
        }
    }
}
