"""An application that keeps sessions in its memory, by a cookie that knows nothing of routes: application.py PORT"""

import http.cookies
import http.server
import secrets
import socket
import sys

requests = {}  # of each session


class Application(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie")).get("sid")
        session = cookie.value if cookie else None
        is_new = session not in requests
        if is_new:
            session = secrets.token_urlsafe(24)
            requests[session] = 0
        requests[session] += 1
        body = f"request {requests[session]} of the session, on {socket.gethostname()}\n".encode()
        self.send_response(200)
        if is_new:
            self.send_header("Set-Cookie", f"sid={session}; Path=/; HttpOnly; SameSite=Lax")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Application).serve_forever()
