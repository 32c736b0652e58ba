"""An AMQP application beside the gateway: what it publishes reaches STOMP clients, and what they SEND reaches it.

P1 and P2 are the mappings of properties from STOMP to AMQP and back, in docs/protocol/rabbitmq.md.
"""

import os
import unittest
import uuid
from datetime import datetime, timezone
from decimal import Decimal

import pika
from stomp.adapter.ws import WSStompConnection

from stomp_client import Client

IS_RABBITMQ = os.environ.get("BROKER") == "amqp"

# STOMP headers, and the properties that they travel as.
HEADERS = {
    "amqp-message-id": "m-1",
    "app-id": "shop",
    "content-encoding": "identity",
    "content-type": "text/plain",
    "correlation-id": "c-1",
    "expiration": "60000",
    "persistent": "true",
    "priority": "7",
    "reply-to": "/queue/answers",
    "timestamp": "1700000000",
    "type": "order",
}
PROPERTIES = {
    "message_id": "m-1",
    "app_id": "shop",
    "content_encoding": "identity",
    "content_type": "text/plain",
    "correlation_id": "c-1",
    "expiration": "60000",
    "delivery_mode": 2,
    "priority": 7,
    "reply_to": "/queue/answers",
    "timestamp": 1700000000,
    "type": "order",
}


