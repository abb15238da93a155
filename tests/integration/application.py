"""Web applications that keep their sessions in their own memory, as PHP, Express and Tomcat do by default."""

import base64
import http.cookies
import http.server
import secrets
import threading
import urllib.parse


def php_id(_):
    return secrets.token_hex(16)


def express_id(_):
    signature = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return urllib.parse.quote(f"s:{secrets.token_urlsafe(24)}.{signature}", safe="")


def tomcat_id(route):
    return f"{secrets.token_hex(16).upper()}.{route}"


# {kind: (name of its session cookie, what makes an id on a member with this route)}
KINDS = {"PHP": ("PHPSESSID", php_id), "Express": ("connect.sid", express_id), "Tomcat": ("JSESSIONID", tomcat_id)}


class Application:
    """Answers with the number of requests in the client's session. Begins a session where it knows none."""

    def __init__(self, kind, route):
        cookie, new_id = KINDS[kind]
        counters = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                sent = http.cookies.SimpleCookie(self.headers.get("Cookie")).get(cookie)
                session = sent.value if sent else None
                self.send_response(200)
                if session not in counters:
                    session = new_id(route)
                    counters[session] = 0
                    self.send_header("Set-Cookie", f"{cookie}={session}; Path=/; HttpOnly")
                counters[session] += 1
                body = str(counters[session]).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        self.route = route

    def stop(self):
        self.listener.shutdown()
        self.listener.server_close()
