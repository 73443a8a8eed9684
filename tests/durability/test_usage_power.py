#!/usr/bin/python3
"""The machine loses its power: shared memory is gone, and of the data directory there is what was there in that instant. Of
the counts of use at most those since the last flush are lost, and none is counted twice."""
import shutil
import signal
import time

import keystile

# The flush comes when the test lets time pass, and not by chance between two requests.
SETTINGS = {"KEYSTILE_USAGE_FLUSH_MS": "1000"}
ROUNDS = 5


def use(daemon, key, times):
    for _ in range(times):
        assert daemon.authorize(key["token"]).status == 200


def counted(daemon, token, key):
    """As the store has it."""
    items = daemon.call("GET", f"/v1/keys/{key['id']}/usage?step=day", token=token).json["items"]
    return sum(i["allowed"] for i in items)


def until(look, wanted):
    """Asks until the answer is as wanted; the time that it takes is no part of the test."""
    deadline = time.monotonic() + keystile.PATIENCE_S
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, f"{found} is not {wanted}"
        time.sleep(0.02)


def lose_power(daemon, data, copy):
    """The data directory as it is in one instant, on another machine: the ring and its counters are not there."""
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        shutil.copytree(data, copy, symlinks=True, ignore=shutil.ignore_patterns("ring", "*.sock", "lock"))
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_what_power_failures_lose():
    with keystile.temporary_data() as data:
        token = keystile.init(data)
        with keystile.Daemon(data, env=SETTINGS) as daemon:
            key = daemon.call("POST", "/v1/keys", {"name": "used", "scopes": ["contacts:read"], "expires_at": None}, token=token).json
            asked = 0
            for number in range(1, ROUNDS + 1):
                use(daemon, key, 10 * number)
                asked += 10 * number
                until(lambda: counted(daemon, token, key), asked)
                # What was told is durable; what comes now may be lost, and nothing else.
                use(daemon, key, number)
                with keystile.temporary_data() as copy:
                    lose_power(daemon, data, copy)
                    with keystile.Daemon(copy, env=SETTINGS) as restarted:
                        after = counted(restarted, token, key)
                        assert asked <= after <= asked + number
                        use(restarted, key, 3)
                        until(lambda: counted(restarted, token, key), after + 3)
                asked += number
