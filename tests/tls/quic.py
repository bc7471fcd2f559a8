"""HTTP/3 spoken by aioquic, frame by frame, so that a test may say what no client would.

Usage: quic.py TASK HOST PORT [ARGUMENTS]; each task prints one JSON document and ends with 0. The
server is called "localhost", and its certificate is that of the file in CA_FILE.
"""

import hashlib
import json
import os
import select
import socket
import sys
import time

import pylsqpack
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

NAME = "localhost"
# How long one answer may take, on a machine that compiles beside the test.
PATIENCE_S = 20.0

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0, 1, 3, 4, 5, 7, 13
CONTROL, PUSH, ENCODER, DECODER = 0, 1, 2, 3


def frame(kind, payload=b""):
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def settings(*pairs):
    return frame(SETTINGS, b"".join(encode_uint_var(number) for pair in pairs for number in pair))


def prefixed(bits, first, number):
    """An integer behind a prefix (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    out, number = [first | most], number - most
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes(out + [number])


def block(fields):
    """Fields as literals (RFC 9204 section 4.5.6): none is in a table, and any bytes may stand."""
    out = b"\0\0"
    for name, value in fields:
        out += prefixed(3, 0x20, len(name)) + name + prefixed(7, 0, len(value)) + value
    return out


def request(path, method=b"GET", extra=(), without=()):
    fields = [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", NAME.encode()),
        (b":path", path),
    ]
    return [field for field in fields if field[0] not in without] + list(extra)


class Reply:
    """What came on one request stream so far."""

    def __init__(self):
        self.pending = b""
        self.fields = []
        self.interim = []
        self.body = bytearray()
        self.ended = False
        self.reset = None

    @property
    def status(self):
        return int(dict(self.fields).get("status", 0)) if self.fields else 0


class Client:
    """One connection, driven by hand over one UDP socket."""

    def __init__(self, address, ticket=None, token=b"", version=None, window=1 << 20):
        configuration = QuicConfiguration(
            alpn_protocols=["h3"],
            is_client=True,
            server_name=NAME,
            cafile=os.environ["CA_FILE"],
            session_ticket=ticket,
            token=token,
            idle_timeout=60.0,
            max_data=4 * window,
            max_stream_data=window,
        )
        if version is not None:
            configuration.original_version = version
            configuration.supported_versions = [version, 1]
        self.tickets = []
        self.tokens = []
        self.quic = QuicConnection(
            configuration=configuration,
            session_ticket_handler=self.tickets.append,
            token_handler=self.tokens.append,
        )
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.sent = []
        self.shaken = False
        self.was_early = None
        self.closed = None
        self.retries = 0
        self.replies = {}
        self.uni = {}
        self.control = None
        self.qpack = pylsqpack.Decoder(0, 0)
        self.on_data = None
        # Who only receives says now and then that it is still there, as browsers do.
        self.heard = time.monotonic()
        self.quic.connect(address, now=time.monotonic())

    # Streams.

    def open_control(self, *pairs):
        """What a client begins with: its control stream and those of QPACK."""
        self.control = self.uni_stream(CONTROL, settings(*pairs))
        self.encoder = self.uni_stream(ENCODER)
        self.decoder = self.uni_stream(DECODER)

    def uni_stream(self, kind, payload=b"", end=False):
        number = self.quic.get_next_available_stream_id(is_unidirectional=True)
        self.quic.send_stream_data(number, encode_uint_var(kind) + payload, end)
        return number

    def ask(self, payload, end=True):
        """A request stream with these bytes on it."""
        number = self.quic.get_next_available_stream_id()
        self.quic.send_stream_data(number, payload, end)
        self.replies[number] = Reply()
        return number

    def get(self, path, extra=()):
        return self.ask(frame(HEADERS, block(request(path, extra=extra))))

    # Time passes.

    def flush(self):
        for data, _ in self.quic.datagrams_to_send(now=time.monotonic()):
            self.sent.append(data)
            try:
                self.socket.sendto(data, self.address)
            except OSError:
                pass

    def run(self, until, patience=PATIENCE_S):
        """Sends and receives until `until()`; whether it became true in time."""
        deadline = time.monotonic() + patience
        while True:
            self.take_events()
            self.flush()
            if until():
                return True
            now = time.monotonic()
            if now >= deadline:
                return False
            timer = self.quic.get_timer()
            wait = min(deadline - now, 1.0)
            if timer is not None:
                wait = min(wait, max(timer - now, 0.0))
            if select.select([self.socket], [], [], min(wait, 0.3))[0]:
                self.heard = time.monotonic()
                self.receive()
            elif self.shaken and time.monotonic() - self.heard >= 0.3:
                self.heard = time.monotonic()
                self.quic.send_ping(0)
            timer = self.quic.get_timer()
            if timer is not None and time.monotonic() >= timer:
                self.quic.handle_timer(now=time.monotonic())

    def receive(self):
        for _ in range(64):
            try:
                data, _ = self.socket.recvfrom(65536)
            except OSError:
                return
            if len(data) > 5 and data[0] & 0xF0 == 0xF0 and data[1:5] == b"\0\0\0\1":
                self.retries += 1
            self.quic.receive_datagram(data, self.address, now=time.monotonic())

    def take_events(self):
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, events.HandshakeCompleted):
                self.shaken = True
                self.was_early = event.early_data_accepted
            elif isinstance(event, events.ConnectionTerminated):
                self.closed = event
            elif isinstance(event, events.StreamReset):
                if event.stream_id in self.replies:
                    self.replies[event.stream_id].reset = event.error_code
            elif isinstance(event, events.StopSendingReceived):
                if event.stream_id in self.replies and self.replies[event.stream_id].reset is None:
                    self.replies[event.stream_id].reset = event.error_code
            elif isinstance(event, events.StreamDataReceived):
                self.take_data(event)

    def take_data(self, event):
        if event.stream_id % 4 == 3:
            self.uni[event.stream_id] = self.uni.get(event.stream_id, b"") + event.data
            return
        reply = self.replies.get(event.stream_id)
        if reply is None:
            return
        reply.pending += event.data
        reply.ended = event.end_stream or reply.ended
        while True:
            buffer = Buffer(data=reply.pending)
            try:
                kind = buffer.pull_uint_var()
                length = buffer.pull_uint_var()
                payload = buffer.pull_bytes(length)
            except Exception:
                return
            reply.pending = reply.pending[buffer.tell():]
            if kind == HEADERS:
                _, fields = self.qpack.feed_header(event.stream_id, payload)
                fields = [(name.decode().lstrip(":"), value.decode()) for name, value in fields]
                if dict(fields).get("status", "")[:1] == "1":
                    reply.interim.append(fields)
                else:
                    reply.fields = reply.fields or fields
            elif kind == DATA:
                reply.body += payload
                if self.on_data:
                    self.on_data(payload)

    # What tests ask for.

    def shake(self):
        if not self.run(lambda: self.shaken or self.closed):
            raise SystemExit("no handshake in time")
        if self.closed:
            raise SystemExit(f"no handshake: {self.closed}")

    def answer(self, number, patience=PATIENCE_S):
        """The whole reply on stream `number`."""
        reply = self.replies[number]
        done = self.run(lambda: reply.ended or reply.reset is not None or self.closed, patience)
        if not done or not reply.ended:
            raise SystemExit(f"no answer: {reply.status}, reset {reply.reset}, {self.closed}")
        return reply

    def peer_settings(self):
        """The settings of the server, once they came."""
        def found():
            for data in self.uni.values():
                buffer = Buffer(data=data)
                try:
                    if buffer.pull_uint_var() == CONTROL and buffer.pull_uint_var() == SETTINGS:
                        inner = Buffer(data=buffer.pull_bytes(buffer.pull_uint_var()))
                        pairs = {}
                        while not inner.eof():
                            name = inner.pull_uint_var()
                            pairs[name] = inner.pull_uint_var()
                        return pairs
                except Exception:
                    pass
            return None
        self.run(lambda: found() is not None)
        return found() or {}

    def close(self):
        self.quic.close(error_code=0x100)
        self.flush()
        self.socket.close()


def shown(reply):
    return {
        "status": reply.status,
        "fields": [[name, value] for name, value in reply.fields],
        "bytes": len(reply.body),
        "sha256": hashlib.sha256(reply.body).hexdigest(),
        "text": bytes(reply.body[:2000]).decode("utf-8", "replace"),
    }


def connected(address, **options):
    client = Client(address, **options)
    client.shake()
    client.open_control((1, 0), (7, 0))
    return client


# Tasks.


def get(address, path, *extra):
    """One request; `extra` are names and values of fields in turns."""
    client = connected(address)
    fields = [(name.encode(), value.encode()) for name, value in zip(extra[::2], extra[1::2])]
    reply = client.answer(client.get(path.encode(), fields), 100.0)
    report = shown(reply) | {"retries": client.retries}
    client.close()
    return report


def listen(address, path, file, size, *extra):
    """The first `size` bytes of an endless body into `file`."""
    client = connected(address)
    fields = [(name.encode(), value.encode()) for name, value in zip(extra[::2], extra[1::2])]
    number = client.get(path.encode(), fields)
    reply = client.replies[number]
    client.run(lambda: len(reply.body) >= int(size) or reply.ended or client.closed, 60.0)
    with open(file, "wb") as out:
        out.write(reply.body)
    report = shown(reply) | {"ended": reply.ended, "closed": str(client.closed)}
    client.quic.stop_stream(number, 0x10C)
    client.flush()
    client.close()
    return report


def key_update(address, path):
    """Requests with new keys between them."""
    client = connected(address)
    statuses = []
    for _ in range(4):
        statuses.append(client.answer(client.get(path.encode())).status)
        # A key may be changed once the one before is confirmed.
        client.quic.send_ping(7)
        client.run(lambda: False, 0.2)
        client.quic.request_key_update()
    statuses.append(client.answer(client.get(path.encode())).status)
    client.close()
    return {"statuses": statuses}


def crowded(address, path, count):
    """One request while so many handshakes are begun by nobody, from ports of their own."""
    raws = []
    for _ in range(int(count)):
        raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for data in first_flight(address):
            raw.sendto(data, address)
        raws.append(raw)
    report = get(address, path)
    return report | {"begun": len(raws)}


def migrate(address, path):
    """Requests from one port after another, with connection ids to match."""
    client = connected(address)
    statuses = []
    for _ in range(3):
        statuses.append(client.answer(client.get(path.encode())).status)
        # Its peer gave it more connection ids than one.
        client.run(lambda: len(client.quic._peer_cid_available) > 0, 5.0)
        client.quic.change_connection_id()
        client.socket.close()
        client.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.socket.setblocking(False)
    statuses.append(client.answer(client.get(path.encode())).status)
    client.close()
    return {"statuses": statuses}


def long_header(version, destination, source, size=1200):
    head = bytes([0xC3]) + version.to_bytes(4, "big")
    head += bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return head + bytes(size - len(head))


def answers_to(address, datagrams, patience):
    """What comes back for datagrams that nobody acknowledges anything to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        for datagram in datagrams:
            raw.sendto(datagram, address)
        came, deadline = [], time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            if select.select([raw], [], [], left)[0]:
                came.append(raw.recvfrom(65536)[0])
        return came


