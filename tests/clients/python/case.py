"""A gateway and its backend for each test."""

import asyncio
import unittest

from gateway import Backend, Gateway

NAMESPACE = """
[[namespace]]
match = "{name}"
[[namespace.route]]
on = "connect"
upstream = "app"
[[namespace.route]]
event = "echo"
reply = "echo"
[[namespace.route]]
event = "say"
relay = { to = "all", except_self = false }
[[namespace.route]]
event = "*"
upstream = "app"
"""

WAYS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}


class GatewayCase(unittest.IsolatedAsyncioTestCase):
    """`echo` comes back from the gateway itself, `say` is relayed to everybody, all else is asked of the backend."""

    async def asyncSetUp(self):
        # unittest switches it on; it tells of every step that took a tenth of a second.
        asyncio.get_running_loop().set_debug(False)
        self.backend = await Backend().launch()
        namespaces = [NAMESPACE.replace("{name}", name) for name in ("/", "/chat")]
        # An open breaker would turn newcomers away, which this library takes for an answer.
        upstream = self.backend.upstream + "breaker = { min_requests = 1000 }\n"
        self.gateway = await Gateway(upstream + "".join(namespaces)).launch()

    async def asyncTearDown(self):
        await self.gateway.stop()
        await self.backend.stop()
