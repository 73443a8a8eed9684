"""Who answers SIP over UDP under test."""
import socket
import threading


class SipPeer:
    """Its socket, on a port of its own, and a thread for `run`."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()


def head_of(text):
    return dict(line.split(": ", 1) for line in text.split("\r\n")[1:] if ": " in line)


def response(head, status, more=""):
    kept = "".join(f"{name}: {head[name]}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    return f"SIP/2.0 {status}\r\n{kept}{more}Content-Length: 0\r\n\r\n".encode()