def versions(address):
    """What is said to a version that nobody knows."""
    destination, source = os.urandom(8), os.urandom(5)
    datagram = long_header(0x1A2A3A4A, destination, source)
    came = []
    for _ in range(5):
        came = answers_to(address, [datagram], 1.0)
        if came:
            break
    listed, echoed = [], False
    for data in came:
        buffer = Buffer(data=data)
        if buffer.pull_uint8() & 0x80 and buffer.pull_uint32() == 0:
            first = buffer.pull_bytes(buffer.pull_uint8())
            second = buffer.pull_bytes(buffer.pull_uint8())
            echoed = (first, second) == (source, destination)
            while not buffer.eof():
                listed.append(buffer.pull_uint32())
    # Too small to be answered, and an answer to what is an answer itself.
    small = answers_to(address, [long_header(0x1A2A3A4A, destination, source, 1100)], 0.7)
    own = answers_to(address, [long_header(0, destination, source)], 0.7)
    # A client that begins with version 2 comes to one of both.
    client = Client(address, version=0x6B3343CF)
    client.shake()
    client.close()
    return {"listed": listed, "echoed": echoed, "small": len(small), "own": len(own)}


def first_flight(address):
    """What a client would begin with, unsent."""
    client = Client(address)
    client.socket.close()
    return [data for data, _ in client.quic.datagrams_to_send(now=time.monotonic())]


