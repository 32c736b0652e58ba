"""stomp.py over its WebSocket transport, as the suites use it."""

import os
import queue
import threading
import uuid
from urllib.parse import urlsplit

import stomp
from stomp.adapter.ws import WSTransport
from stomp.connect import BaseConnection, StompConnection11

URL = urlsplit(os.environ["STOMPGATE_TEST_URL"])
ANSWER_S = 10


class WSStompConnection11(StompConnection11):
    """STOMP 1.1 over WebSocket, for which stomp.py has both halves and no class."""

    def __init__(self, host_and_ports, ws_path):
        super().__init__(host_and_ports)
        transport = WSTransport(host_and_ports, ws_path=ws_path)
        BaseConnection.__init__(self, transport)
        stomp.protocol.Protocol11.__init__(self, transport)


class Inbox(stomp.ConnectionListener):
    """Keeps what the server sends until a test asks for it."""

    def __init__(self):
        self.connected = queue.Queue()
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.gone = threading.Event()

    def on_connected(self, frame):
        self.connected.put(frame)

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.gone.set()


class Client:
    """A connection with its inbox; ids of subscriptions and receipts are its own affair."""

    def __init__(self, connection_type):
        self.inbox = Inbox()
        self.connection = connection_type([(URL.hostname, URL.port)], ws_path=URL.path)
        self.connection.set_listener("", self.inbox)
        self.connection.connect(wait=True)
        self.version = self.inbox.connected.get(timeout=ANSWER_S).headers["version"]

    def confirmed(self, act, *arguments, **headers):
        """Carries out `act` and waits for the RECEIPT that it asks for."""
        receipt = uuid.uuid4().hex
        act(*arguments, receipt=receipt, **headers)
        answer = self.inbox.receipts.get(timeout=ANSWER_S)
        assert answer == receipt, f"RECEIPT {answer} instead of {receipt}"

    def send(self, destination, body, **headers):
        self.confirmed(self.connection.send, destination, body, **headers)

    def subscribe(self, destination, ack="auto"):
        self.confirmed(self.connection.subscribe, destination, id=uuid.uuid4().hex, ack=ack)

    def message(self):
        return self.inbox.messages.get(timeout=ANSWER_S)

    def settle(self, message, verdict):
        """ACK or NACK, as the version words it."""
        act = getattr(self.connection, verdict)
        if self.version == "1.2":
            self.confirmed(act, message.headers["ack"])
        else:
            self.confirmed(act, message.headers["message-id"], message.headers["subscription"])

    def disconnect(self):
        receipt = uuid.uuid4().hex
        self.connection.disconnect(receipt=receipt)
        answer = self.inbox.receipts.get(timeout=ANSWER_S)
        assert answer == receipt, f"RECEIPT {answer} instead of {receipt}"


def unique(kind):
    return f"/{kind}/python-{uuid.uuid4().hex}"