@unittest.skipUnless(IS_RABBITMQ, "the embedded broker speaks no AMQP")
class Application(unittest.TestCase):
    def setUp(self):
        url = os.environ["STOMPGATE__BROKER__AMQP__URL"]
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.addCleanup(self.connection.close)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.name = f"python.{uuid.uuid4().hex}"
        self.answers = f"{self.name}.answers"
        # Once the client is gone, whose subscriptions would end with an ERROR.
        for queue in (self.name, self.answers):
            self.addCleanup(self.channel.queue_delete, queue)
        self.client = Client(WSStompConnection)
        self.addCleanup(self.client.disconnect)

    def publish(self, exchange, body, **properties):
        """To a routing key that exists: RabbitMQ returns everything else."""
        properties = pika.BasicProperties(**properties)
        self.channel.basic_publish(exchange, self.name, body, properties, mandatory=True)

    def bound(self):
        """A queue of the application that gets what is sent to the topic."""
        queue = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(queue, "amq.topic", self.name)
        return queue

    def taken(self, queue):
        """Properties and body of what is in the queue: the gateway's RECEIPT says that RabbitMQ has it."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        self.assertIsNotNone(method, f"nothing is in {queue}")
        return properties, body.decode()

    def declared(self):
        """A queue as the gateway declares it."""
        self.channel.queue_declare(self.name, durable=True)
        return f"/queue/{self.name}"


class Publishing(Application):
    def test_p2_what_is_published_to_the_topic_exchange_arrives_with_every_property(self):
        self.client.subscribe(f"/topic/{self.name}")
        self.publish("amq.topic", "Grüße", **PROPERTIES)
        message = self.client.message()
        self.assertEqual(message.body, "Grüße")
        self.assertEqual({name: message.headers.get(name) for name in HEADERS}, HEADERS)
        self.assertEqual(message.headers["destination"], f"/topic/{self.name}")
        self.assertEqual(message.headers["redelivered"], "false")
        self.assertEqual(message.headers["content-length"], str(len("Grüße".encode())))

    def test_p2_what_is_published_to_a_queue_arrives_with_every_property(self):
        queue = self.declared()
        self.publish("", "paid", **PROPERTIES)
        self.client.subscribe(queue)
        message = self.client.message()
        self.assertEqual((message.body, message.headers["destination"]), ("paid", queue))
        self.assertEqual({name: message.headers.get(name) for name in HEADERS}, HEADERS)

    def test_p2_text_and_whole_numbers_of_the_headers_table_arrive_and_other_types_do_not(self):
        shown = {"text": "a:b\nc", "int": -1, "long": 1 << 40, "empty": ""}
        dropped = {
            "array": ["a"],
            "boolean": True,
            "bytes": b"x",
            "decimal": Decimal("1.5"),
            "table": {"a": "b"},
            "time": datetime.now(timezone.utc),
            "void": None,
        }
        self.client.subscribe(f"/topic/{self.name}")
        self.publish("amq.topic", "x", headers={**shown, **dropped})
        headers = self.client.message().headers
        for name, value in shown.items():
            self.assertEqual(headers.get(name), str(value), name)
        self.assertEqual([name for name in dropped if name in headers], [])

    def test_p2_a_publisher_cannot_write_the_headers_of_the_gateway(self):
        own = ["ack", "content-length", "destination", "message-id", "redelivered", "subscription"]
        self.client.subscribe(f"/topic/{self.name}")
        self.publish("amq.topic", "x", headers=dict.fromkeys(own, "spoofed"))
        headers = self.client.message().headers
        self.assertNotIn("spoofed", headers.values())
        self.assertNotIn("ack", headers)

    def test_p2_without_properties_only_the_headers_of_the_gateway_arrive(self):
        self.client.subscribe(f"/topic/{self.name}")
        self.publish("amq.topic", "")
        headers = self.client.message().headers
        self.assertEqual(sorted(headers), ["destination", "message-id", "redelivered", "subscription"])

    def test_d30_a_queue_that_wants_the_answer_arrives_as_a_destination(self):
        self.client.subscribe(f"/topic/{self.name}")
        self.publish("amq.topic", "x", reply_to="amq.gen-own")
        self.assertEqual(self.client.message().headers["reply-to"], "/reply-queue/amq.gen-own")

    def test_messages_arrive_in_the_order_in_which_they_were_published(self):
        self.client.subscribe(f"/topic/{self.name}")
        bodies = [str(number) for number in range(200)]
        for body in bodies:
            self.publish("amq.topic", body)
        self.assertEqual([self.client.message().body for _ in bodies], bodies)


class Consuming(Application):
    def test_p1_what_is_sent_to_a_topic_has_every_property(self):
        queue = self.bound()
        self.client.send(f"/topic/{self.name}", "Grüße", headers=HEADERS)
        properties, body = self.taken(queue)
        self.assertEqual(body, "Grüße")
        self.assertEqual({name: getattr(properties, name) for name in PROPERTIES}, PROPERTIES)

    def test_p1_what_is_sent_to_a_queue_has_every_property(self):
        self.client.send(self.declared(), "paid", headers=HEADERS)
        properties, body = self.taken(self.name)
        self.assertEqual(body, "paid")
        self.assertEqual({name: getattr(properties, name) for name in PROPERTIES}, PROPERTIES)

    def test_p1_other_headers_are_text_in_the_headers_table(self):
        own = {"x-own": "a:b\nc", "number": "7", "empty": "", "true": "true"}
        queue = self.bound()
        self.client.send(f"/topic/{self.name}", "x", headers=own)
        properties, _ = self.taken(queue)
        self.assertEqual({name: properties.headers.get(name) for name in own}, own)
        self.assertNotIn("destination", properties.headers)

    def test_p1_only_persistent_true_sets_the_delivery_mode_and_nothing_else_is_made_up(self):
        queue = self.bound()
        for headers in ({}, {"persistent": "false"}):
            self.client.send(f"/topic/{self.name}", "x", headers=headers)
            properties, _ = self.taken(queue)
            self.assertEqual([name for name in PROPERTIES if getattr(properties, name) is not None], [])

    def test_d10_a_send_declares_its_queue_durable(self):
        self.client.send(f"/queue/{self.name}", "first")
        self.declared()
        self.assertEqual(self.taken(self.name)[1], "first")

    def test_the_answer_of_the_application_reaches_who_asked(self):
        answers = f"/queue/{self.answers}"
        self.client.subscribe(answers)
        self.client.send(self.declared(), "question", headers={"reply-to": answers, "correlation-id": "c"})
        properties, _ = self.taken(self.name)
        self.assertEqual(properties.reply_to, answers)
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        self.channel.basic_publish("", self.answers, "answer", answer, mandatory=True)
        message = self.client.message()
        self.assertEqual((message.body, message.headers["correlation-id"]), ("answer", "c"))


if __name__ == "__main__":
    unittest.main()
