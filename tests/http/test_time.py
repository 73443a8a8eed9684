#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Deadlines, limits of connections, clients that leave, and the end. What must happen is waited for; no time is asserted."""
import select
import socket
import threading
import time

import pytest

from conftest import PATIENCE


def trickle(client, data, pause=0.05):
    """Sends byte after byte until the other side ends the connection. True if it did before the bytes were out."""
    for byte in data:
        readable, _, _ = select.select([client.sock], [], [], pause)
        if readable:
            return client.rest() == b""
        try:
            client.send(bytes([byte]))
        except (ConnectionResetError, BrokenPipeError):
            return True
    return False


SLOW = [
    ("a request line", b"", b"GET /" + b"a" * 2000),
    ("a head", b"GET /a HTTP/1.1\r\n", b"X-A: " + b"b" * 2000),
    ("empty lines", b"", b"\r\n" * 1000),
    ("a body", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"b" * 2000),
    ("a body for a sink", b"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"b" * 2000),
    ("chunks", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nb\r\n" * 400),
    ("trailers", b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: " + b"b" * 2000),
]


@pytest.mark.parametrize("before", [b"", b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("what,burst,slow", SLOW, ids=[case[0].replace(" ", "_") for case in SLOW])
def test_what_trickles_is_cut(serve, before, what, burst, slow):
    """One byte at a time never gets past the deadline, whichever part of a request it is, also of a second request."""
    server = serve(request=500)
    if what == "empty lines" and not server.old_library:
        pytest.skip("this library takes none")
    with server.connect() as client:
        if before:
            client.send(before).response()
        client.send(burst)
        assert trickle(client, slow)
    assert server.figures()["deadline"] >= 1


@pytest.mark.parametrize("before", [b"", b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["first", "second"])
def test_what_stops_in_the_middle_is_cut(serve, before):
    server = serve(request=300, idle=600000)
    for part in (b"G", b"GET /a HTTP/1.1\r\nHos", b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"):
        with server.connect() as client:
            if before:
                client.send(before).response()
            client.send(part)
            assert client.rest() == b""
    assert server.figures()["deadline"] >= 3


def test_an_idle_connection_is_ended(serve):
    server = serve(idle=1000, request=600000)
    with server.connect() as client:
        assert client.rest() == b""
    with server.connect() as client:
        assert client.ask("/a").status == 200
        assert client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").response().status == 200
        assert client.rest() == b""
    assert server.figures()["deadline"] == 0


def test_a_busy_connection_is_not_cut(serve):
    """Requests that are each in time, longer together than the deadline, and a handler that takes longer than it."""
    limit = 1500
    server = serve(request=limit, idle=2 * limit)
    with server.connect() as busy, server.connect() as waiting:
        waiting.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        over = time.monotonic() + 2.5 * limit / 1000
        while time.monotonic() < over:
            readable, _, _ = select.select([busy.sock], [], [], 0.02)
            assert not readable
            assert busy.ask("/a").status == 200
        busy.ask("/release")
        assert waiting.response().body == b"released"
    assert server.figures()["deadline"] == 0


def test_a_reader_that_reads_nothing_is_cut(serve):
    server = serve(request=300)
    client = server.connect(SO_RCVBUF=4096)
    client.send(b"GET /big?30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_figures(lambda figures: figures["deadline"] >= 1 and figures["open"] == 1)
    assert len(client.rest()) < 30000000
    client.close()


def test_a_reader_that_reads_slowly_is_served(serve):
    """The deadline of an answer moves with what is taken of it."""
    server = serve(request=1000)
    with server.connect(SO_RCVBUF=65536) as client:
        client.send(b"GET /big?8000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        got = 0
        while got < 8000000:
            select.select([], [], [], 0.02)
            more = client.sock.recv(65536)
            assert more
            got += len(more)
    assert server.figures()["deadline"] == 0


def test_the_limit_of_connections(serve):
    server = serve(connections=5)
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        assert client.ask("/a").status == 200
    with server.connect() as more:
        assert more.rest() == b""
    for client in clients:
        assert client.ask("/a").status == 200
    assert clients[0].ask("/figures").json()["connection_limit"] == 1
    clients.pop().close()
    for client in clients:
        client.close()
    server.wait_figures(lambda now: now["open"] == 1)


def test_the_limit_of_connections_of_one_address(serve):
    server = serve(per_address=3)
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        assert client.ask("/a").status == 200
    with server.connect() as more:
        assert more.rest() == b""
    sock = socket.create_connection(("127.0.0.1", server.port), PATIENCE, ("127.0.0.2", 0))
    sock.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    sock.close()
    assert clients[0].ask("/figures").json()["connection_limit"] == 1
    for client in clients:
        client.close()
    server.wait_figures(lambda now: now["open"] == 1)


@pytest.mark.parametrize("threads", [1, 4])
def test_many_connections(serve, threads):
    server = serve(threads=threads, connections=2000)
    clients = [server.connect() for _ in range(400)]
    for _ in range(3):
        for i, client in enumerate(clients):
            client.send(f"GET /{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for i, client in enumerate(clients):
            assert client.response().json()["target"] == f"/{i}"
    figures = clients[0].ask("/figures").json()
    assert figures["open"] == 400
    assert figures["requests"] == 1201
    for client in clients:
        client.close()
    server.wait_figures(lambda now: now["open"] == 1)


def test_connections_that_come_and_go(serve):
    server = serve(threads=2)

    def come_and_go(kind):
        for _ in range(50):
            client = server.connect()
            if kind == 1:
                client.send(b"GET /a HT")
            elif kind == 2:
                client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
            elif kind == 3:
                client.send(b"GET /big?1000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            client.close()

    threads = [threading.Thread(target=come_and_go, args=(kind,)) for kind in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.wait_figures(lambda now: now["open"] == 1 and now["begun"] == now["closed"] + 1)


# ---- pending exchanges ----


def test_pending_exchanges(serve):
    server = serve(threads=2)
    clients = [server.connect() for _ in range(20)]
    for _ in range(20):
        for client in clients:
            client.send(b"GET /pending HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in clients:
            assert client.response().body == b"completed"
    for client in clients:
        client.close()


def reset(client):
    """Leaves with a reset instead of an end."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


def test_clients_that_leave_while_their_exchange_is_pending(serve):
    server = serve(threads=2)
    clients = [server.connect() for _ in range(100)]
    for client in clients:
        client.send(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
    server.wait_figures(lambda now: now["held"] == 100)
    for i, client in enumerate(clients):
        reset(client) if i % 2 else client.close()
    server.order("release")
    server.wait_figures(lambda now: now["open"] == 1 and now["begun"] == now["closed"] + 1)


def test_clients_that_leave_at_any_moment_of_a_pending_exchange(serve):
    server = serve(threads=2)
    for i in range(200):
        client = server.connect()
        client.send(b"POST /pending HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        reset(client) if i % 2 else client.close()
    server.wait_figures(lambda now: now["open"] == 1 and now["begun"] == now["closed"] + 1)


@pytest.mark.parametrize("local", [False, True])
def test_who_sends_no_more_is_answered_when_the_exchange_is_done(serve, tmp_path, local):
    server = serve(socket=str(tmp_path / "s"))
    with server.connect_local() if local else server.connect() as client:
        client.send(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        server.wait_figures(lambda now: now["held"] == 1)
        client.sock.shutdown(socket.SHUT_WR)
        server.order("release")
        assert client.response().body == b"released"
        assert client.rest() == b""


def test_the_end_comes_with_the_request_of_a_pending_exchange(serve, tmp_path):
    """The library sees both at once: as where a connection is ended for idleness just as a request arrives."""
    server = serve(socket=str(tmp_path / "s"))
    with server.connect_local() as busy, server.connect_local() as client:
        busy.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_figures(lambda now: now["begun"] - now["closed"] == 2)  # this and the figures
        client.send(b"POST /held HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
        client.sock.shutdown(socket.SHUT_WR)
        server.order("release")
        assert busy.response().body == b"released"
        server.wait_figures(lambda now: now["held"] == 1)
        server.order("release")
        assert client.response().body == b"released"
        assert client.rest() == b""


def test_a_pending_exchange_and_pipelined_requests(serve):
    server = serve()
    with server.connect() as client, server.connect() as other:
        client.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_figures(lambda now: now["held"] == 1)
        assert other.ask("/release").status == 200
        assert client.response().body == b"released"
        assert client.response().json()["target"] == "/next"


# ---- the end ----


def test_a_graceful_stop(serve):
    """What is under way is finished, what is idle ends, what is new is not taken."""
    server = serve()
    idle, busy, late = server.connect(), server.connect(), server.connect()
    assert idle.ask("/a").status == 200
    busy.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
    late.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
    server.wait_figures(lambda now: now["held"] == 1 and now["begun"] >= 4)
    server.order("stop 20000")
    assert idle.rest() == b""
    response = late.send(b"lo").response()
    assert response.json()["body"] == "hello"
    assert response.header("Connection") == "close"
    with pytest.raises(OSError):
        server.connect()
    server.order("release")
    response = busy.response()
    assert response.body == b"released"
    assert response.header("Connection") == "close"
    assert busy.rest() == b""
    figures = server.ended()
    assert figures["begun"] == figures["closed"]


def test_a_request_that_arrives_as_the_server_stops(serve, tmp_path):
    """It has been sent, and nobody has read it when its connection is ended: either it is answered, or it was not taken."""
    server = serve(socket=str(tmp_path / "s"))
    with server.connect_local() as busy, server.connect_local() as arriving, server.connect() as idle:
        assert arriving.ask("/a").status == 200
        busy.send(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_figures(lambda now: now["begun"] - now["closed"] == 2)  # this and the figures
        arriving.send(b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        server.order("stop 20000")
        assert idle.rest() == b""  # the connections were looked at in their order: the other one is ended, too
        server.order("release")
        assert busy.response().body == b"released"
        assert arriving.response().json()["target"] == "/next"
        assert arriving.rest() == b""
    figures = server.ended()
    assert figures["begun"] == figures["closed"]


def test_a_stop_whose_time_is_over(serve):
    server = serve()
    with server.connect() as pending, server.connect() as reading:
        pending.send(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        reading.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
        server.wait_figures(lambda now: now["held"] == 1)
        server.order("stop 100")
        assert pending.rest() == b""
        assert reading.rest() == b""
        # The handler owes its answer still, and the stop waits for it.
        server.order("release")
        figures = server.ended()
        assert figures["begun"] == figures["closed"]


def test_a_stop_with_nobody_there(serve):
    assert serve().finish(60000) == {"begun": 0, "finished": 0, "closed": 0}


def test_a_stop_under_load(serve):
    server = serve(threads=2)
    stopped = threading.Event()

    def load():
        while not stopped.is_set():
            try:
                with server.connect() as client:
                    for i in range(20):
                        client.ask("/pending" if i % 2 else "/a")
            except (OSError, AssertionError):
                continue

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        server.wait_figures(lambda now: now["closed"] > 200)
        figures = server.finish(5000)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert figures["begun"] == figures["closed"]


def test_an_address_in_use(serve):
    first = serve()
    second = serve(listen=f"127.0.0.1:{first.port}")
    assert second.said == "failed busy: the address is in use"
    assert second.process.wait(PATIENCE) == 1


BAD_OPTIONS = [
    {"listen": "127.0.0.1"}, {"listen": "localhost:0"}, {"listen": "127.0.0.1:65536"}, {"listen": "127.0.0.1:"}, {"listen": "::1:0"},
    {"listen": "[::1]"}, {"listen": "[127.0.0.1]:0"}, {"listen": ":0"}, {"threads": 0}, {"threads": 65}, {"connections": 0},
    {"idle": 1}, {"request": 1}, {"key": "/nowhere"}, {"cert": "/nowhere"}, {"cert": "/nowhere", "key": "/nowhere"}, {"ca": "/nowhere"},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=[" ".join(f"{k}={v}" for k, v in o.items()) for o in BAD_OPTIONS])
def test_bad_options(serve, options):
    server = serve(**options)
    assert server.said.startswith("failed malformed: ")
    assert len(server.said) > len("failed malformed: ")
    assert server.process.wait(PATIENCE) == 1


def test_ipv6(serve):
    server = serve(listen="[::1]:0")
    with socket.create_connection(("::1", server.port), PATIENCE) as sock:
        sock.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b'"peer":"::1"' in sock.makefile("rb").read()


def test_both_families(serve):
    server = serve(listen="[::]:0")
    assert server.ask("/a").json()["peer"] == "127.0.0.1"
