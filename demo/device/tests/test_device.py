"""Tests of the device against what must not happen: each ends soon, with a line that says why and the exit code for it."""

import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

DEVICE = sys.argv.pop(1)
ORDERS = pathlib.Path(__file__).resolve().parents[2] / "orders"
TEA = str(ORDERS / "tea.wav")


def wav(rate: int = 16000, channels: int = 1, bits: int = 16, coding: int = 1, samples: bytes = bytes(3200)) -> bytes:
    """A WAV file of this format."""
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * step, step, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


class Device(unittest.TestCase):
    """Runs the real program."""

    def order(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the device without a collector, at most 60 s."""
        environment = {"PATH": "/usr/bin:/bin", "OTEL_SDK_DISABLED": "true"}
        return subprocess.run([DEVICE, *arguments], capture_output=True, text=True, timeout=60, env=environment)

    def refuse(self, content: bytes, says: str) -> None:
        """Orders with a file of this content."""
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(content)
            file.flush()
            done = self.order("--url", "ws://127.0.0.1:9", "--wav", file.name)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(says, done.stderr)
        self.assertEqual(done.stdout, "")

    def serve_once(self, behave) -> int:
        """Accepts one connection on a free port, and hands it to `behave`."""
        listener = socket.create_server(("127.0.0.1", 0))

        def run() -> None:
            with listener, listener.accept()[0] as peer:
                behave(peer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 30)
        return listener.getsockname()[1]

    def test_arguments_are_checked(self) -> None:
        for arguments in [(), ("--url", "ws://h:1"), ("--wav", TEA), ("--url", "ws://h:1", "--wav", TEA, "--loud")]:
            done = self.order(*arguments)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("usage: device", done.stderr)

    def test_urls_are_checked(self) -> None:
        for url in ["http://h:1", "ws://", "h:1", "ws://h:0", "ws://h:99999"]:
            done = self.order("--url", url, "--wav", TEA)
            self.assertEqual((done.returncode, "no ws:// URL" in done.stderr), (2, True), f"{url}: {done}")

    def test_recordings_are_checked(self) -> None:
        self.refuse(b"", "is no WAV file")
        self.refuse(b"RIFF\0\0\0\0AVI LIST", "is no WAV file")
        self.refuse(wav()[:30], "cut off")
        self.refuse(wav(rate=44100), "is not 16 kHz mono 16-bit PCM: it has 44100 Hz")
        self.refuse(wav(channels=2), "2 channels")
        self.refuse(wav(bits=8), "8 bits")
        self.refuse(wav(coding=3), "coding 3")
        self.refuse(wav(samples=b""), "holds no speech")

    def test_a_missing_file_is_named(self) -> None:
        done = self.order("--url", "ws://127.0.0.1:9", "--wav", "/nowhere/order.wav")
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot open /nowhere/order.wav", done.stderr)

    def test_nobody_listens(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            done = self.order("--url", f"ws://127.0.0.1:{unused.getsockname()[1]}", "--wav", TEA)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("cannot connect", done.stderr)

    def test_a_server_without_websockets(self) -> None:
        def behave(peer: socket.socket) -> None:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        done = self.order("--url", f"ws://127.0.0.1:{self.serve_once(behave)}", "--wav", TEA)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("cannot connect", done.stderr)

    def test_a_server_that_never_answers(self) -> None:
        stop = threading.Event()
        self.addCleanup(stop.set)
        port = self.serve_once(lambda peer: (peer.recv(4096), stop.wait(45)))
        done = self.order("--url", f"ws://127.0.0.1:{port}", "--wav", TEA)
        stop.set()
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("error: ", done.stderr)

    def upgrade(self, peer: socket.socket, *headers: str) -> str:
        """Answers the opening handshake."""
        import base64
        import hashlib

        request = peer.recv(4096).decode()
        key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}", *headers, "", ""]
        peer.sendall("\r\n".join(lines).encode())
        return request

    def test_a_server_that_does_not_speak_wirespan(self) -> None:
        requests = []

        def behave(peer: socket.socket) -> None:
            requests.append(self.upgrade(peer))
            while peer.recv(4096):
                pass

        done = self.order("--url", f"ws://127.0.0.1:{self.serve_once(behave)}", "--wav", TEA)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("does not speak Wirespan", done.stderr)
        self.assertIn("wirespan: 1;session=", requests[0])

    def test_a_connection_that_is_cut(self) -> None:
        def behave(peer: socket.socket) -> None:
            self.upgrade(peer, "wirespan: 1")
            peer.recv(4096)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        done = self.order("--url", f"ws://127.0.0.1:{self.serve_once(behave)}", "--wav", TEA)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("error: the gateway went away in the middle of the order", done.stderr)

    def test_garbage_is_survived(self) -> None:
        def behave(peer: socket.socket) -> None:
            self.upgrade(peer, "wirespan: 1")
            peer.recv(4096)
            for text in (b"\x1b[2J", b'{"headers":{"stream":"7"', b'{"headers":{},"body":1}', b"[" * 100):
                peer.sendall(bytes([0x81, len(text)]) + text)
            peer.sendall(b"\x82\x06\xff\x57\x01\x00\xff\xff")
            end = b'{"headers":{"stream":"1","end":"error","error":"NoSpeech","content":"none"},"body":null}'
            peer.sendall(bytes([0x81, len(end)]) + end)
            while peer.recv(4096):
                pass

        done = self.order("--url", f"ws://127.0.0.1:{self.serve_once(behave)}", "--wav", TEA, "--fast")
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("error: the order failed: remote, NoSpeech", done.stderr)
        self.assertNotIn("\x1b", done.stdout + done.stderr)


unittest.main()
