"""stomp.py over its WebSocket transport: a client that shares no code with stomp.js."""

import unittest
import uuid

from stomp.adapter.ws import WSStompConnection

from stomp_client import ANSWER_S, Client, WSStompConnection11, unique


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
