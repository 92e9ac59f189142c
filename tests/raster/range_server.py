"""A web server that sends parts of one file. A process of its own: rasterio holds the GIL while opening."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeHandler(BaseHTTPRequestHandler):
    """`/scene.tif` is the file, `/sent` the number of its bytes sent so far."""

    content = Path(sys.argv[1]).read_bytes()
    sent = 0

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        if self.path == "/scene.tif":
            self.answer_part(with_body=with_body)
        elif self.path == "/sent":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(self.sent).encode())
        else:
            self.send_error(404)

    def answer_part(self, *, with_body):
        first, last = 0, len(self.content) - 1
        wanted = self.headers.get("Range")
        if wanted:
            start, end = wanted.removeprefix("bytes=").split("-")
            first, last = int(start), min(int(end or last), last)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        self.end_headers()
        if with_body:
            RangeHandler.sent += last + 1 - first
            self.wfile.write(self.content[first : last + 1])

    def log_message(self, *args):
        """Stay silent."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), RangeHandler)
    print(server.server_port, flush=True)
    server.serve_forever()
