import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Talker(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"talks": True})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"]
        print(f"asked {asked} with the token {os.environ['TOKEN']}")
        self.answer({"said": asked.upper()})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("0.0.0.0", 7860), Talker).serve_forever()
