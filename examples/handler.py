#!/usr/bin/env python3
"""A handler for /app destinations, with nothing but Python's standard library.

    python3 examples/handler.py 8090

It answers what docs/HANDLERS.md describes:

    SEND /app/increment       the number plus one, to whoever is subscribed to /topic/increment
    SEND /app/rooms/ROOM      what was said, to /topic/rooms.ROOM, with the name of who said it
    SUBSCRIBE /app/number     42, to that subscription alone
    anything else             400, and why

With STOMPGATE_APP_SECRET in the environment it takes only requests that are signed with it.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from urllib.parse import unquote

SECRET = os.environ.get("STOMPGATE_APP_SECRET", "").encode()
OLDEST_SECONDS = 300

# What was answered already, by idempotency key: an attempt may come again when its answer was lost on the way.
ANSWERED_MAX = 10_000
answered = OrderedDict()
answered_lock = Lock()


class Refused(Exception):
    """Told to the client."""


def answer(request, body):
    """Returns headers and a body."""
    event, path = request["Stompgate-Event"], unquote(request["Stompgate-Path"] or "")
    if (event, path) == ("send", "/increment"):
        try:
            return {"Content-Type": "application/json"}, json.dumps(int(body) + 1)
        except ValueError:
            raise Refused("Got error: Bad input") from None
    if event == "send" and request["Stompgate-Var-room"]:
        who = unquote(request["Stompgate-User"] or "somebody")
        return {
            "Content-Type": "text/plain;charset=UTF-8",
            "Stompgate-Send-To": "/topic/rooms.{room}",
            "Stomp-said-by": who,
        }, body.decode()
    if (event, path) == ("subscribe", "/number"):
        return {"Content-Type": "application/json"}, "42"
    if event in ("connected", "disconnected", "subscribed", "unsubscribed"):
        print(event, request["Stompgate-Session"], request["Stompgate-Destination"] or "", flush=True)
        return {}, ""
    raise Refused(f"Nobody handles {event} {path}")


def is_genuine(request, body):
    if not SECRET:
        return True
    timestamp = request["Stompgate-Timestamp"] or ""
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > OLDEST_SECONDS:
        return False
    expected = "v1=" + hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, request["Stompgate-Signature"] or "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer in one packet, and connections that are used again.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if not is_genuine(self.headers, body):
            return self.say(401, {"Content-Type": "text/plain"}, "The signature is wrong")
        key = self.headers["Stompgate-Delivery"]
        with answered_lock:
            known = answered.get(key)
        if known is None:
            try:
                headers, text = answer(self.headers, body)
                known = (200 if text else 204, headers, text)
            except Refused as refused:
                known = (400, {"Content-Type": "text/plain"}, str(refused))
            with answered_lock:
                answered[key] = known
                if len(answered) > ANSWERED_MAX:
                    answered.popitem(last=False)
        return self.say(*known)

    def say(self, status, headers, text):
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """One line a request would be too many."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8090), Handler)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
