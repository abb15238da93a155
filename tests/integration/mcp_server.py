"""An MCP server over streamable HTTP (protocol 2025-03-26 to 2025-11-25), as far as sessions are concerned."""

import http.server
import json
import queue
import threading
import uuid

SESSION = "Mcp-Session-Id"


class McpServer:
    """Keeps its sessions in memory, and answers 404 to those that it did not make.

    `tools/call` answers with the server's name and the number of calls in the session, and sends the same to whoever
    has the session's event stream open.
    """

    def __init__(self, name):
        self.name = name
        self.sessions = {}   # id: [number of calls, queue of events; None ends the stream]
        self.asked_for = []  # (method, session id or None) of all requests
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if message["method"] == "initialize":
                    self.note()
                    id = uuid.uuid4().hex
                    server.sessions[id] = [0, queue.Queue()]
                    return self.result(message, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                                 "serverInfo": {"name": server.name, "version": "1"}}, id)
                if not (session := self.session()):
                    return None
                if "id" not in message:  # a notification
                    return self.answer(202)
                session[0] += 1
                text = f"{server.name} {session[0]}"
                session[1].put(text)
                return self.result(message, {"content": [{"type": "text", "text": text}]}, self.headers[SESSION])

            def do_GET(self):
                if not (session := self.session()):
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                while (text := session[1].get()) is not None:
                    self.wfile.write(f"event: message\ndata: {text}\n\n".encode())

            def do_DELETE(self):
                if session := self.session():
                    del server.sessions[self.headers[SESSION]]
                    session[1].put(None)
                    self.answer(204)

            def note(self):
                server.asked_for.append((self.command, self.headers[SESSION]))

            def session(self):
                """The session that the request names; None: there is none, and the client has been told."""
                self.note()
                session = server.sessions.get(self.headers[SESSION])
                if not session:
                    error = {"code": -32001, "message": "Session not found"}
                    status = 404 if self.headers[SESSION] else 400
                    self.answer(status, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}))
                return session

            def result(self, message, result, session):
                # In each answer, as some servers have it; the protocol asks for it in the first one.
                self.answer(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), session)

            def answer(self, status, body="", session=None):
                self.send_response(status)
                if session:
                    self.send_header(SESSION, session)
                if body:
                    self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        for _, events in self.sessions.values():
            events.put(None)
        self.listener.shutdown()
        self.listener.server_close()
