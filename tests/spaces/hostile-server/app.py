import gzip
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = b"a" * 2**20
HUGE = 10 * 2**30
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Attack", "version": "1"},
    "paths": {
        "/attack": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"text": {"type": "string"}},
                                "required": ["text"],
                            }
                        }
                    },
                },
                "responses": {"200": {"description": "harm", "content": {"application/json": {"schema": {}}}}},
            }
        }
    },
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if os.environ.get("START") == "slow" and self.path == "/openapi.json":
            return slow_headers(self)
        self.answer(json.dumps(DOCUMENT if self.path == "/openapi.json" else {}).encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            ATTACKS[asked["text"]](self)
        except OSError:
            # Whoever asked has had enough of it.
            self.close_connection = True

    def answer(self, body, media_type="application/json", **headers):
        self.head(media_type, **{"Content-Length": len(body)}, **headers)
        self.wfile.write(body)

    def head(self, media_type, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": media_type, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def log_message(self, format, *arguments):
        pass


def harmless(handler):
    handler.answer(b'{"answer": "nothing happened"}')


def huge_text(handler):
    handler.head("text/plain", Content_Length=HUGE)
    for _ in range(HUGE // len(BLOCK)):
        handler.wfile.write(BLOCK)


def huge_json(handler):
    handler.head("application/json", Content_Length=HUGE)
    handler.wfile.write(b'{"answer": "')
    for _ in range(HUGE // len(BLOCK)):
        handler.wfile.write(BLOCK)


def huge_file(handler):
    handler.head("application/octet-stream", Content_Length=HUGE)
    for _ in range(HUGE // len(BLOCK)):
        handler.wfile.write(BLOCK)


def huge_error(handler):
    handler.head("text/plain", 400, Content_Length=HUGE)
    for _ in range(HUGE // len(BLOCK)):
        handler.wfile.write(BLOCK)


def endless(handler):
    handler.head("text/plain", Transfer_Encoding="chunked")
    while True:
        handler.chunk(BLOCK)


def packed(handler):
    """10 GB of the same letter, which gzip makes 10 MB of."""
    part = gzip.compress(BLOCK * 64, 9)
    handler.head("text/plain", Content_Encoding="gzip", Transfer_Encoding="chunked")
    for _ in range(HUGE // (len(BLOCK) * 64)):
        handler.chunk(part)
    handler.chunk(b"")


def huge_header(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        handler.wfile.write(BLOCK)


def many_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-More: and more\r\n" * 10_000)


def wait_more(handler):
    """Answers that are only the announcement of another."""
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


def slow_headers(handler):
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 10_000:
        handler.wfile.write(bytes([byte]))
        time.sleep(1)


def slow_body(handler):
    handler.head("application/json", Content_Length=HUGE)
    while True:
        handler.wfile.write(b" ")
        time.sleep(1)


def deep(handler):
    handler.answer(b"[" * 10_000_000)


def escapes(handler):
    handler.answer(json.dumps({"answer": "\x1b]0;owned\x07\x1b[2J\x9b31mred\r\x08\x7f\x1b[8mhidden"}).encode())


def escapes_in_error(handler):
    said = json.dumps({"detail": "\x1b]0;owned\x07\x1b[2J\x9b31mbad\x1b[8mhidden"}).encode()
    handler.head("application/json", 400, Content_Length=len(said))
    handler.wfile.write(said)


def climbing_name(handler):
    handler.answer(b"theirs", "application/octet-stream", Content_Disposition='attachment; filename="../../../etc/cron.d/mine"')


def elsewhere(handler):
    handler.head("text/plain", 307, Location="http://169.254.169.254/latest/meta-data", Content_Length=0)


def flood_log(handler):
    for _ in range(32):
        sys.stdout.buffer.write((b"x" * 1023 + b"\n") * 1024)
    sys.stdout.flush()
    harmless(handler)


ATTACKS = {name: attack for name, attack in globals().items() if callable(attack) and name.islower()}

if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 7860), Handler)
    server.daemon_threads = True
    server.serve_forever()
