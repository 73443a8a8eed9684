#!/usr/bin/python3
"""A platform that is probed: HTTPS on a port of this machine alone, 200 to a request with a bearer token and 401 to one without, each LATENCY_MS after it came, as one that is far away
answers. Prints its port; then, for each line on standard input, what it saw since the last one: {"answered": N, "refused": N, "connected": N, "open": most connections at
a time, "asked": most requests under way at a time}.

    probed.py CERTIFICATE KEY LATENCY_MS"""
import asyncio
import contextlib
import json
import ssl
import sys


class Platform:
    def __init__(self, latency_s):
        self.latency_s = latency_s
        self.open = self.asked = 0
        self.forget()

    def forget(self):
        self.seen = {"answered": 0, "refused": 0, "connected": 0, "open": self.open, "asked": self.asked}

    def most(self, name, change):
        setattr(self, name, getattr(self, name) + change)
        self.seen[name] = max(self.seen[name], getattr(self, name))

    async def answer(self, head, writer):
        self.most("asked", 1)
        await asyncio.sleep(self.latency_s)
        good = b"\r\nAuthorization: Bearer " in head
        self.seen["answered" if good else "refused"] += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"status\":\"active\"}" if good
                     else b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.most("asked", -1)
        await writer.drain()

    async def serve(self, reader, writer):
        self.seen["connected"] += 1
        self.most("open", 1)
        try:
            while True:
                await self.answer(await reader.readuntil(b"\r\n\r\n"), writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.most("open", -1)
            writer.close()

    def tell(self):
        if not sys.stdin.readline():
            asyncio.get_running_loop().stop()
        print(json.dumps(self.seen), flush=True)
        self.forget()


async def run(certificate, key, latency_ms):
    platform = Platform(int(latency_ms) / 1000)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(platform.serve, "127.0.0.1", 0, ssl=context, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    with contextlib.suppress(OSError):  # a machine without IPv6
        server6 = await asyncio.start_server(platform.serve, "::1", port, ssl=context, backlog=1024)
    print(port, flush=True)
    asyncio.get_running_loop().add_reader(sys.stdin, platform.tell)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(run(*sys.argv[1:]))
    except RuntimeError:
        pass  # standard input ended