def amplification(address, seconds):
    """How much comes back to an address that never proves itself."""
    sent = first_flight(address)
    came = answers_to(address, sent, float(seconds))
    # The same again from one address: each datagram earns three times itself.
    again = first_flight(address) + first_flight(address)
    more = answers_to(address, again, float(seconds))
    sizes = [sum(map(len, datagrams)) for datagrams in (sent, came, again, more)]
    report = dict(zip(["sent", "came", "sent_again", "came_again"], sizes))
    return report | {"datagrams": [len(data) for data in came]}


def resets(address):
    """What is said to packets of connections that are not there."""
    came = []
    for size in (100, 200, 21):
        datagram = bytes([0x40]) + os.urandom(size - 1)
        came.append([size, [len(data) for data in answers_to(address, [datagram], 1.0)]])
    return {"answers": came}


def ticket_of(address, path):
    client = connected(address)
    client.answer(client.get(path))
    if not client.run(lambda: client.tickets):
        raise SystemExit("no session ticket came")
    client.close()
    return client.tickets[-1]


def early(address, safe, unsafe, authorization):
    """Requests before the handshake is done. The datagrams of the unsafe one are kept and said."""
    ticket = ticket_of(address, safe.encode())
    if not ticket.max_early_data_size:
        return {"offered": False}
    client = Client(address, ticket=ticket)
    client.open_control((1, 0), (7, 0))
    number = client.get(safe.encode())
    reply = client.answer(number)
    report = {"offered": True, "accepted": bool(client.was_early), "safe": reply.status}
    client.close()

    client = Client(address, ticket=ticket_of(address, safe.encode()))
    client.open_control((1, 0), (7, 0))
    fields = request(unsafe.encode(), b"POST", [
        (b"authorization", authorization.encode()),
        (b"content-length", b"0"),
    ])
    number = client.ask(frame(HEADERS, block(fields)))
    client.flush()
    flight = list(client.sent)
    reply = client.answer(number)
    report |= {"unsafe": reply.status, "unsafe_accepted": bool(client.was_early)}
    client.close()
    report["flight"] = [datagram.hex() for datagram in flight]
    return report


