"""A backend: a real HTTP server on a free loopback port, which answers with its name."""

import http.server
import os
import socket
import socketserver
import ssl
import threading

from server import free_port


class Backend:
    """Answers every request with its name as the body, and remembers what it was asked.

    headers: further headers of its answers, a list of (name, value).
    status:  of its answers.
    gate:    a threading.Event: it answers once this is set.
    gated:   what the paths begin with of requests that wait for the gate.
    tls:     (file of a certificate, file of its key): it speaks HTTPS.
    unix:    a folder: it listens on a socket there, not on a port.
    """

    def __init__(self, name, host="127.0.0.1", tls=None, unix=None):
        self.name = name
        self.host = host
        self.port = free_port(host)
        self.tls = tls
        self.unix = unix and f"{unix}/{name}"
        self.headers = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        self.gated = "/"
        self.requests = []  # (method, path, headers)
        self.bodies = []    # of these requests
        self.start()

    @property
    def url(self):
        if self.unix:
            return f"unix:{self.unix}|http://{self.name}"
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def start(self):
        """Listens again, on the port it had before."""
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # for 100 Continue; a connection still serves one request

            def answer(self):
                backend.bodies.append(self.read_body())
                backend.requests.append((self.command, self.path, self.headers))
                if self.path.startswith(backend.gated):
                    backend.gate.wait(60)
                body = backend.name.encode()
                self.send_response(backend.status)
                for name, value in backend.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

            def read_body(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():  # trailers
                    pass
                return body

            def log_message(self, *_):
                pass

        class Listener(socketserver.ThreadingMixIn, http.server.HTTPServer):
            address_family = socket.AF_UNIX if self.unix else socket.AF_INET
            daemon_threads = True
            request_queue_size = 256

            def server_bind(self):
                if backend.unix:
                    socketserver.TCPServer.server_bind(self)
                    os.chmod(backend.unix, 0o777)
                else:
                    super().server_bind()

        if self.unix and os.path.exists(self.unix):
            os.unlink(self.unix)
        self.listener = Listener(self.unix or (self.host, self.port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
            # The handshake is made in the handler's thread, so that a slow client does not keep the others out.
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True,
                                                       do_handshake_on_connect=False)
        if not self.unix:
            self.port = self.listener.server_port
        self.thread = threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def stop(self):
        """Refuses connections from now on."""
        if self.listener:
            self.listener.shutdown()
            self.listener.server_close()
            self.thread.join()
            self.listener = None
