"""HTTP/1 as four programs read it: raw requests, each with a good one behind it, go to corecast and
to nginx, Caddy, Node (llhttp) and h11. What counts is which requests are taken, and where the next
one begins.

    grammar.py CORECAST_PORT [WORD ...]      WORDs choose classes of requests
    grammar.py --alone CORECAST_PORT         only h11 is asked beside corecast
    grammar.py --list                        prints the requests

The others are started here and ended; corecast runs already. Exit status 1 where corecast takes
what another one refuses, or ends a body elsewhere, and `KNOWN` says nothing of it.
"""

import concurrent.futures
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

MARKER = b"GET /marker HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n"

# Statuses of a request that was not understood; any other one was.
REFUSALS = {400, 408, 411, 413, 414, 417, 421, 431, 494, 501, 502, 505}

# How long a server may think about bytes that may be a whole request.
PATIENCE_S = 3.0

# What corecast does otherwise than one of the others, on purpose: why, and the requests' names.
REASONS = {
    "a tab is white space beside a value (RFC 9110 section 5.5)": [
        r"length:  \t5\t ", r"coding: \tchunked\t"],
    "Node ends a connection for what comes behind a request before it answers that": [
        "length: Content_Length", "length: none, but a body", "length: of 1.0",
        "coding: Transfer_Encoding", "coding: Transfer_Encoding and a length",
        "coding: a connection's close, Transfer-Encoding",
        "head: a space behind a body", "head: one of 1.0 first", "head: one behind the last",
        "head: no field of 1.0", "field: Connection: close, keep-alive"],
    "extensions of chunks are passed over (RFC 9112 section 7.1.1)": [
        r"chunk: 5; a=b\r\nhello\r\n0\r\n\r\n", r"chunk: 5;\r\nhello\r\n0\r\n\r\n",
        r"chunk: 5;a=\xff\r\nhello\r\n0\r\n\r\n"],
    "trailers say nothing here (RFC 9110 section 6.5.1)": [
        r"chunk: 5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        r"chunk: 5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    "OPTIONS of the whole server (RFC 9110 section 9.3.7)": ["line: OPTIONS * HTTP/1.1"],
    "mounts are called as their sources write them, in UTF-8 too": [
        r"line: GET /a\xc3\xa9 HTTP/1.1"],
    "no path leads to a file: dots are letters": ["line: GET /../.. HTTP/1.1"],
    "empty lines before a request are passed over (RFC 9112 section 2.2)": [
        r"head: before it \r\n", "head: an empty line behind a body",
        "head: an empty line behind chunks"],
    "a connection of HTTP/1.0 stays where it asks for that": ["head: one of 1.0 that stays"],
    "a host may be empty (RFC 9112 section 3.2) or any name (RFC 3986 section 3.2.2)": [
        "host: ", "host:  ", "host: .", "host: ..", "host: a..b"],
    "16 KiB of head are allowed; nginx allows 8 KiB for a line": ["field: 10,000 bytes"],
    "an expectation may be passed over (RFC 9110 section 10.1.1)": [
        "field: Expect: x", "field: expects x"],
}
KNOWN = {name: why for why, names in REASONS.items() for name in names}

NODE = """
const http = require('node:http');
const server = http.createServer((request, response) => {
    let bytes = 0;
    request.on('data', (data) => { bytes += data.length; });
    request.on('end', () => response.end(`${request.method} ${request.url} ${bytes}`));
    request.on('error', () => response.destroy());
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.argv[1]), '127.0.0.1');
"""


def head(line=b"GET / HTTP/1.1", fields=(b"Host: t",)):
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n"


def post(*fields, body=b"", line=b"POST / HTTP/1.1"):
    return head(line, (b"Host: t", *fields)) + body


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"
TE = b"Transfer-Encoding: chunked"
# A chunked body that ends where its length says something else.
DOUBLE = b"0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"


def lengths():
    for value in [
        b"5", b"05", b"0005", b"+5", b"-5", b"5 ", b" \t5\t ", b"5 5", b"5,5", b"5, 5", b"5,6",
        b"5,", b",5", b"0x5", b"5.0", b"5e0", b"", b" ", b"5;a", b"\x0b5", b"5\x0b", b"5\x0c",
        b"5\x00", b"\x005", b"5_", b'"5"', b"\xd9\xa5", b"18446744073709551621",
        b"9223372036854775813", b"4294967301", b"5\r", b"5\r\n 5", b"\r\n 5",
    ]:
        yield post(b"Content-Length: " + value, body=b"hello"), value
    for one, two in [(b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0"), (b"5", b"")]:
        fields = (b"Content-Length: " + one, b"Content-Length: " + two)
        yield post(*fields, body=b"hello"), one + b" and " + two
    for name in [
        b"Content-Length ", b" Content-Length", b"Content_Length", b"content-length",
        b"Content-Length\t", b"Content-Length\x00", b"\rContent-Length", b"Content Length",
    ]:
        yield post(name + b": 5", body=b"hello"), name
    yield post(b"Content-Length:5", body=b"hello"), b"no space"
    yield post(b"Content-Length: 5\nX: y", body=b"hello"), b"LF behind it"
    yield post(b"X: y\nContent-Length: 5", body=b"hello"), b"LF before it"
    yield post(b"X: y\rContent-Length: 5", body=b"hello"), b"CR before it"
    yield post(body=b"hello"), b"none, but a body"
    yield post(b"Content-Length: 5", body=b"hello", line=b"GET / HTTP/1.1"), b"of GET"
    yield post(b"Content-Length: 5", body=b"hello", line=b"HEAD / HTTP/1.1"), b"of HEAD"
    yield post(b"Content-Length: 5", body=b"hello", line=b"OPTIONS / HTTP/1.1"), b"of OPTIONS"
    yield post(b"Content-Length: 5", body=b"hello", line=b"POST / HTTP/1.0"), b"of 1.0"


def codings():
    for value in [
        b"chunked", b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked\t", b"\x0bchunked",
        b"chunked\x0b", b"\x0cchunked", b"chunked;a", b"chunked;q=1", b'"chunked"', b"'chunked'",
        b"xchunked", b"chunkedx", b"chunke", b"chunk ed", b":chunked", b"identity",
        b"identity, chunked", b"chunked, identity", b"chunked, chunked", b"chunked chunked",
        b"gzip, chunked", b"chunked, gzip", b"gzip", b"deflate", b"chunked,", b",chunked",
        b", chunked", b"chunked,,", b"", b" ", b"\x00chunked", b"chunked\x00", b"\r\n chunked",
        b"chunked\r\n ", b"chunked\r\n x", b"x\r\n chunked", b"chun\xc5\xbeed", b"\xa0chunked",
        b"chunked\xa0", b"\xef\xbb\xbfchunked",
    ]:
        field = b"Transfer-Encoding: " + value
        yield post(field, body=CHUNKED), value
        yield post(b"Content-Length: 6", field, body=DOUBLE), value + b" behind a length"
        yield post(field, b"Content-Length: 6", body=DOUBLE), value + b" before a length"
    for name in [b"Transfer-Encoding ", b" Transfer-Encoding", b"Transfer-Encoding\t",
                 b"Transfer_Encoding", b"TRANSFER-ENCODING", b"Transfer-Encoding\x00",
                 b"\rTransfer-Encoding", b"Transfer\r\n -Encoding", b"Transfer-Encoding\x0b",
                 b"Transfer-Encoding\xa0", b"X: y\nTransfer-Encoding", b"X: y\rTransfer-Encoding",
                 b"X:\r\n Transfer-Encoding", b"Transfer-Encoding\r\n "]:
        field = name + b": chunked"
        yield post(field, body=CHUNKED), name
        yield post(b"Content-Length: 6", field, body=DOUBLE), name + b" and a length"
    for one, two in [
        (b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked"),
        (b"gzip", b"chunked"), (b"chunked", b"x"), (b"", b"chunked"),
    ]:
        fields = (b"Transfer-Encoding: " + one, b"Transfer-Encoding: " + two)
        yield post(*fields, body=CHUNKED), one + b" and " + two
    for line in [b"POST / HTTP/1.0", b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"HEAD / HTTP/1.1",
                 b"OPTIONS / HTTP/1.1"]:
        yield post(TE, body=CHUNKED, line=line), b"chunked of " + line
    keep = b"Connection: keep-alive"
    yield post(TE, keep, body=CHUNKED, line=b"POST / HTTP/1.0"), b"chunked of 1.0 that stays"
    for named in [b"Transfer-Encoding", b"Content-Length", b"close, Transfer-Encoding"]:
        yield post(TE, b"Connection: " + named, body=CHUNKED), b"a connection's " + named


def chunks():
    for body in [
        b"5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"A\r\nhellohello\r\n0\r\n\r\n", b"a\r\nhellohello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n00\r\n\r\n", b"0\r\n\r\n", b"\r\nhello\r\n0\r\n\r\n",
        b"five\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n", b"5h\r\nhello\r\n0\r\n\r\n", b"0_5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n", b"\t5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n", b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        b"5; a=b\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n", b"5;a\r\nhello\r\n0\r\n\r\n",
        b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b'5;a="\n"\r\nhello\r\n0\r\n\r\n', b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5;a\x00\r\nhello\r\n0\r\n\r\n",
        b"5;a\x01\r\nhello\r\n0\r\n\r\n", b"5;a\x7f\r\nhello\r\n0\r\n\r\n",
        b"5;a=\xff\r\nhello\r\n0\r\n\r\n", b"5,5\r\nhello\r\n0\r\n\r\n",
        b"5\x00\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n", b"5\r\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n", b"6\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\n\n",
        b"5\r\nhello\r\n0\r\r\n", b"5\r\nhello\r\n0\r\n\r", b"5\r\nhello\r\n-0\r\n\r\n",
        b"5\r\nhello\r\n0;a=b\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffb\r\nhello\r\n0\r\n\r\n", b"8000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\n\r\n", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX\r\n\r\n", b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", b"5\r\nhello\r\n0\r\n: y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", b"5\r\nhello\r\n0\r\nX: \x01\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX[]: y\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\rZ: w\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: x\r\n\r\n", b"5;" + b"e" * 20_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"1;eeeeeeee\r\nx\r\n" * 4_000 + b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 3_000 + b"\r\n",
    ]:
        yield post(TE, body=body), body


def lines():
    for line in [
        b"GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ", b"GET\t/\tHTTP/1.1", b"GET /\tHTTP/1.1", b"GET\x0b/ HTTP/1.1",
        b"GET / HTTP/1.1\r", b"GET /\r HTTP/1.1", b"GET\r/ HTTP/1.1", b"GET /", b"GET / ",
        b"GET", b"GET / HTTP", b"GET / HTTP/", b"GET / HTTP/1", b"GET / HTTP/1.",
        b"GET / HTTP/.1", b"GET / HTTP/1.2", b"GET / HTTP/1.9", b"GET / HTTP/1.10",
        b"GET / HTTP/01.1", b"GET / HTTP/1.01", b"GET / HTTP/1.1.1", b"GET / HTTP/0.9",
        b"GET / HTTP/2.0", b"GET / HTTP/3.0", b"GET / HTTP/9.9", b"GET / http/1.1",
        b"GET / HTTP /1.1", b"GET / HTTP/ 1.1", b"GET / HTTP/+1.1", b"GET / HTTP/1,1",
        b"GET / HTTP/1.x", b"GET / HTTPS/1.1", b"GET / XTTP/1.1", b"GET / ICY/1.1",
        b"GET / ICE/1.0", b"get / HTTP/1.1", b"Get / HTTP/1.1", b"FOO / HTTP/1.1",
        b"G@T / HTTP/1.1", b"G(T / HTTP/1.1", b"G\x00T / HTTP/1.1", b"\x00GET / HTTP/1.1",
        b"GET\xff / HTTP/1.1", b": / HTTP/1.1", b"PRI * HTTP/2.0", b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"OPTIONS / HTTP/1.1", b"TRACE / HTTP/1.1", b"CONNECT / HTTP/1.1",
        b"CONNECT t:80 HTTP/1.1", b"GET t:80 HTTP/1.1", b"GET x HTTP/1.1", b"GET ?x HTTP/1.1",
        b"GET http://t/ HTTP/1.1", b"GET http://other/ HTTP/1.1", b"GET HTTP://t/ HTTP/1.1",
        b"GET https://t/ HTTP/1.1", b"GET http:///x HTTP/1.1", b"GET http://u@t/ HTTP/1.1",
        b"GET http://t:x/ HTTP/1.1", b"GET http://t\\@u/ HTTP/1.1", b"GET http:/t/ HTTP/1.1",
        b"GET ftp://t/ HTTP/1.1", b"GET // HTTP/1.1", b"GET //t/ HTTP/1.1", b"GET /a b HTTP/1.1",
        b"GET /a#b HTTP/1.1", b"GET /a\\b HTTP/1.1", b"GET /%00 HTTP/1.1", b"GET /% HTTP/1.1",
        b"GET /%zz HTTP/1.1", b"GET /a\x00 HTTP/1.1", b"GET /a\x01 HTTP/1.1",
        b"GET /a\x7f HTTP/1.1", b"GET /a\xff HTTP/1.1", b"GET /a\xc3\xa9 HTTP/1.1",
        b'GET /"a" HTTP/1.1', b"GET /<a> HTTP/1.1", b"GET /{a}|^` HTTP/1.1",
        b"GET /../.. HTTP/1.1", b"GET /a?b?c HTTP/1.1", b"GET /a?b\x01 HTTP/1.1",
        b"GET /a?b\xff HTTP/1.1", b"GET /a?\"<>` HTTP/1.1",
        b"GET /" + b"a" * 9_000 + b" HTTP/1.1", b"GET / HTTP/1.1\nX: y", b"GET / HTTP/1.1\rX: y",
    ]:
        yield head(line), line


def heads():
    good = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
    yield b"GET / HTTP/1.1\nHost: t\n\n", b"only LF"
    yield b"GET / HTTP/1.1\r\nHost: t\n\r\n", b"LF behind a field"
    yield b"GET / HTTP/1.1\r\nHost: t\r\n\n", b"LF at the end"
    yield b"GET / HTTP/1.1\nHost: t\r\n\r\n", b"LF behind the line"
    yield b"GET / HTTP/1.1\rHost: t\r\r", b"only CR"
    yield b"GET / HTTP/1.1\r\r\nHost: t\r\n\r\n", b"CR CR LF"
    for before in [
        b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b" \r\n", b"\x00", b"\xef\xbb\xbf",
        b"\x16\x03\x01", b"X: y\r\n", b"\r\n" * 50,
    ]:
        yield before + good, b"before it " + before
    yield post(b"Content-Length: 5", body=b"hello\r\n"), b"an empty line behind a body"
    yield post(b"Content-Length: 5", body=b"hello\n"), b"LF behind a body"
    yield post(b"Content-Length: 5", body=b"hello "), b"a space behind a body"
    yield post(TE, body=CHUNKED + b"\r\n"), b"an empty line behind chunks"
    yield good + good, b"two at once"
    yield post(b"Content-Length: 5", body=b"hello") + post(TE, body=CHUNKED), b"two with bodies"
    yield head(b"GET / HTTP/1.0") + good, b"one of 1.0 first"
    yield head(b"GET / HTTP/1.0", (b"Connection: keep-alive",)) + good, b"one of 1.0 that stays"
    yield head(fields=(b"Host: t", b"Connection: close")) + good, b"one behind the last"
    yield b"GET / HTTP/1.1\r\n\r\n", b"no field"
    yield b"GET / HTTP/1.0\r\n\r\n", b"no field of 1.0"
    yield b"GET /\r\n", b"HTTP/0.9"
    yield b"GET / HTTP/1.1\r\n Host: t\r\n\r\n", b"a fold before any field"
    yield b"GET / HTTP/1.1\r\n\r\nHost: t\r\n\r\n", b"an empty line before the fields"


def hosts():
    for value in [
        b"t", b"t:80", b"t:", b"t:0", b"t:65536", b"t:99999999999", b"t:x", b"t:80:81", b"",
        b" ", b"a b", b"a,b", b"a, b", b"a/b", b"a?b", b"a#b", b"a@b", b"a\\b", b"<a>", b"a\x00",
        b"a\x01", b"a\x7f", b"a\xff", b"\xc3\xa9", b"http://a", b"[::1]", b"[::1]:80", b"[::1",
        b"::1", b"[a]", b"[]", b"a%00", b"a%20b", b"a_b", b"a;b", b"'a'", b'"a"', b"{a}", b"a|b",
        b"a^b", b"`a`", b".", b"..", b"a..b", b"-", b"a" * 300, b"t\r\n u",
    ]:
        yield head(fields=(b"Host: " + value,)), value
    for one, two in [(b"t", b"t"), (b"t", b"u"), (b"", b"t")]:
        yield head(fields=(b"Host: " + one, b"Host: " + two)), one + b" and " + two
    for name in [b"Host ", b" Host", b"Host\t", b"Host\x00", b"host", b"HOST", b"X: y\nHost"]:
        yield head(fields=(name + b": t",)), name
    yield head(b"GET http://t/ HTTP/1.1", (b"X: y",)), b"only in the target"
    yield head(b"GET http://t/ HTTP/1.1", (b"Host: u",)), b"another in the target"
    yield head(b"GET / HTTP/1.0", (b"Host: a", b"Host: b")), b"two in 1.0"


def fields():
    for field in [
        b"X: y", b"X:y", b"X:\ty\t", b"X:", b"X: ", b"X", b"X y", b": y", b":", b" : y", b"X : y",
        b"X\t: y", b" X: y", b"\tX: y", b"X: y\r\n z", b"X: y\r\n\tz", b"X: y\r\n ", b"X:\r\n y",
        b"X: a\rb", b"X: a\r\r", b"X: a\nb", b"X: a\nb: c", b"X\n: y", b"X\r: y", b"X: \x00",
        b"X\x00: y", b"\x00: y", b"X: \xff", b"X\xff: y", b"X: \xc3\xa9", b"X: \x80",
        b"X: y\x00", b"X: y\x1b", b"X: \"\x00\"",
    ]:
        yield head(fields=(b"Host: t", field)), field
    for byte in [*range(1, 9), *range(11, 32), 127]:
        if byte not in (13,):
            bad = bytes([byte])
            yield head(fields=(b"Host: t", b"X: a" + bad + b"b")), b"in a value: " + bad
            yield head(fields=(b"Host: t", b"X" + bad + b": y")), b"in a name: " + bad
    for byte in b'"(),/:;<=>?@[\\]{}!#$%&\'*+-.^_`|~':
        bad = bytes([byte])
        yield head(fields=(b"Host: t", b"X" + bad + b"Y: z")), b"in a name: " + bad
    yield head(fields=(b"Host: t", b"X: " + b"y" * 10_000)), b"10,000 bytes"
    yield head(fields=(b"Host: t", b"X: " + b"y" * 70_000)), b"70,000 bytes"
    yield head(fields=(b"Host: t", b"X" * 70_000 + b": y")), b"a name of 70,000 bytes"
    yield head(fields=(b"Host: t", *[b"X: y"] * 60)), b"60 fields"
    yield head(fields=(b"Host: t", *[b"X: y"] * 5_000)), b"5,000 fields"
    yield head(fields=(b"Host: t", *[b"X"] * 3)), b"fields without colons"
    for extra in [
        b"Connection: close, keep-alive", b"Connection: ,", b"Connection:", b"Connection: Host",
        b"Upgrade: h2c", b"Upgrade: websocket", b"Expect: x", b"Keep-Alive: timeout=x",
        b"TE: chunked", b"TE: trailers", b"Trailer: X", b"Trailer: Content-Length",
        b"Content-Encoding: chunked", b"Proxy-Connection: x",
    ]:
        yield head(fields=(b"Host: t", extra)), extra
    for expect in [b"100-continue", b"100-Continue", b"100-continue, x", b"\t100-continue", b"x"]:
        yield post(b"Expect: " + expect, b"Content-Length: 5", body=b"hello"), b"expects " + expect


CLASSES = {
    "length": lengths, "coding": codings, "chunk": chunks, "line": lines, "head": heads,
    "host": hosts, "field": fields,
}


def cases(wanted):
    found = {}
    for name, make in CLASSES.items():
        if wanted and name not in wanted:
            continue
        for request, what in make():
            what = f"{name}: " + ascii(what[:60].decode("latin-1"))[1:-1]
            again = sum(known.startswith(what) for known in found)
            found[f"{what} ({again + 1})" if what in found else what] = request
    return found


def answers(data, request):
    """The statuses in what a server said, interim ones left out; ends at what is no answer."""
    found, of_head = [], request.startswith(b"HEAD ")
    while data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")) and b"\r\n\r\n" in data:
        top, data = data.split(b"\r\n\r\n", 1)
        status = int(top[9:12])
        if status < 200:
            continue
        found.append(status)
        fields = dict(line.lower().split(b":", 1) for line in top.split(b"\r\n")[1:])
        if of_head:
            of_head = False
        elif b"chunked" in fields.get(b"transfer-encoding", b""):
            end = data.find(b"0\r\n\r\n")
            data = data[end + 5:] if end >= 0 else b""
        else:
            data = data[int(fields.get(b"content-length", b"0")):]
    if data and not found:
        found.append(0)
    return found


def signature(statuses, ended):
    """A letter for each answer: taken or refused. `.` where the connection stays, and nothing more
    is said in time."""
    words = "".join("r" if status in REFUSALS else "A" for status in statuses)
    return words + ("" if ended else ".")


def ask(port, request):
    data, ended = b"", False
    with socket.create_connection(("127.0.0.1", port), 10) as stream:
        stream.settimeout(PATIENCE_S)
        try:
            stream.sendall(request + MARKER)
        except OSError:
            pass
        while True:
            try:
                piece = stream.recv(65_536)
            except TimeoutError:
                break
            except OSError:
                ended = True
                break
            if not piece:
                ended = True
                break
            data += piece
    return signature(answers(data, request), ended)


def ask_h11(request):
    import h11

    peer = h11.Connection(our_role=h11.SERVER)
    statuses = []
    try:
        peer.receive_data(request + MARKER)
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return signature(statuses, False)
            if event is h11.PAUSED:
                if peer.our_state is h11.MUST_CLOSE:
                    return signature(statuses, True)
                peer.start_next_cycle()
            elif isinstance(event, h11.EndOfMessage):
                # Not 200, which would open a tunnel where CONNECT asked.
                peer.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                peer.send(h11.EndOfMessage())
                statuses.append(200)
                if peer.our_state is h11.MUST_CLOSE:
                    return signature(statuses, True)
                if peer.their_state is h11.DONE:
                    peer.start_next_cycle()
    except h11.RemoteProtocolError:
        return signature([*statuses, 400], True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write(folder, name, text):
    path = pathlib.Path(folder, name)
    path.write_text(text)
    return path


class Peers:
    """The other servers. nginx and Caddy pass requests on to a Node of their own, so that they have
    to read all of a body."""

    def __init__(self, folder, alone):
        self.folder = folder
        self.alone = alone
        self.running = []
        self.ports = {}

    def __enter__(self):
        if self.alone:
            return self
        behind = self.start_node("behind")
        port = free_port()
        paths = "".join(
            f"{name}_temp_path {self.folder}/{name};"
            for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        conf = write(self.folder, "nginx.conf", f"""
            daemon off; master_process off; pid {self.folder}/pid; error_log stderr crit;
            events {{ }}
            http {{ {paths} access_log off; server {{ listen 127.0.0.1:{port};
                location / {{ proxy_pass http://127.0.0.1:{behind}; }} }} }}""")
        command = ["nginx", "-p", self.folder, "-c", str(conf), "-e", "stderr"]
        self.ports["nginx"] = self.start(command, port)
        port = free_port()
        conf = write(self.folder, "Caddyfile", f"""{{
            admin off
            auto_https off
        }}
        http://:{port} {{
            bind 127.0.0.1
            reverse_proxy 127.0.0.1:{behind}
        }}
        """)
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(conf)]
        self.ports["caddy"] = self.start(command, port)
        self.ports["node"] = self.start_node("node")
        return self

    def start_node(self, name):
        port = free_port()
        script = write(self.folder, f"{name}.js", NODE)
        text = f"process.argv[1] = '{port}'; require('{script}')"
        return self.start(["node", "-e", text], port)

    def start(self, command, port):
        folder = dict.fromkeys(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"], self.folder)
        path = os.environ["PATH"] + ":/usr/sbin"
        told = pathlib.Path(self.folder, "log")
        log = open(told, "ab")
        environment = {**os.environ, **folder, "PATH": path}
        self.running.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return port
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{command[0]} does not start:\n{told.read_text(errors='replace')}")

    def __exit__(self, *_):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()


def differs(ours, theirs):
    """Whether corecast takes what another refuses, or finds other requests in the same bytes."""
    if ours in ("", "r") or ours == theirs:
        return False
    # We end it with what comes next, and they go on.
    if ours[-1] == "r" and theirs.startswith((ours, ours[:-1] + "A")):
        return False
    refused = theirs.lstrip("A").rstrip(".")[:1] == "r" or theirs == ""
    return refused or ours.count("A") != theirs.count("A")


def main(arguments):
    if arguments == ["--list"]:
        for name, request in cases(()).items():
            print(name, ascii(request.decode("latin-1"))[:200])
        return 0
    alone = arguments[0] == "--alone"
    ours, *wanted = arguments[alone:]
    wanted = set(wanted)
    with tempfile.TemporaryDirectory() as folder, Peers(folder, alone) as peers:
        servers = {"corecast": int(ours), **peers.ports}
        table = {}
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            asked = {
                (name, server): pool.submit(ask, port, request)
                for name, request in cases(wanted).items()
                for server, port in servers.items()
            }
            for name, request in cases(wanted).items():
                row = {server: asked[name, server].result() for server in servers}
                row["h11"] = ask_h11(request)
                table[name] = row
    return report(table)


def report(table):
    stricter, alike, looser = 0, 0, []
    for name, row in table.items():
        ours, others = row["corecast"], [server for server in row if server != "corecast"]
        against = [other for other in others if differs(ours, row[other])]
        if against:
            looser.append((name, row, against))
        elif ours in ("", "r") and any("A" in row[other] for other in others):
            stricter += 1
        else:
            alike += 1
    print(f"{len(table)} requests: {alike} read alike, {stricter} refused that others take, "
          f"{len(looser)} taken or ended otherwise")
    print("a letter for each answer: A taken, r refused; . nothing more is said")
    unknown = 0
    for name, row, against in looser:
        known = KNOWN.get(name)
        unknown += known is None
        said = " ".join(f"{server}={said or '-'}" for server, said in row.items())
        print(f"{'known  ' if known else 'UNKNOWN'} {name}\n        {said}  {known or ''}")
    return int(unknown > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
