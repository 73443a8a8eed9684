"""What tests of the whole program share: a daemon on a data directory of its own, the command line, an HTTP client.

KEYSTILE_BUILD names the build directory (default: build), KEYSTILE_SEED the seed of what is random."""
import collections
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KEYSTILE_BUILD", SOURCE / "build")).resolve()
PROGRAM = BUILD / "keystile"
DEMO_POLICY = SOURCE / "policies" / "demo.yaml"

# How long anything may take before the test gives up on it: never what a test is about.
PATIENCE_S = 120

SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:disable_coredump=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def seed():
    """The seed of this run, printed once so that the run can be repeated."""
    if not hasattr(seed, "value"):
        seed.value = int(os.environ.get("KEYSTILE_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"KEYSTILE_SEED={seed.value}")
    return seed.value


def environment(extra=None):
    """The test's own environment without settings that were meant for somebody else's service."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("KEYSTILE_")}
    return {**SANITIZERS, **kept, **{k: str(v) for k, v in (extra or {}).items()}}


running = set()   # daemons that were started and not seen to end

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def with_parent(limits):
    """For a child before it runs: it does not outlive the thread that started it; and `limits`, if any."""
    def apply():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if limits:
            limits()
    return apply


# ---- data directories ----

def ring_directory(data):
    """Where the ring of a data directory stands if it is in shared memory."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:16]
    return pathlib.Path(f"/dev/shm/keystile-{os.getuid()}-{name}")


def remove_data(data):
    """Removes a data directory and its ring, wherever that is."""
    data = pathlib.Path(data)
    link = data / "ring"
    for ring in {ring_directory(data), link.resolve() if link.is_symlink() else ring_directory(data)}:
        if ring.name.startswith("keystile-") and ring.parent == pathlib.Path("/dev/shm"):
            shutil.rmtree(ring, ignore_errors=True)
    shutil.rmtree(data, ignore_errors=True)


@contextlib.contextmanager
def temporary_data():
    """A path for a data directory, short enough for a local socket; what is made there is removed, ring and all."""
    parent = pathlib.Path(tempfile.mkdtemp(prefix="keystile-test-", dir="/tmp"))
    try:
        yield parent / "data"
    finally:
        # A test that failed may have left one running.
        for daemon in [d for d in running if parent in d.data.parents]:
            daemon.kill()
        for data in [parent, *(p for p in parent.glob("*") if p.is_dir())]:
            shutil.rmtree(ring_directory(data), ignore_errors=True)
        remove_data(parent / "data")
        shutil.rmtree(parent, ignore_errors=True)


# ---- HTTP ----

class Answer(collections.namedtuple("Answer", "status headers body")):
    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The problem's code, None where the answer is no problem."""
        if "problem+json" not in self.headers.get("Content-Type", ""):
            return None
        return self.json["code"]


class LocalConnection(http.client.HTTPConnection):
    """HTTP over the local socket of a data directory."""

    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """A keep-alive connection of one thread. `token` is sent as Bearer unless a call says otherwise."""

    def __init__(self, connection, token=None):
        self.connection = connection
        self.token = token

    def call(self, method, path, body=None, headers=None, token=None):
        """One request, one answer; the connection's failures are the caller's to catch (OSError, HTTPException)."""
        sent = dict(headers or {})
        token = token or self.token
        if token and not any(name.lower() == "authorization" for name in sent):
            sent["Authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        try:
            self.connection.request(method, path, body=body, headers=sent)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except Exception:
            self.connection.close()
            raise

    def close(self):
        self.connection.close()


# ---- the daemon ----

class Daemon:
    """`keystile serve` on `data`. Use as a context manager, or start() and stop()."""

    def __init__(self, data, *, policy=DEMO_POLICY, listen="127.0.0.1:0", arguments=(), env=None, limits=None, program=PROGRAM):
        self.data = pathlib.Path(data)
        self.arguments = [str(program), "serve", "--data", str(data), "--listen", listen]
        if policy:
            self.arguments += ["--policy", str(policy)]
        self.arguments += [str(a) for a in arguments]
        self.env = env
        self.limits = limits
        self.process = None
        self.first_key = None
        self.log = []
        self.raw = bytearray()
        self.port = None

    # -- life --

    def start(self, wait=True):
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        env=environment(self.env), preexec_fn=with_parent(self.limits), start_new_session=True)
        self.changed = threading.Condition()
        self.closed = False
        self.log = []
        self.raw = bytearray()
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()
        running.add(self)
        if wait:
            self.wait_listening()
        return self

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.raw += line
                if line.startswith(b"The operator's first key"):
                    self.first_key = line.decode().rsplit(" ", 1)[1].strip()
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if isinstance(event, dict):
                        self.log.append(event)
                self.changed.notify_all()
        stream.close()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait_event(self, name, count=1):
        """The `count`-th line of the log with this event."""
        def found():
            return [e for e in self.log if e.get("event") == name]
        with self.changed:
            self.changed.wait_for(lambda: len(found()) >= count or self.closed, PATIENCE_S)
            events = found()
        if len(events) < count:
            raise AssertionError(f"no event {name}; standard error:\n{self.raw.decode(errors='replace')[-20000:]}")
        return events[count - 1]

    def wait_listening(self):
        address = self.wait_event("listening")["address"]
        self.port = int(address.rsplit(":", 1)[1]) if address else None

    def wait_exit(self):
        """The exit code, once all of standard error is read."""
        code = self.process.wait(PATIENCE_S)
        running.discard(self)
        self.reader.join(PATIENCE_S)
        return code

    @property
    def errors(self):
        return self.raw.decode(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        return self.wait_exit()

    def stop(self):
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, *_):
        try:
            code = self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        if kind is None and code not in (0, -signal.SIGKILL):
            raise AssertionError(f"keystile serve ended with {code}:\n{self.errors[-20000:]}")

    # -- asking --

    @property
    def socket(self):
        return self.data / "keystile.sock"

    def client(self, token=None, timeout=PATIENCE_S):
        return Client(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout), token)

    def local(self):
        """A client that acts as the owner of the data directory."""
        return Client(LocalConnection(self.socket))

    def call(self, method, path, body=None, headers=None, token=None):
        """One request on a connection of its own."""
        client = self.client()
        try:
            return client.call(method, path, body, headers, token)
        finally:
            client.close()

    def authorize(self, token, method="GET", uri="/api/v1/contacts", headers=None):
        """What a gateway asks."""
        return self.call("GET", "/v1/authorize", headers={"X-Original-Method": method, "X-Original-URI": uri, **(headers or {})}, token=token)


# ---- the command line ----

class Result(collections.namedtuple("Result", "code out err")):
    @property
    def json(self):
        return json.loads(self.out)

    @property
    def problem(self):
        return json.loads(self.err)


def run(*arguments, data=None, env=None, input=None, limits=None, program=PROGRAM, cwd=None):
    """Runs the program to its end. Texts in and out."""
    command = [str(program), *(str(a) for a in arguments)]
    if data is not None:
        # Before "--", after which there are no options.
        at = command.index("--") if "--" in command else len(command)
        command[at:at] = ["--data", str(data)]
    done = subprocess.run(command, input=input if input is not None else "", capture_output=True, text=True, env=environment(env),
                          preexec_fn=limits, timeout=PATIENCE_S, cwd=cwd)
    return Result(done.returncode, done.stdout, done.stderr)


def init(data, env=None):
    """Makes a store; the operator's first key."""
    done = run("init", data=data, env=env)
    assert done.code == 0, done
    return done.out.strip()
