"""The REST API against its own OpenAPI document: schemathesis makes requests up, good and bad ones, and judges every answer.

Clients are there meanwhile; they answer whatever asks them, and come back when they are thrown out.
"""

import asyncio
import os
import sys
import unittest
from pathlib import Path

import socketio

from gateway import Gateway

KEY = "sgk_0123456789012345678901234567890123456789abc"
CONFIG = """
api.key = [{ name = "all", secret = "env:SOCKGATE_TEST_KEY", scopes = ["admin"] }]
[[namespace]]
match = "/"
auth = "none"
[[namespace]]
match = "/chat"
auth = "none"
"""
NAMESPACES = ["/", "/chat"]

# Another seed makes other requests up.
SEED = os.environ.get("SOCKGATE_TEST_SEED", "1")
EXAMPLES = "50"
# Longer than the API waits for acknowledgements.
REQUEST_SECONDS = "35"
SECONDS = 300


async def stay(url, transport):
    """A client that joins again whenever it was disconnected."""
    while True:
        client = socketio.AsyncClient(reconnection=False)
        for namespace in NAMESPACES:
            client.on("*", lambda *_: "heard", namespace=namespace)
        try:
            await client.connect(url, transports=[transport], namespaces=NAMESPACES)
            while client.connected and len(client.namespaces) == len(NAMESPACES):
                await asyncio.sleep(0.1)
        except socketio.exceptions.ConnectionError:
            # Thrown out while it joined.
            pass
        finally:
            await client.shutdown()


class RestDocument(unittest.IsolatedAsyncioTestCase):
    async def test_every_answer_is_one_of_the_document(self):
        os.environ["SOCKGATE_TEST_KEY"] = KEY
        gateway = await Gateway(CONFIG).launch()
        self.addAsyncCleanup(gateway.stop)
        transports = ["polling", "websocket"] * 2
        clients = [asyncio.create_task(stay(gateway.url, transport)) for transport in transports]
        try:
            async with asyncio.timeout(SECONDS):
                status = await self.schemathesis(gateway)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        self.assertIsNone(gateway.process.returncode, "the gateway ended")
        self.assertEqual(status, 0, "schemathesis found something")

    @staticmethod
    async def schemathesis(gateway):
        """Its exit code; what it found is printed."""
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")), "run", gateway.api + "/openapi.json",
            "--header", f"authorization: Bearer {KEY}",
            "--checks", "all",
            "--max-examples", EXAMPLES,
            "--seed", SEED,
            "--request-timeout", REQUEST_SECONDS,
            "--continue-on-failure",
            "--no-color",
            cwd=gateway.folder.name,
        )
        return await process.wait()


if __name__ == "__main__":
    unittest.main()
