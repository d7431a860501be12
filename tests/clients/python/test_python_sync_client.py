"""python-socketio's blocking client, which speaks HTTP and WebSocket through other libraries than the asyncio one."""

import asyncio
import unittest
from queue import SimpleQueue

import socketio

from case import WAYS, GatewayCase
from gateway import DEADLINE


class PythonSyncClient(GatewayCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            await asyncio.to_thread(client.shutdown)
        await super().asyncTearDown()

    async def connected(self, way, **options):
        """A client that has connected in this way, and a queue of everything it hears: `(event, *arguments)`."""
        client, heard = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2), SimpleQueue()
        self.clients.append(client)
        for event in ("connect", "disconnect", "echo"):
            client.on(event, lambda *args, event=event: heard.put((event, *args)))
        url, transports = self.gateway.url, WAYS[way]
        await asyncio.to_thread(client.connect, url, transports=transports, wait_timeout=DEADLINE, **options)
        self.assertEqual(await self.next(heard), ("connect",))
        self.assertEqual(client.transport(), transports[-1])
        return client, heard

    @staticmethod
    async def next(heard):
        return await asyncio.to_thread(heard.get, timeout=DEADLINE)

    async def test_text_and_bytes_come_back(self):
        for way in WAYS:
            with self.subTest(way):
                client, heard = await self.connected(way)
                client.emit("echo", ("é 😀", {"file": bytes(range(256))}))
                self.assertEqual(await self.next(heard), ("echo", "é 😀", {"file": bytes(range(256))}))

    async def test_acknowledgements_go_both_ways(self):
        self.backend.answer = lambda body: {"ack": [{"got": body["args"]}]} if body["type"] == "event" else {}
        for way in WAYS:
            with self.subTest(way):
                client, _ = await self.connected(way)
                answer = await asyncio.to_thread(client.call, "ask", (1, "two"), timeout=5)
                self.assertEqual(answer, {"got": [1, "two"]})
                client.on("confirm", lambda question: question.upper())
                to = {"sockets": [client.get_sid()]}
                ask = {"event": "confirm", "args": ["delete?"], "to": to, "ack": {"timeout_ms": 5000}}
                status, body = await self.gateway.post("/emit", ask)
                self.assertEqual(status, 200, body)
                self.assertEqual([ack["args"] for ack in body["acks"]], [["DELETE?"]])

    async def test_a_client_comes_back_after_a_restart_of_the_gateway(self):
        for way in WAYS:
            with self.subTest(way):
                client, heard = await self.connected(way)
                await self.gateway.kill()
                self.assertEqual((await self.next(heard))[0], "disconnect")
                await self.gateway.launch()
                self.assertEqual(await self.next(heard), ("connect",))
                client.emit("echo", "back")
                self.assertEqual(await self.next(heard), ("echo", "back"))


if __name__ == "__main__":
    unittest.main()
