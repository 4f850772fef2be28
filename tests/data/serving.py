"""A server on this machine that does as it is told, well or badly."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 2000
SHA = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server:
    """Answers each request by the next of `plan`, the last for ever; remembers the Range headers."""

    def __init__(self):
        self.plan, self.ranges, self.paths = ["whole"], [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.ranges.append(self.headers.get("Range"))
                outer.paths.append(self.path)
                plan = outer.plan.pop(0) if len(outer.plan) > 1 else outer.plan[0]
                plan(self) if callable(plan) else getattr(outer, plan)(self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/set.bin"

    def send(self, request, status, body, length=None, **headers):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        if length != -1:
            request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    def whole(self, request):
        self.send(request, 200, CONTENT)

    def ranged(self, request):
        start = int((request.headers["Range"] or "bytes=0-")[6:-1])
        end = len(CONTENT) - 1
        self.send(request, 206, CONTENT[start:], Content_Range=f"bytes {start}-{end}/{end + 1}")

    def half(self, request):
        self.send(request, 200, CONTENT[: len(CONTENT) // 2], len(CONTENT))

    def lying(self, request):
        self.send(request, 200, CONTENT[:-1] + b"?")
