import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CONTENT = {"application/json": {"schema": TEXT}}
ANSWER = {"200": {"description": "The text", "content": CONTENT}}
OPERATION = {"operationId": "nap", "requestBody": {"content": CONTENT, "required": True}, "responses": ANSWER}
OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Nap", "version": "1"},
    "paths": {"/nap": {"post": OPERATION}},
}


class Nap(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(OPENAPI if self.path == "/openapi.json" else {"name": "Nap"})

    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(float(os.environ.get("NAP_SECONDS", "1")))
        self.answer({"text": told["text"]})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8000), Nap).serve_forever()