def replay(address):
    """Says datagrams again, as one who recorded them; they are lines of stdin."""
    flight = [bytes.fromhex(line.strip()) for line in sys.stdin if line.strip()]
    came = answers_to(address, flight, 2.0)
    return {"said": len(flight), "came": len(came)}


def illegal():
    """Name, what to do with a connection, and the errors of which one must end it."""
    get = frame(HEADERS, block(request(b"/health")))
    unexpected, closed, creation = 0x105, 0x104, 0x103
    frame_error, ids, bad_settings, missing = 0x106, 0x108, 0x109, 0x10A
    control = lambda payload: lambda c: c.quic.send_stream_data(c.control, payload)
    stream = lambda payload, end=True: lambda c: c.ask(payload, end)
    uni = lambda kind, payload=b"", end=False: lambda c: c.uni_stream(kind, payload, end)
    cases = [
        ("data before headers", stream(frame(DATA, b"x") + get), unexpected),
        ("settings on a request", stream(settings() + get), unexpected),
        ("a goaway on a request", stream(frame(GOAWAY, b"\0") + get), unexpected),
        ("a push limit on a request", stream(frame(MAX_PUSH_ID, b"\1") + get), unexpected),
        ("a cancelled push on a request", stream(frame(CANCEL_PUSH, b"\0") + get), unexpected),
        ("a promise of a client", stream(frame(PUSH_PROMISE, b"\0" + block([]))), unexpected),
        ("data on control", control(frame(DATA, b"x")), unexpected),
        ("headers on control", control(get), unexpected),
        ("a promise on control", control(frame(PUSH_PROMISE, b"\0\0\0")), unexpected),
        ("settings twice", control(settings()), unexpected),
        ("an empty goaway", control(frame(GOAWAY)), frame_error),
        ("a goaway with more", control(frame(GOAWAY, b"\0\0")), frame_error),
        ("an empty push limit", control(frame(MAX_PUSH_ID)), frame_error),
        ("a push limit that falls", control(frame(MAX_PUSH_ID, b"\5") + frame(MAX_PUSH_ID, b"\1")), ids),
        ("the end of control", lambda c: c.quic.send_stream_data(c.control, b"", True), closed),
        ("a reset of control", lambda c: c.quic.reset_stream(c.control, 0), closed),
        ("the end of the encoder", lambda c: c.quic.send_stream_data(c.encoder, b"", True), closed),
        ("a second control stream", uni(CONTROL, settings()), creation),
        ("a second encoder", uni(ENCODER), creation),
        ("a second decoder", uni(DECODER), creation),
        ("a push stream of a client", uni(PUSH, b"\0"), creation),
        ("half a frame", stream(get[:-3]), frame_error),
        ("half a length", stream(b"\1\x40"), frame_error),
        ("an unknown static field", stream(frame(HEADERS, b"\0\0\xff\x40")), 0x200),
        ("a dynamic field", stream(frame(HEADERS, b"\2\0\x80")), 0x200),
        ("a capacity past the limit", lambda c: c.quic.send_stream_data(
            c.encoder, prefixed(5, 0x20, 1 << 20)), 0x201),
        ("a reference to nothing", lambda c: c.quic.send_stream_data(c.encoder, b"\0"), 0x201),
        ("an increment of nothing", lambda c: c.quic.send_stream_data(c.decoder, b"\0"), 0x202),
        ("an increment past the end", lambda c: c.quic.send_stream_data(c.decoder, b"\5"), 0x202),
    ]
    # Frames of HTTP/2 that have no meaning here.
    for kind in (2, 6, 8, 9):
        cases.append((f"frame {kind} on a request", stream(frame(kind, b"\0\0\0\0") + get), unexpected))
        cases.append((f"frame {kind} on control", control(frame(kind, b"\0\0\0\0")), unexpected))
    starts = [
        ("no settings", lambda c: c.uni_stream(CONTROL, frame(GOAWAY, b"\0")), missing),
        ("a setting twice", lambda c: c.uni_stream(CONTROL, settings((6, 1), (6, 1))), bad_settings),
        ("half a setting", lambda c: c.uni_stream(CONTROL, frame(SETTINGS, b"\6")), (frame_error, bad_settings)),
        ("extended CONNECT as 2", lambda c: c.uni_stream(CONTROL, settings((8, 2))), bad_settings),
    ]
    for name in (2, 3, 4, 5):
        starts.append((
            f"setting {name} of HTTP/2",
            lambda c, name=name: c.uni_stream(CONTROL, settings((name, 1))),
            bad_settings,
        ))
    return cases, starts


