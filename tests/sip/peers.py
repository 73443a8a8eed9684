"""Real SIP peers on free ports of this machine: Kamailio as a trunk and as what calls go through, sipp as those who call."""
import pathlib
import re
import signal
import socket
import subprocess
import time

import keystile

HERE = pathlib.Path(__file__).resolve().parent


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(holds, what):
    """Looks ten times a second: what runs here needs the machine itself."""
    deadline = time.monotonic() + keystile.PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.1)


class Peers:
    def __init__(self, folder):
        self.folder, self.running = folder, {}
        self.ports = {"TRUNK": free_port(), "EDGE": free_port(), "UAS": free_port()}

    def start(self, name, *command):
        with open(self.folder / f"{name}.log", "wb") as out:
            self.running[name] = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out,
                                                  stderr=subprocess.STDOUT, cwd=self.folder)
        return self.running[name]

    def end(self, *names):
        for name in names or list(self.running)[::-1]:
            process = self.running.pop(name)
            process.send_signal(signal.SIGTERM)
            process.wait(keystile.PATIENCE_S)

    def proxy(self, name, *arguments, config=None, **values):
        """Kamailio by `config`.cfg, in which @NAME@ stands for values."""
        text = (HERE / f"{config or name}.cfg").read_text(encoding="utf-8")
        for key, value in {**self.ports, "FOLDER": self.folder, "NAME": name, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.folder / f"{name}.cfg"
        path.write_text(text, encoding="utf-8")
        process = self.start(name, "kamailio", "-DD", "-E", "-m", "64", "-M", "8", *arguments, "-f", path)

        def is_up():
            assert process.poll() is None, self.told(name)
            return self.control(name, "core.version", check=False).returncode == 0

        until(is_up, lambda: self.told(name))

    def control(self, name, *words, check=True):
        return subprocess.run(["kamcmd", "-s", f"unix:{self.folder}/{name}.ctl", *words], capture_output=True, text=True, check=check)

    def table(self, name, table):
        """A table of a Kamailio: what it counted."""
        return dict(re.findall(r"name: (.*)\n\s*value: (.*)", self.control(name, "htable.dump", table).stdout))

    def put(self, name, table, key, value):
        """A number is put as one."""
        self.control(name, "htable.seti" if isinstance(value, int) else "htable.sets", table, key, str(value))

    def forget(self, name, table, key):
        self.control(name, "htable.delete", table, key)

    def passwords(self, current, previous="none", name="trunk"):
        """What the trunk takes from now on. The order is what trunk.cfg relies on."""
        self.put(name, "passwords", "previous", previous)
        self.put(name, "passwords", "current", current)

    def told(self, *names):
        return "\n".join(f"== {n}\n{(self.folder / f'{n}.log').read_text(errors='replace')[-4000:]}" for n in names)
