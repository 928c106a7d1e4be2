"""Count the bytes between a client and a server, in a process of its own.

Started with the server's port; says on which port it listens, and for each line on its
standard input how many bytes have passed so far, both ways together.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

HOST = "127.0.0.1"


class Relay:
    """Passes on what comes, and counts it."""

    def __init__(self, port: int) -> None:
        self.passed = 0
        self._port = port

    async def take(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection."""
        there, back = await asyncio.open_connection(HOST, self._port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass(reader, back))
            tasks.create_task(self._pass(there, writer))

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.passed += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


async def _main(port: int) -> None:
    relay = Relay(port)
    server = await asyncio.start_server(relay.take, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(relay.passed, flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