# What quiche 0.30 does not look at, and what then must change nothing.
PASSED_OVER = {
    "a goaway with more",
    "half a frame",
    "half a length",
    "a capacity past the limit",
    "a reference to nothing",
    "an increment of nothing",
    "an increment past the end",
    "a setting twice",
    "half a setting",
} | {f"frame {kind} on {where}" for kind in (2, 6, 8, 9) for where in ("a request", "control")}


def frames(address):
    """Each illegal frame on a connection of its own; how the server ended it."""
    cases, starts = illegal()
    report = []
    for is_start, group in ((False, cases), (True, starts)):
        for what, act, errors in group:
            client = Client(address)
            client.shake()
            if not is_start:
                client.open_control((1, 0), (7, 0))
                # An answer: what came before it was looked at.
                client.answer(client.get(b"/health"))
            act(client)
            lenient = what in PASSED_OVER
            client.run(lambda: client.closed, 0.3 if lenient else 5.0)
            errors = errors if isinstance(errors, tuple) else (errors,)
            code = client.closed.error_code if client.closed else None
            good = code in errors
            if lenient and not good:
                if client.closed:
                    client.close()
                    client = connected(address)
                good = client.answer(client.get(b"/health")).status == 200
            report.append({"what": what, "wanted": errors, "code": code, "good": good})
            client.close()
    return {"cases": report}


