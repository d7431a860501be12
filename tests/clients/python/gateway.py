"""The real binary as a child process, and a backend in the test's hand. `SOCKGATE_BIN` is the binary's path."""

import asyncio
import json
import os
import tempfile
from pathlib import Path

from aiohttp import ClientSession, web

PROGRAM = os.environ.get("SOCKGATE_BIN", "../../../target/ci/sockgate")
SHARDS = os.environ.get("SOCKGATE_TEST_SHARDS", "2")
DEADLINE = 10

# An address of this process alone. Connections to it start from 127.0.0.1, so between the end of a listener and its restart nobody
# can have taken its port: not another test, and not a client that tries to come back.
HOST = f"127.{1 + (os.getpid() >> 16)}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


class Gateway:
    """A gateway on ports of its own; `config` is TOML without listeners."""

    def __init__(self, config):
        self.config = config
        self.listen = dict.fromkeys(("server", "api", "admin"), f"{HOST}:0")
        self.folder = tempfile.TemporaryDirectory(prefix="sockgate-")

    async def launch(self):
        """Starts the process and awaits its `ready`."""
        file = Path(self.folder.name, "sockgate.toml")
        listeners = "".join(f'{table}.listen = "{at}"\n' for table, at in self.listen.items())
        file.write_text(f"{listeners}server.shards = {SHARDS}\n{self.config}")
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, "serve", "--config", str(file),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )
        urls = {}
        async with asyncio.timeout(DEADLINE):
            while (line := (await self.process.stdout.readline()).decode().split())[:1] != ["ready"]:
                assert line, "the gateway did not start"
                urls[line[0]] = line[-1]
        self.url = urls["clients"].removesuffix("/socket.io/")
        self.api = urls["api"]
        for table, name in (("server", "clients"), ("api", "api"), ("admin", "admin")):
            self.listen[table] = urls[name].split("/")[2]
        return self

    async def kill(self):
        """Ends the process without notice."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def stop(self):
        """Ends the process and removes its files."""
        await self.kill()
        self.folder.cleanup()

    async def post(self, path, body):
        """A POST to the REST API."""
        async with ClientSession() as session, session.post(self.api + path, json=body) as answer:
            return answer.status, await answer.json()


class Backend:
    """A webhook backend; `answer` gets each request's body and gives the reply."""

    def __init__(self):
        self.port = 0
        self.requests = []
        self.answer = lambda body: {}

    async def launch(self):
        """Listens on a port of its own, always the same."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/", self._handle)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, HOST, self.port).start()
        self.port = self.runner.addresses[0][1]
        return self

    @property
    def upstream(self):
        """TOML of an upstream `app` that is this backend."""
        return f'[[upstream]]\nname = "app"\nurl = "http://{HOST}:{self.port}/"\n'

    async def _handle(self, request):
        body = json.loads(await request.read())
        self.requests.append(body)
        return web.json_response(self.answer(body))

    async def stop(self):
        """Closes the port."""
        await self.runner.cleanup()
