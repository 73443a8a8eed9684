#!/usr/bin/python3
"""What the client of src/fetch is tested against: well-behaved and ill-behaved answers by path, plain and over TLS, on
free ports of 127.0.0.1. Writes "plain PORT", "tls PORT" and, where a request waits for ever, "hangs". Ends with its
input.
  server.py DIRECTORY    keeps its authority (ca.pem) and certificate there"""
import http.server
import json
import pathlib
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def plain(self, body, headers=()):
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.plain(json.dumps({"method": self.command, "path": self.path, "body": body.decode(),
                               "headers": [list(h) for h in self.headers.items()]}).encode())

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        name = url.path.strip("/")
        if name == "ok":
            self.plain(b"hello", [("X-Want", " one "), ("x-want", "two"), ("X-Other", "3"), ("X-Long", "l" * 300)])
        elif name == "echo":
            self.echo()
        elif name == "size":
            self.plain(b"x" * int(query["n"][0]))
        elif name == "redirect":
            self.send_response(302)
            self.send_header("Location", query["to"][0])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif name == "refused":
            self.send_error(403)
        else:
            self.misbehave(name)
            self.close_connection = True

    def misbehave(self, name):
        send = self.wfile.write
        if name == "endless":
            send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        elif name == "headers":
            send(b"HTTP/1.1 200 OK\r\n")
            while True:
                send(b"X-More: " + b"y" * 100 + b"\r\n")
        elif name == "line":
            send(b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 20000 + b"\r\nContent-Length: 0\r\n\r\n")
        elif name == "drip":
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while True:
                send(b"z")
                time.sleep(0.02)
        elif name == "hang":
            print("hangs", flush=True)
            while self.rfile.read(1):
                pass
        elif name == "cut":
            send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        elif name == "garbage":
            send(b"SIP/2.0 200 OK\r\n\r\n")

    def do_GET(self):
        try:
            self.answer()
        except OSError:
            self.close_connection = True

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass   # clients that leave are what is tested


def certificates(directory):
    """An authority, and a certificate of it for good.test."""
    run = lambda *arguments: subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=directory)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2")
    run("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=good.test")
    (directory / "extensions").write_text("subjectAltName=DNS:good.test\n", encoding="ascii")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-out", "server.pem", "-extfile", "extensions")


def main():
    directory = pathlib.Path(sys.argv[1])
    certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    for name in ("plain", "tls"):
        server = Server(("127.0.0.1", 0), Handler)
        if name == "tls":
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(name, server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