def messages(address):
    """Requests whose frames are right and whose fields are not: each is refused, alone."""
    x = lambda *fields: block(request(b"/health", extra=fields))
    bad = [
        ("no method", block(request(b"/health", without=[b":method"]))),
        ("no scheme", block(request(b"/health", without=[b":scheme"]))),
        ("no path", block(request(b"/health", without=[b":path"]))),
        ("an empty path", block(request(b""))),
        ("a path without its slash", block(request(b"health"))),
        ("no authority and no host", block(request(b"/health", without=[b":authority"]))),
        ("an unknown pseudo field", x((b":odd", b"1"))),
        ("the field of a response", x((b":status", b"200"))),
        ("two methods", x((b":method", b"GET"))),
        ("two paths", x((b":path", b"/ready"))),
        ("a pseudo field after others",
            block([(b"accept", b"*/*")] + request(b"/health"))),
        ("a name in capitals", x((b"Accept", b"*/*"))),
        ("a name with a space", x((b"x y", b"1"))),
        ("an empty name", x((b"", b"1"))),
        ("a name with a colon", x((b"x:y", b"1"))),
        ("a value with a line's end", x((b"x", b"a\r\nb: c"))),
        ("a value with a NUL", x((b"x", b"a\0b"))),
        ("a field of one connection", x((b"connection", b"close"))),
        ("keep-alive", x((b"keep-alive", b"5"))),
        ("a coding of HTTP/1", x((b"transfer-encoding", b"chunked"))),
        ("an upgrade", x((b"upgrade", b"websocket"))),
        ("te that is no trailers", x((b"te", b"gzip"))),
        ("two hosts that differ", x((b"host", b"other"))),
        ("a path with a NUL", block(request(b"/he\0alth"))),
        ("a path with a line's end", block(request(b"/health\r\nx: y"))),
        ("a length that lies", x((b"content-length", b"5"))),
        ("two lengths", x((b"content-length", b"0"), (b"content-length", b"1"))),
    ]
    report = []
    client = connected(address)
    for what, fields in bad:
        if client.closed:
            client = connected(address)
        number = client.ask(frame(HEADERS, fields))
        reply = client.replies[number]
        client.run(lambda: reply.ended or reply.reset is not None or client.closed, 4.0)
        code = client.closed.error_code if client.closed else reply.reset
        good = code == 0x10E or 400 <= reply.status < 500
        report.append({"what": what, "status": reply.status, "code": code, "good": good})
    good = not client.closed and client.answer(client.get(b"/health")).status == 200
    report.append({"what": "a good one after all of them", "good": good})
    client.close()
    return {"cases": report}


