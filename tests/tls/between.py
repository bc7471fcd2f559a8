"""A go-between before an authority for certificates (ACME): as kind as it is, but for one thing.

Usage: between.py PORT AUTHORITY_PORT CHAIN KEY TASK [ARGUMENTS]

- nonces: every request that is signed is refused once, as if its nonce were old
- limits SECONDS: the first order is one too many, and the next may come in SECONDS
- suggests: the first certificate shall be renewed at once (RFC 9773), others in ten years
- wrong WHERE:HOW ...: each visit goes wrong once, in this way, and those that follow do not
- hold FILE: an authority that is told to look at a proof does so when there is that file
- kind: nothing at all

It prints one JSON document a line: what passed, when, and what was in it.
"""

import base64
import http.client
import http.server
import json
import os
import ssl
import sys
import threading
import time

PORT, AUTHORITY_PORT, CHAIN, KEY, TASK, *ARGUMENTS = sys.argv[1:]
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")
RENEWAL_INFO = "/renewal-info"

lock = threading.Lock()
state = {"posts": 0, "orders": 0, "suggestions": 0, "paths": {}, "challenges": {}}
state["wrong"] = list(ARGUMENTS)


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
        where = self.where()
        if TASK == "wrong" and state["wrong"] and state["wrong"][0].startswith(where + ":"):
            how = state["wrong"].pop(0).split(":")[1]
            tell("wrong", where=where, how=how)
            return self.go_wrong(how)
        if where in ("account", "finalize", "certificate"):
            tell(where)
        if TASK == "hold" and where == "challenge" and body and payload(body) == {}:
            return self.hold(dict(self.headers.items()), body)
        headers = {name: value for name, value in self.headers.items()}
        status, fields, answer = ask(method, self.path, headers, body)
        if where == "authorization" and status == 200:
            authorization = json.loads(answer)
            for one in authorization["challenges"]:
                state["challenges"]["/" + one["url"].split("/", 3)[3]] = one
            tell(where, answer=authorization)
        if self.path == "/dir":
            directory = json.loads(answer)
            for name, url in directory.items():
                if isinstance(url, str) and url.startswith("https://"):
                    state["paths"][name] = "/" + url.split("/", 3)[3]
            if TASK == "suggests":
                directory["renewalInfo"] = f"https://localhost:{PORT}{RENEWAL_INFO}"
            answer = json.dumps(directory).encode()
        self.say(status, fields, answer, method)

    def where(self):
        named = {"newAccount": "account", "newOrder": "order"}
        for name, path in state["paths"].items():
            if self.path == path and name in named:
                return named[name]
        parts = {"authZ": "authorization", "chalZ": "challenge", "certZ": "certificate"}
        first = self.path.split("/")[1]
        return parts.get(first, "finalize" if first.startswith("finalize") else first)

    def hold(self, headers, body):
        path = self.path

        def pass_on_later():
            while not os.path.exists(ARGUMENTS[0]):
                time.sleep(0.05)
            ask("POST", path, headers, body)

        threading.Thread(target=pass_on_later, daemon=True).start()
        answer = {**state["challenges"][path], "status": "processing"}
        kind = ("Content-Type", "application/json")
        self.say(200, [kind, *self.nonces()], json.dumps(answer).encode(), "POST")
        tell("held", path=path)

    def go_wrong(self, how):
        self.close_connection = True
        json_type = [("Content-Type", "application/json")]
        if how == "page":
            return self.say(200, [("Content-Type", "text/html")], b"<html>hello</html>", "GET")
        if how == "types":
            return self.say(200, json_type, b'{"newNonce": 7, "status": [], "id": {}}', "GET")
        if how == "deep":
            return self.say(200, json_type, b"[" * 500_000, "GET")
        if how == "busy":
            fields = [("Content-Type", "text/plain"), ("Retry-After", "2")]
            return self.say(503, fields, b"come back later", "GET")
        if how == "hang-up":
            return None
        length = 1 << 40 if how == "huge" else 1000
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            if how == "cut":
                self.wfile.write(b'{"newNonce"')
            while how == "huge":
                self.wfile.write(b" " * 65536)
            while how == "slow":
                self.wfile.write(b" ")
                time.sleep(0.5)
        except OSError:
            tell("gone", how=how)

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
        problem = {"type": "urn:ietf:params:acme:error:" + kind, "detail": detail}
        kind = ("Content-Type", "application/problem+json")
        self.say(status, [kind, *self.nonces(), *fields], json.dumps(problem).encode(), "POST")

    def nonces(self):
        host = {"Host": self.headers["Host"]}
        _, headers, _ = ask("HEAD", state["paths"]["newNonce"], host, b"")
        return [(name, value) for name, value in headers if name.lower() == "replay-nonce"]

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
