"""A backend: a real HTTP server on a free loopback port, which says who it is."""

import http.server
import threading


class Backend:
    """Answers every request with its name as the body, and remembers what it was asked.

    headers: what it answers with besides, a list of (name, value).
    status:  what it answers with.
    """

    def __init__(self, name, host="127.0.0.1"):
        self.name = name
        self.host = host
        self.port = 0
        self.headers = []
        self.status = 200
        self.requests = []  # (method, path, headers)
        self.start()

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def start(self):
        """Listens again, on the port it had before."""
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                backend.requests.append((self.command, self.path, self.headers))
                body = backend.name.encode()
                self.send_response(backend.status)
                for name, value in backend.headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self.listener = Listener((self.host, self.port), Handler)
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
