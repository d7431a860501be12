"""python-socketio's asyncio client against the gateway. What arrived is asserted, never only that no error came."""

import asyncio
import unittest

import socketio

from case import WAYS, GatewayCase
from gateway import DEADLINE


class PythonClient(GatewayCase):
    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.clients = []

    async def asyncTearDown(self):
        for client in self.clients:
            await client.shutdown()
        await super().asyncTearDown()

    def client(self):
        client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.2)
        self.clients.append(client)
        return client

    async def connected(self, way, **options):
        """A client that has connected in this way."""
        client = self.client()
        await client.connect(self.gateway.url, transports=WAYS[way], wait_timeout=DEADLINE, **options)
        return client

    @staticmethod
    def hears(client, event, namespace="/"):
        """A queue of the event's arguments."""
        queue = asyncio.Queue()
        client.on(event, lambda *args: queue.put_nowait(list(args)), namespace=namespace)
        return queue

    @staticmethod
    async def next(queue):
        async with asyncio.timeout(DEADLINE):
            return await queue.get()

    async def test_values_come_back_on_every_transport(self):
        values = [1, -0.5, "é 😀", True, None, [], {}, {"deep": [1, [2]]}]
        for way, transports in WAYS.items():
            with self.subTest(way):
                client = await self.connected(way)
                echoes = self.hears(client, "echo")
                await client.emit("echo", tuple(values))
                self.assertEqual(await self.next(echoes), values)
                self.assertEqual(client.transport(), transports[-1])

    async def test_bytes_come_back_on_every_transport(self):
        data = bytes(range(256))
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way)
                echoes = self.hears(client, "echo")
                await client.emit("echo", {"file": data, "list": [data, "text"]})
                self.assertEqual(await self.next(echoes), [{"file": data, "list": [data, "text"]}])

    async def test_an_acknowledgement_of_the_backend_is_returned(self):
        self.backend.answer = lambda body: {"ack": [{"got": body["args"]}]} if body["type"] == "event" else {}
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way)
                self.assertEqual(await client.call("ask", (1, "two"), timeout=5), {"got": [1, "two"]})
                self.assertEqual(await client.call("echo", "edge", timeout=5), "edge")

    async def test_a_client_acknowledges_an_emit_of_the_backend(self):
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way)
                client.on("confirm", lambda question: (question.upper(), b"\x07"))
                to = {"sockets": [client.get_sid()]}
                ask = {"event": "confirm", "args": ["delete?"], "to": to, "ack": {"timeout_ms": 5000}}
                status, body = await self.gateway.post("/emit", ask)
                self.assertEqual(status, 200, body)
                self.assertTrue(body["complete"], body)
                self.assertEqual(body["acks"][0]["args"][0], "DELETE?")
                self.assertEqual(body["attachments"], ["Bw=="])

    async def test_auth_reaches_the_backend_and_its_refusal_the_client(self):
        def answer(body):
            if body["type"] == "connect" and body["request"]["auth"].get("token") != "right":
                return {"reject": {"message": "not authorized", "data": {"code": 7}}}
            return {}

        self.backend.answer = answer
        for way in WAYS:
            with self.subTest(way):
                client = self.client()
                errors = self.hears(client, "connect_error")
                with self.assertRaises(socketio.exceptions.ConnectionError):
                    await client.connect(
                        self.gateway.url, auth={"token": "wrong"}, transports=WAYS[way], wait_timeout=DEADLINE
                    )
                self.assertEqual(await self.next(errors), [{"message": "not authorized", "data": {"code": 7}}])
                await self.connected(way, auth={"token": "right"})

    async def test_namespaces_share_a_connection_and_are_apart(self):
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way, namespaces=["/", "/chat"])
                self.assertNotEqual(client.get_sid("/"), client.get_sid("/chat"))
                main, chat = self.hears(client, "echo"), self.hears(client, "echo", "/chat")
                await client.emit("echo", "in chat", namespace="/chat")
                self.assertEqual(await self.next(chat), ["in chat"])
                await client.emit("echo", "in main")
                self.assertEqual(await self.next(main), ["in main"])
                self.assertTrue(chat.empty())

    async def test_a_burst_of_events_arrives_in_order_and_drops_nobody(self):
        # A polling client of this library disconnects when an answer holds more than sixteen packets.
        for way in WAYS:
            with self.subTest(way):
                listener, speaker = await self.connected(way), await self.connected("websocket")
                said = self.hears(listener, "say")
                for n in range(1000):
                    await speaker.emit("say", n)
                self.assertEqual([(await self.next(said))[0] for _ in range(1000)], list(range(1000)))
                self.assertTrue(listener.connected)

    async def test_a_large_text_comes_back(self):
        text = "x" * 900_000
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way)
                echoes = self.hears(client, "echo")
                await client.emit("echo", text)
                self.assertEqual(await self.next(echoes) == [text], True)

    async def test_clients_come_back_after_a_restart_of_the_gateway(self):
        clients = {way: await self.connected(way) for way in WAYS}
        before = {way: client.get_sid() for way, client in clients.items()}
        back = {way: self.hears(client, "connect") for way, client in clients.items()}
        await self.gateway.kill()
        await self.gateway.launch()
        for way, client in clients.items():
            with self.subTest(way):
                await self.next(back[way])
                self.assertNotEqual(client.get_sid(), before[way])
                echoes = self.hears(client, "echo")
                await client.emit("echo", "back")
                self.assertEqual(await self.next(echoes), ["back"])

    async def test_while_the_backend_is_away_clients_stay_and_newcomers_wait(self):
        stayed = {way: await self.connected(way) for way in WAYS}
        gone = {way: self.hears(client, "disconnect") for way, client in stayed.items()}
        await self.backend.stop()
        for way in WAYS:
            with self.subTest(way):
                # The library's own patience is one second; a CONNECT is held for longer.
                with self.assertRaises(socketio.exceptions.ConnectionError):
                    await self.client().connect(self.gateway.url, transports=WAYS[way], wait_timeout=1)
                await stayed[way].emit("unheard")
        newcomers = [asyncio.create_task(self.connected(way)) for way in WAYS]
        await self.backend.launch()
        for client in await asyncio.gather(*newcomers):
            self.assertEqual(await client.call("echo", "in", timeout=5), "in")
        for way, client in stayed.items():
            self.assertEqual(await client.call("echo", "still here", timeout=5), "still here")
            self.assertTrue(gone[way].empty())

    async def test_a_disconnect_by_the_backend_is_told(self):
        self.backend.answer = lambda body: {"actions": [{"type": "disconnect"}]} if body["type"] == "event" else {}
        for way in WAYS:
            with self.subTest(way):
                client = await self.connected(way)
                gone = self.hears(client, "disconnect")
                await client.emit("end")
                self.assertEqual(await self.next(gone), [client.reason.SERVER_DISCONNECT])


if __name__ == "__main__":
    unittest.main()
