"""stomp.py over its WebSocket transport: a client that shares no code with stomp.js."""

import os
import queue
import threading
import unittest
import uuid
from urllib.parse import urlsplit

import stomp
from stomp.adapter.ws import WSStompConnection, WSTransport
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


class Dialogues:
    """Each of them is held once in every version."""

    def client(self):
        client = Client(self.connection_type)
        self.addCleanup(lambda: client.connection.is_connected() and client.connection.disconnect())
        return client

    def test_the_version_asked_for_is_negotiated_without_a_sub_protocol(self):
        client = self.client()
        self.assertEqual(client.version, self.version)

    def test_a_message_arrives_with_its_body_and_headers(self):
        client = self.client()
        topic = unique("topic")
        client.subscribe(topic)
        client.send(topic, "Grüße, 世界\nline two", content_type="text/plain", headers={"x-own": "a:b"})
        message = client.message()
        self.assertEqual(message.body, "Grüße, 世界\nline two")
        self.assertEqual(message.headers["x-own"], "a:b")
        self.assertEqual(message.headers["content-type"], "text/plain")
        self.assertEqual(message.headers["destination"], topic)

    def test_what_was_not_acknowledged_is_delivered_again(self):
        client = self.client()
        name = unique("queue")
        client.subscribe(name, ack="client-individual")
        for body in ("1", "2"):
            client.send(name, body)
        first, second = client.message(), client.message()
        self.assertEqual([first.body, second.body], ["1", "2"])
        client.settle(first, "ack")
        client.disconnect()
        successor = self.client()
        successor.subscribe(name, ack="client-individual")
        again = successor.message()
        self.assertEqual((again.body, again.headers.get("redelivered")), ("2", "true"))
        successor.settle(again, "ack")

    def test_ack_client_is_cumulative(self):
        client = self.client()
        name = unique("queue")
        client.subscribe(name, ack="client")
        for body in ("1", "2", "3"):
            client.send(name, body)
        messages = [client.message() for _ in range(3)]
        client.settle(messages[1], "ack")
        client.disconnect()
        successor = self.client()
        successor.subscribe(name)
        self.assertEqual(successor.message().body, "3")

    def test_a_message_refused_with_nack_comes_again(self):
        client = self.client()
        name = unique("queue")
        client.subscribe(name, ack="client-individual")
        client.send(name, "again")
        client.settle(client.message(), "nack")
        again = client.message()
        self.assertEqual((again.body, again.headers.get("redelivered")), ("again", "true"))
        client.settle(again, "ack")

    def test_a_transaction_takes_effect_at_its_commit(self):
        client = self.client()
        topic = unique("topic")
        client.subscribe(topic)
        transaction = uuid.uuid4().hex
        client.confirmed(client.connection.begin, transaction)
        client.connection.send(topic, "inside", transaction=transaction)
        client.send(topic, "outside")
        self.assertEqual(client.message().body, "outside")
        client.confirmed(client.connection.commit, transaction)
        self.assertEqual(client.message().body, "inside")

    def test_an_aborted_transaction_leaves_nothing(self):
        client = self.client()
        topic = unique("topic")
        client.subscribe(topic)
        transaction = uuid.uuid4().hex
        client.confirmed(client.connection.begin, transaction)
        client.connection.send(topic, "inside", transaction=transaction)
        client.confirmed(client.connection.abort, transaction)
        client.send(topic, "outside")
        self.assertEqual(client.message().body, "outside")

    def test_a_bad_destination_gets_an_error_with_the_receipt_id_and_the_end(self):
        client = self.client()
        client.connection.send("/nowhere/at-all", "x", receipt="r-1")
        error = client.inbox.errors.get(timeout=ANSWER_S)
        self.assertEqual(error.headers["receipt-id"], "r-1")
        self.assertTrue(error.headers["message"])
        self.assertTrue(client.inbox.gone.wait(ANSWER_S))

    def test_disconnect_is_confirmed(self):
        client = self.client()
        client.disconnect()
        self.assertTrue(client.inbox.gone.wait(ANSWER_S))


class Version11(Dialogues, unittest.TestCase):
    version = "1.1"
    connection_type = WSStompConnection11


class Version12(Dialogues, unittest.TestCase):
    version = "1.2"
    connection_type = WSStompConnection


if __name__ == "__main__":
    unittest.main()
