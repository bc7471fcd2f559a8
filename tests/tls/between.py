"""A go-between before an authority for certificates (ACME): as kind as it is, but for one thing.

Usage: between.py PORT AUTHORITY_PORT CHAIN KEY TASK [ARGUMENTS]

- nonces: every request that is signed is refused once, as if its nonce were old
- limits SECONDS: the first order is one too many, and the next may come in SECONDS
- suggests: the first certificate shall be renewed at once (RFC 9773), others in ten years

It prints one JSON document a line: what passed, when, and what was in it.
"""

import base64
import http.client
import http.server
import json
import ssl
import sys
import threading
import time

PORT, AUTHORITY_PORT, CHAIN, KEY, TASK, *ARGUMENTS = sys.argv[1:]
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")
RENEWAL_INFO = "/renewal-info"

lock = threading.Lock()
state = {"posts": 0, "orders": 0, "suggestions": 0, "paths": {}}


def tell(what, **more):
    with lock:
        print(json.dumps({"what": what, "at": time.monotonic(), **more}), flush=True)


def ask(method, path, headers, body):
    """The authority's answer: status, headers, body."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(
        "127.0.0.1", int(AUTHORITY_PORT), context=context, timeout=30
    )
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.getheaders(), answer.read()


def payload(body):
    text = json.loads(body)["payload"]
    return json.loads(base64.urlsafe_b64decode(text + "==") or "null") if text else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.pass_on("GET", b"")

    def do_HEAD(self):
        self.pass_on("HEAD", b"")

    def do_POST(self):
        self.pass_on("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def pass_on(self, method, body):
        agent = self.headers["User-Agent"] or ""
        if self.path.startswith(RENEWAL_INFO):
            return self.suggest()
        if method == "POST":
            with lock:
                state["posts"] += 1
                posts = state["posts"]
            if TASK == "nonces" and posts % 2 == 1:
                tell("refused", path=self.path)
                return self.refuse(400, "badNonce", "it is too old")
            if self.path == state["paths"].get("newOrder"):
                state["orders"] += 1
                tell("order", payload=payload(body), agent=agent)
                if TASK == "limits" and state["orders"] == 1:
                    wait = ("Retry-After", ARGUMENTS[0])
                    return self.refuse(429, "rateLimited", "too many, come later", wait)
        headers = {name: value for name, value in self.headers.items()}
        status, fields, answer = ask(method, self.path, headers, body)
        if self.path == "/dir":
            directory = json.loads(answer)
            for name, url in directory.items():
                if isinstance(url, str) and url.startswith("https://"):
                    state["paths"][name] = "/" + url.split("/", 3)[3]
            if TASK == "suggests":
                directory["renewalInfo"] = f"https://localhost:{PORT}{RENEWAL_INFO}"
            answer = json.dumps(directory).encode()
        self.say(status, fields, answer, method)

    def suggest(self):
        state["suggestions"] += 1
        first = state["suggestions"] == 1
        tell("suggestion", path=self.path)
        window = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
        if not first:
            window = ("2090-01-01T00:00:00Z", "2090-01-02T00:00:00Z")
        answer = {"suggestedWindow": {"start": window[0], "end": window[1]}}
        fields = [("Content-Type", "application/json"), ("Retry-After", "21600")]
        self.say(200, fields, json.dumps(answer).encode(), "GET")

    def refuse(self, status, kind, detail, *fields):
        _, headers, _ = ask("HEAD", state["paths"]["newNonce"], {"Host": self.headers["Host"]}, b"")
        nonces = [(name, value) for name, value in headers if name.lower() == "replay-nonce"]
        problem = {"type": "urn:ietf:params:acme:error:" + kind, "detail": detail}
        kind = ("Content-Type", "application/problem+json")
        self.say(status, [kind, *nonces, *fields], json.dumps(problem).encode(), "POST")

    def say(self, status, fields, body, method):
        self.send_response(status)
        for name, value in fields:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(body)


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CHAIN, KEY)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    tell("ready")
    server.serve_forever()


main()
