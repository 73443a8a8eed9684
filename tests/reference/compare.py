#!/usr/bin/python3
"""Feeds random worlds and requests to a program and compares it with the model.

    compare.py --program PATH --seed N --cases N [--requests-per-world 500]
    compare.py --selftest

The protocol is in README.md. Exits 0 if every answer agrees, 1 if one does
not (or the program dies or falls silent), 2 on bad usage.
"""

import argparse
import collections
import itertools
import json
import queue
import shlex
import subprocess
import sys
import threading
import time

import yaml

import model
import worlds

# Worlds under way at a time: enough that neither side waits for the other.
AHEAD = 4


def differences(expected, answer):
    """The fields that the model names and the answer has otherwise."""
    if not isinstance(answer, dict):
        return ["not a JSON object"]
    # repr, because to Python 1 == True == 1.0 and to a reader of JSON they are not.
    return [name for name in expected
            if name not in answer or repr(answer[name]) != repr(expected[name])]


def parse_answer(line):
    try:
        return json.loads(line)
    except ValueError:
        return {"unreadable": line.decode("utf-8", "replace")}


def lines_for(world, requests):
    lines = [json.dumps({"world": world})]
    lines += [json.dumps({"request": request}) for request in requests]
    return ("\n".join(lines) + "\n").encode("ascii")


# --------------------------------------------------------------------------
# The program, and the two threads that keep its pipes flowing


class Program:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.to_write = queue.Queue()
        self.to_read = queue.Queue()
        self.answers = queue.Queue()
        threading.Thread(target=self.write_all, daemon=True).start()
        threading.Thread(target=self.read_all, daemon=True).start()

    def write_all(self):
        try:
            for blob in iter(self.to_write.get, None):
                self.process.stdin.write(blob)
                self.process.stdin.flush()
            self.process.stdin.close()
        except OSError:
            pass  # it died; the reader sees the end of its answers

    def read_all(self):
        for count in iter(self.to_read.get, None):
            self.answers.put(list(itertools.islice(self.process.stdout, count)))

    def send(self, world, requests):
        self.to_write.put(lines_for(world, requests))
        self.to_read.put(len(requests))

    def receive(self, timeout):
        """One world's answer lines, fewer when it died, or None when it is silent."""
        try:
            return self.answers.get(timeout=timeout)
        except queue.Empty:
            return None

    def end(self):
        self.to_write.put(None)
        self.to_read.put(None)
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


# --------------------------------------------------------------------------
# Making a difference small


def tidy(world):
    """What refers to nothing any more goes too."""
    tenants, present = [], set()
    for tenant in world["tenants"]:
        if tenant["parent"] is None or tenant["parent"] in present:
            present.add(tenant["id"])
            tenants.append(tenant)
    users = []
    for user in world["users"]:
        if user["personal"] in present:
            memberships = [each for each in user["memberships"] if each["tenant"] in present]
            users.append({**user, "memberships": memberships})
    names = {user["id"] for user in users}
    keys = [key for key in world["keys"]
            if key["tenant"] in present and (key["user"] is None or key["user"] in names)]
    sessions = [session for session in world["sessions"] if session["user"] in names]
    issuers = [issuer for issuer in world["issuers"] if issuer["tenant"] in present]
    return {**world, "tenants": tenants, "users": users, "keys": keys, "sessions": sessions, "issuers": issuers}