def harmless(address):
    """What a server must pass over: frames, streams and settings that it does not know."""
    client = Client(address)
    client.shake()
    client.control = client.uni_stream(CONTROL, settings((0x21, 5), (0x1F * 3 + 0x21, 7), (7, 0)))
    client.uni_stream(0x1F * 7 + 0x21, b"anything at all", True)
    client.uni_stream(0x40)
    client.quic.send_stream_data(client.control, frame(0x1F * 9 + 0x21, b"grease"))
    client.quic.send_stream_data(client.control, frame(0x0F0700, b"\0u=0,i"))
    client.quic.send_stream_data(client.control, frame(MAX_PUSH_ID, b"\5"))
    get = frame(HEADERS, block(request(b"/health", extra=[(b"priority", b"u=1, i")])))
    grease = frame(0x1F * 5 + 0x21, b"grease" * 50)
    statuses = [client.answer(client.ask(grease + get + grease)).status]
    # A request in pieces of one byte.
    number = client.ask(b"", end=False)
    for at in range(len(get)):
        client.quic.send_stream_data(number, get[at:at + 1], at + 1 == len(get))
        client.flush()
    statuses.append(client.answer(number).status)
    # Given up in the middle, and others go on.
    half = client.ask(get[:9], end=False)
    client.flush()
    client.quic.reset_stream(half, 0x10C)
    statuses.append(client.answer(client.get(b"/health")).status)
    client.close()
    return {"statuses": statuses, "closed": str(client.closed)}


def websocket(address, path, file, size):
    """Extended CONNECT (RFC 9220): the payload of the first binary messages into `file`."""
    client = connected(address)
    offered = client.peer_settings().get(8, 0)
    if not offered:
        return {"offered": 0}
    fields = request(path.encode(), b"CONNECT", [
        (b":protocol", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"origin", b"https://localhost"),
    ])
    order = [b":method", b":protocol", b":scheme", b":authority", b":path"]
    fields.sort(key=lambda field: order.index(field[0]) if field[0] in order else 9)
    number = client.ask(frame(HEADERS, block(fields)), end=False)
    reply = client.replies[number]
    payload, rest, others = bytearray(), b"", []

    def take():
        nonlocal rest
        rest, reply.body = rest + bytes(reply.body), bytearray()
        while len(rest) >= 2:
            length, at = rest[1] & 0x7F, 2
            if length >= 126:
                wide = 2 if length == 126 else 8
                length, at = int.from_bytes(rest[2:2 + wide], "big"), 2 + wide
            if len(rest) < at + length:
                break
            if rest[0] == 0x82:
                payload.extend(rest[at:at + length])
            else:
                others.append((rest[0], rest[at:at + length].decode("latin-1")))
            rest = rest[at + length:]
        return len(payload) >= int(size) or reply.ended or client.closed

    client.run(take, 30.0)
    with open(file, "wb") as out:
        out.write(payload)
    # A ping in two pieces, answered by a pong.
    client.quic.send_stream_data(number, frame(DATA, b"\x89\x84\0\0"))
    client.flush()
    client.quic.send_stream_data(number, frame(DATA, b"\0\0ping"))
    client.run(lambda: take() and others, 5.0)
    # Goes away in order: a close, answered by one; then the stream ends.
    client.quic.send_stream_data(number, frame(DATA, b"\x88\x82\0\0\0\0\x03\xe8"))
    client.run(lambda: take() and (reply.ended or reply.reset is not None), 5.0)
    report = {"offered": offered, "status": reply.status, "bytes": len(payload),
              "others": others, "rest": len(rest), "ended": reply.ended, "reset": reply.reset}
    client.close()
    return report


def priorities(address, low, high):
    """A big body of low urgency, then a small one of high: which ends first."""
    client = connected(address, window=1 << 22)
    first = client.get(low.encode(), [(b"priority", b"u=7")])
    client.run(lambda: len(client.replies[first].body) > 0)
    second = client.get(high.encode(), [(b"priority", b"u=0")])
    client.answer(second)
    before = client.replies[first].ended
    reply = client.answer(first, 60.0)
    client.close()
    return {"overtaken": not before, "bytes": len(reply.body)}


def main():
    tasks = {
        task.__name__: task
        for task in (get, crowded, listen, key_update, migrate, versions, amplification, resets, early,
                     replay, frames, messages, harmless, websocket, priorities)
    }
    name, host, port, *arguments = sys.argv[1:]
    report = tasks[name]((host, int(port)), *arguments)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
