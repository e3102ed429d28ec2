import json
import os
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULT = os.environ.get("FAULT", "")
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CONTENT = {"application/json": {"schema": TEXT}}
ANSWER = {"200": {"description": "The text", "content": CONTENT}}
OPERATION = {"operationId": "say", "requestBody": {"content": CONTENT, "required": True}, "responses": ANSWER}
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Faulty", "version": "1"},
    "paths": {"/say": {"post": OPERATION}},
}


def die():
    os._exit(1)


def memory():
    kept = []
    while True:
        kept.append(b"x" * 2**24)


def disk():
    # In its cache volume, where it may write as much as the host allows.
    with open("/home/user/.cache/full", "wb") as file:
        while True:
            file.write(b"x" * 2**20)
            file.flush()


def hang():
    time.sleep(3600)


class Faulty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def date_time_string(self, timestamp=None):
        return formatdate(time.time() + 3600 * (FAULT == "clock"), usegmt=True)

    def do_GET(self):
        self.answer(OPENAPI if self.path == "/openapi.json" else {"name": "Faulty"})

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if FAULT in ("die", "memory", "disk", "hang"):
            globals()[FAULT]()
        if FAULT == "garbage":
            self.wfile.write(os.urandom(2**16))
            self.close_connection = True
            return
        self.answer({"text": told["text"]})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if FAULT in ("exit", "crash"):
    sys.exit(0 if FAULT == "exit" else 3)
if FAULT == "never":
    time.sleep(3600)
ThreadingHTTPServer(("0.0.0.0", 8000), Faulty).serve_forever()
