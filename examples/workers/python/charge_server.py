#!/usr/bin/env python3
"""A server for `logmill push`: charges orders, a POST for each. Needs Python and nothing else.

    python3 charge_server.py 8080
    logmill push -b localhost:9092 -g billing -t orders --to http://127.0.0.1:8080/charge --concurrency 64
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Charge(BaseHTTPRequestHandler):
    # Connections are kept, so every answer says how long it is.
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        attempt = int(self.headers["logmill-attempt"])
        try:
            order = json.loads(body)
            cents = order["cents"]
        except (ValueError, LookupError, TypeError) as error:
            return self.answer(422, f"not an order: {error!r}")
        if cents == 0:
            return self.answer(422, "zero amount")
        if attempt <= order.get("busy", 0):
            return self.answer(503, "the payment service is busy", ("retry-after", "0"))
        print(f"charged {cents} for order {order['id']} at attempt {attempt}", flush=True)
        return self.answer(204, "")

    def answer(self, status, reason, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(reason.encode())))
        self.end_headers()
        self.wfile.write(reason.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Charge)
print(f"http://127.0.0.1:{server.server_port}/charge", flush=True)
server.serve_forever()
