import gzip
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 16 * 2**20 - 4096
OUTPUTS = {"html": 2, "text": 3, "json": 4}


def page():
    functions = int(os.environ.get("FUNCTIONS", "0"))
    inputs = list(range(10, 510))
    components = [{"id": 1, "type": "textbox", "props": {"label": "prompt"}}]
    components += [{"id": n, "type": kind} for kind, n in (("html", 2), ("textbox", 3), ("json", 4))]
    components += [{"id": n, "type": "textbox", "props": {"label": f"input {n}"}} for n in inputs if functions]
    dependencies = [function(name, [1], [out]) for name, out in OUTPUTS.items()]
    dependencies += [function(f"f{n}", inputs, [3]) for n in range(functions)]
    more = {"components": components, "dependencies": dependencies}
    return json.dumps({"version": "5.50.0", "protocol": "sse_v3", **more}).encode()


def function(name, inputs, outputs):
    return {"api_name": name, "inputs": inputs, "outputs": outputs, "targets": [[1, "submit"]]}


def filled(part):
    return part * (SIZE // len(part))


def done(data):
    return b'data: {"msg":"process_completed","success":true,"output":{"data":[' + data + b"]}}\n\n"


def grows(data):
    return b'data: {"msg":"process_generating","output":{"data":[' + data + b"]}}\n\n"


def text(part):
    return lambda: [done(b'"' + filled(part) + b'"')]


def items(part, last):
    return lambda: [done(b"[" + filled(part) + last + b"]")]


def edits():
    large = grows(b'"' + b"a" * SIZE + b'"')
    return [large, *[grows(b'[["append",[],"' + b"b" * 8000 + b'"]]')] * 1000, done(b'"well"')]


def small_edits():
    return [grows(b'""'), *[grows(b'[["append",[],"aaaaaaaaaaaaaaaaaaaa"]]')] * 20_000, done(b'"well"')]


def many_edits():
    many = filled(b'["append",[],"a"],')[:-1]
    return [grows(b'"' + b"a" * 2**20 + b'"'), grows(b"[" + many + b"]"), done(b'"well"')]


ATTACKS = {
    "tags": text(b"<a "),
    "declarations": text(b"<![foo]>"),
    "comments": text(b"<!--"),
    "quotes": text(b"<a '"),
    "entities": text(b"&#9"),
    "bold": text(b"<b>"),
    "halves": text(b"\\ud800"),
    "escapes": text(b"\\n"),
    "lists": items(b"[],", b"1"),
    "objects": items(b'{"a":1},', b"1"),
    "numbers": items(b"1,", b"1"),
    "floats": items(b"0.12345678901234567,", b"1"),
    "long numbers": items(b"1" * 4300 + b",", b"1"),
    "keys": lambda: [done(b"{" + b",".join(b'"%027x":0' % n for n in range(SIZE // 34)) + b"}")],
    "deep": lambda: [done(b"[" * 900 + b"]" * 900)],
    "edits": edits,
    "small edits": small_edits,
    "many edits": many_edits,
    "events": lambda: [b'data: {"msg":"heartbeat"}\n\n' * 2**16, done(b'"well"')],
    "lines": lambda: [b":\n" * 2**22, done(b'"well"')],
    "packed": lambda: [gzip.compress(b"a" * 2**27)],
    "harmless": lambda: [done(b'"well"')],
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked = {}

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/config":
            return self.answer(PAGE)
        if path != "/queue/data":
            return self.answer(b"{}", 404 if path == "/info" else 200)
        attack = self.asked.pop(query.removeprefix("session_hash="))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if attack == "packed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for part in ATTACKS[attack]():
                self.wfile.write(part)
        except OSError:
            # Whoever asked has had enough of it.
            pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/queue/join":
            return self.answer(b"{}", 404)
        self.asked[body["session_hash"]] = body["data"][0]
        self.answer(b'{"event_id": "e"}')

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


PAGE = page()

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7860
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