class Shrinker:
    """Leaves out whatever can be left out with the last request still answered wrongly."""

    def __init__(self, command, world, requests, trials=250):
        self.command = command
        self.world = world
        self.requests = requests
        self.trials = trials

    def still_differs(self, world, requests):
        self.trials -= 1
        reference = model.World(world)
        expected = [model.decide(reference, request) for request in requests]
        try:
            done = subprocess.run(self.command, input=lines_for(world, requests), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return False
        lines = done.stdout.splitlines()
        if len(lines) != len(requests):
            return False
        return bool(differences(expected[-1], parse_answer(lines[-1])))

    def accept(self, world, requests):
        if self.trials > 0 and self.still_differs(world, requests):
            self.world, self.requests = world, requests
            return True
        return False

    def thin(self, things, attempt):
        """Drops ever smaller runs of a list for as long as attempt(rest) agrees."""
        size = len(things)
        while size > 0 and things:
            start = 0
            while start < len(things):
                rest = things[:start] + things[start + size:]
                if attempt(rest):
                    things = rest
                else:
                    start += size
            size //= 2

    def run(self):
        last = self.requests[-1]
        if not self.accept(self.world, [last]):
            self.accept(self.world, [each for each in self.requests if each["headers"] == last["headers"]])
            self.thin(self.requests[:-1], lambda rest: self.accept(self.world, rest + [last]))
        for name in ("keys", "sessions", "issuers", "users", "tenants", "credential_headers"):
            self.thin(self.world[name], lambda rest: self.accept(tidy({**self.world, name: rest}), self.requests))
        self.thin_policy()
        return self.world, self.requests

    def thin_policy(self):
        policy = yaml.safe_load(self.world["policy"])

        def attempt(names):
            families = {name: policy["families"][name] for name in names}
            text = yaml.safe_dump({**policy, "families": families}, sort_keys=False)
            return bool(families) and self.accept({**self.world, "policy": text}, self.requests)

        self.thin(list(policy["families"]), attempt)


def report_difference(command, world, requests, expected, answer, shrink):
    print("\n--- difference: " + ", ".join(differences(expected, answer)))
    if shrink:
        shrinker = Shrinker(command, world, requests)
        if shrinker.still_differs(world, requests):
            world, requests = shrinker.run()
            reference = model.World(world)
            expected = [model.decide(reference, request) for request in requests][-1]
            done = subprocess.run(command, input=lines_for(world, requests), stdout=subprocess.PIPE)
            answer = parse_answer(done.stdout.splitlines()[-1])
        else:
            print("(does not come back when the program is started anew with this world alone: shown whole)")
    print("policy:\n" + "".join("    " + line + "\n" for line in world["policy"].splitlines()), end="")
    print("reproduction (lines for the program; the last is the one):")
    print(lines_for(world, requests).decode("ascii"), end="")
    print("model:   " + json.dumps(expected))
    print("program: " + json.dumps(answer))
    sys.stdout.flush()


# --------------------------------------------------------------------------


class Comparison:
    def __init__(self, options):
        self.options = options
        self.command = shlex.split(options.program)
        self.passed = 0
        self.failed = 0
        self.shown = 0
        self.codes = collections.Counter()
        self.pending = collections.deque()
        self.started = self.spoken = time.monotonic()

    def run(self):
        options = self.options
        print("seed %d, %d cases, %d requests per world" % (options.seed, options.cases, options.requests_per_world))
        try:
            self.program = Program(self.command)
        except OSError as error:
            sys.exit("compare.py: cannot start %s: %s" % (self.command[0], error.strerror))
        sound = True
        for world, requests in worlds.generate(options.seed, options.cases, options.requests_per_world):
            self.program.send(world, requests)
            reference = model.World(world)
            expected = [model.decide(reference, request) for request in requests]
            self.pending.append((world, requests, expected))
            if len(self.pending) >= AHEAD:
                sound = self.settle()
                if not sound:
                    break
        while sound and self.pending:
            sound = self.settle()
        if not sound:
            self.failed += options.cases - self.passed - self.failed
            self.program.process.kill()
        status = self.program.end()
        if sound and status != 0:
            print("the program ended with status %d" % status)
            self.failed += 1
        return self.summary()

    def settle(self):
        """Compares the oldest world under way. False when there is no point in going on."""
        world, requests, expected = self.pending.popleft()
        lines = self.program.receive(self.options.timeout)
        if lines is None:
            print("\n--- no answer for %d s to this world:" % self.options.timeout)
            print(lines_for(world, requests[:1]).decode("ascii"), end="")
            return False
        for number, line in enumerate(lines):
            self.codes[expected[number]["code"]] += 1
            answer = parse_answer(line)
            if not differences(expected[number], answer):
                self.passed += 1
                continue
            self.failed += 1
            if self.shown < self.options.show:
                self.shown += 1
                report_difference(self.command, world, requests[:number + 1], expected[number], answer,
                                  not self.options.no_shrink)
        if len(lines) < len(requests):
            print("\n--- the program ended, status %s, without an answer to:" % self.program.process.wait())
            print(lines_for(world, [requests[len(lines)]]).decode("ascii"), end="")
            print("model:   " + json.dumps(expected[len(lines)]))
            return False
        now = time.monotonic()
        if now - self.spoken >= 5:
            self.spoken = now
            done = self.passed + self.failed
            print("%9d cases, %d failed, %d a second" % (done, self.failed, done / (now - self.started)))
            sys.stdout.flush()
        return True

    def summary(self):
        print("\nseed %d, %.1f s; codes:" % (self.options.seed, time.monotonic() - self.started))
        total = sum(self.codes.values()) or 1
        for code, count in self.codes.most_common():
            print("  %-22s %9d  %5.2f %%" % (code, count, 100 * count / total))
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 1 if self.failed else 0


def selftest():
    import test_model
    failed = 0
    for name, expected, answer in test_model.run_all():
        if answer != expected:
            failed += 1
            print("%s\n  by hand: %s\n  model:   %s" % (name, json.dumps(expected), json.dumps(answer)))
    print("%d passed, %d failed" % (test_model.count() - failed, failed))
    return 1 if failed else 0


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def main():
    parser = argparse.ArgumentParser(description="Compares a program's decisions with the reference model's.")
    parser.add_argument("--program", help="the program, and arguments if it needs any")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=positive, default=100_000)
    parser.add_argument("--requests-per-world", type=positive, default=500)
    parser.add_argument("--show", type=int, default=3, help="differences to show in full (default 3)")
    parser.add_argument("--no-shrink", action="store_true", help="show differences as they came")
    parser.add_argument("--timeout", type=positive, default=60, help="seconds to wait for a world's answers")
    parser.add_argument("--selftest", action="store_true", help="check the model against the cases made by hand")
    options = parser.parse_args()
    if options.selftest:
        return selftest()
    if not options.program:
        parser.error("--program or --selftest is needed")
    return Comparison(options).run()


if __name__ == "__main__":
    sys.exit(main())
