# SPDX-License-Identifier: MIT
"""The model's site: resources with versions, an origin that serves and fails as told, and a record of every fetch.

A body is a function of URL, variant, user and version, so that a mixed, shifted, truncated or foreign one is seen; the
field X-Fetch names the fetch (or the 304) that a response comes from. Times are those of one clock.
"""
import asyncio
import functools
import hashlib
import math
import re
import time

from . import model_http, model_ranges

FOLDERS = ("long", "short", "route", "swr", "sie", "priv", "mine", "auth", "sess", "q", "users", "part")
SIZES = (0, 60, 60, 500, 500, 3000, 3000, 20000, 120000, 400000)
SIZES_OF = {"herd": SIZES[1:7], "fill": (60, 500, 3000, 20000)}
MAX_OBJECT = 256 * 1024
TOO_LARGE = 450_000  # of what grows: over the disk's max_object too
ROUTE_TTL_S = 0.3  # also written by a reload as ROUTE_TTL_LONG_S
ROUTE_TTL_LONG_S = 0.7
FIRST_BYTE_S = 2.0
FAILURE_MEMORY_S = 0.5
COALESCE_S = 1.0
PASS_MEMORY_S = 3.0
# An error's status, and what it says besides that keeps it from being shared.
ERRORS = ("e500", "e503", "e429", "e404", "e302", "e403", "e500 private", "e503 no-store", "e404 no-store", "e500 cookie",
          "e503 vary", "e429 private", "e403 cookie")
ERROR_FIELDS = {"": {}, "private": {"Cache-Control": "private"}, "no-store": {"Cache-Control": "no-store"},
                "cookie": {"Set-Cookie": "sid=1"}, "vary": {"Vary": "*"}}
FAULTS = ("reset_head", "reset_body", "short", *ERRORS, "slow", "drip", "hang", "garbage")
OWN_FIELDS = ("x-variant", "x-user", "authorization", "cookie")
KEEP_S = 200  # longer than any response may live

clock = time.monotonic


def config(route_ttl_s=ROUTE_TTL_S):
    """Sections of proxy.ini for the site."""
    def ms(s):
        return f"{int(s * 1000)}ms"
    return {
        "proxy": {"log_level": "error", "client_header_timeout": "60s"},  # the clients may stand still with the model's process
        "upstream": {"first_byte_timeout": ms(FIRST_BYTE_S), "stall_timeout": ms(FIRST_BYTE_S), "max_connections": 64},
        "cache": {"memory": "4M", "max_object": str(MAX_OBJECT), "coalesce_timeout": ms(COALESCE_S),
                  "failure_memory": ms(FAILURE_MEMORY_S), "pass_memory": ms(PASS_MEMORY_S)},
        "defaults": {"stale_if_unreachable": "0", "stale_if_error": "0", "stale_while_revalidate": "0", "client_refresh": "on"},
        "route route": {"match": "/route/*", "ttl": ms(route_ttl_s)},
        "route sie": {"match": "/sie/*", "ttl": ms(ROUTE_TTL_S), "stale_if_error": "2s"},
        "route sess": {"match": "/sess/*", "ttl": ms(ROUTE_TTL_S)},
        "route mine": {"match": "/mine/*", "scope": "user", "user_from": "header:X-User", "max_entries_per_user": 4},
        "route q": {"match": "/q/*", "query": "sort"},
        "route part": {"match": "/part/*", "range_fill": "pass"},
        "route pass": {"match": "/fill/pass-*", "range_fill": "pass"},
        "route user": {"match": "/users/{id}", "invalidates": "/users/{id} /users/{id}/posts /users?*".replace(" ", ", ")},
    }


@functools.lru_cache(maxsize=512)
def body_of(path, variant, user, version):
    name = f"{path}|{variant}|{user}|{version}"
    size = number_of(path, "size", SIZES_OF.get(path.split("/")[1], SIZES))
    if path.startswith("/fill/large"):
        size = MAX_OBJECT + 20000
    elif size < 20000 and not path.startswith("/fill/") and number_of(path, "grows", (False, False, True)) and version % 3 == 0:
        size = TOO_LARGE  # and shrinks with the next version
    size = size and size + (version * 7 + len(variant)) % 50
    mark = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
    lines = [f"{name} {size} {mark}"] + [f"{i * 34:08d} {mark}" for i in range(size // 34 + 1)]
    return "\n".join(lines).encode()[:size]


@functools.lru_cache(maxsize=None)
def number_of(path, what, choices):
    """One of choices, always the same for this path."""
    n = int.from_bytes(hashlib.blake2b(f"{what} {path}".encode(), digest_size=4).digest(), "big")
    return choices[n % len(choices)]


class Resource:
    def __init__(self, path):
        self.path, self.version, self.is_deleted = path, 1, False
        self.folder = path.split("/")[1].split("?")[0]
        self.varies = number_of(path, "varies", (False, True)) and self.folder in ("long", "swr", "short", "route", "sie")
        self.has_etag = number_of(path, "etag", (True, True, True, False))
        self.is_chunked = number_of(path, "chunked", (False, True))
        self.faults = []
        self.written = []  # (when acknowledged, version): nothing older may be seen by who asks later
        self.refreshed = []  # (asked, acknowledged)
        self.mood = None  # a fault that lasts
        self.fetches = []  # the last ones
        self.stored_at = 0  # when a response was certainly stored, for errors that come in a row
        self.shown = {}  # (variant, user): (when a client had all of it, when the newest such fetch was seen)

    def etag(self, variant, user):
        """The 404 of a deleted resource bears the tag that the resource will have when it is back, as a page made of a template
        may: a validation of the 404 by that tag is answered with a 304 about the page."""
        return f'"{self.version + self.is_deleted}.{variant}.{user}"'

    @property
    def tags(self):
        return {self.folder, number_of(self.path, "tag", ("even", "odd"))}

    def lifetime(self):
        """ttl, stale_while_revalidate, stale_if_error in s, and the fields that say so."""
        is_long = number_of(self.path, "life", (False, True))
        if self.folder == "route":
            return ROUTE_TTL_LONG_S, 0, 0, {}
        if self.folder == "sie":
            return ROUTE_TTL_S, 0, 2, {}
        if self.folder == "fill" and "/private" in self.path:
            return 0, 0, 0, {"Cache-Control": "private"}
        if self.folder == "fill" and "/nostore" in self.path:
            return 0, 0, 0, {"Cache-Control": "no-store"}
        if self.folder == "short" or (self.folder == "part" and not is_long) or (self.folder == "mine" and not is_long):
            return 1, 0, 0, {"Cache-Control": "max-age=1" + (", private" if self.folder == "mine" else "")}
        if self.folder == "mine":
            return 60, 0, 0, {"Cache-Control": "private, max-age=60"}
        if self.folder == "swr":
            s = 60 if is_long else 1
            return s, s, 0, {"Cache-Control": f"max-age={s}, stale-while-revalidate={s}"}
        if self.folder == "auth":
            return 60, 0, 0, {"Cache-Control": "max-age=60" + (", public" if is_long else "")}
        if self.folder == "sess":  # by the route's word for visitors, by its own for all
            return (60, 0, 0, {"Cache-Control": "max-age=60"}) if is_long else (ROUTE_TTL_S, 0, 0, {})
        if self.folder == "priv":
            kind = ("no-store", "private", "max-age=1")[self.version % 3]
            return (1 if self.version % 3 == 2 else 0), 0, 0, {"Cache-Control": kind}
        return 60, 0, 0, {"Cache-Control": "max-age=60"}


def form_of(fields):
    """What a request has beyond its URL: everything for which the origin may answer it differently."""
    return tuple((n, fields[n]) for n in OWN_FIELDS if fields.get(n))


class Fetch:
    """One request that the origin saw, and what it answered."""

    def __init__(self, number, resource, request):
        self.number, self.resource, self.path = number, resource, resource.path
        self.method = request.start.split(" ")[0]
        self.variant = request.get("x-variant", "") if resource.varies else ""
        self.user = request.get({"mine": "x-user", "auth": "authorization"}.get(resource.folder, "-"), "")
        if resource.folder == "sess":
            self.user = "".join(re.findall(r"sid=(\w+)", request.get("cookie", "")))
        self.form = form_of({n: request.get(n) for n in OWN_FIELDS})
        # A response to credentials is not given to others, nor theirs to a request with credentials.
        self.has_credential = any(n == "authorization" or "sid=" in v for n, v in self.form if n in ("authorization", "cookie"))
        # The rest of a stored part is fetched on behalf of all clients.
        self.is_rest = model_ranges.is_rest(request)
        self.range = request.get("range")
        self.has_range = bool(request.get("range")) and not self.is_rest
        self.is_alone = self.has_credential or request.get("cache-control") == "no-store" or self.has_range
        self.is_for_one = self.method != "GET" or self.is_alone
        self.at = clock()
        self.answered = math.inf  # when its head was sent
        self.ended = math.inf  # when all of it was
        self.shares = None  # of an error that is not stored: who else is told it; "one", "waiters", or "moment"
        self.befalls = False  # and its status is told to others of its kind, whoever gets the response
        self.version = self.status = None
        self.ttl = self.swr = self.sie = 0
        self.is_cut = False
        self.is_unshared = self.is_public = False
        self.taken = 0  # by how many requests of clients

    @property
    def born(self):
        """From when its age counts: a lifetime that the route gives runs from the response's receipt."""
        is_routes = self.resource.folder in ("route", "sie") or (self.resource.folder == "sess" and not self.is_public)
        return self.answered if is_routes else self.at

    def decide(self, status, word=None):
        """The response is made now: of the resource as it is now. word: of an error that says nothing of a lifetime."""
        r = self.resource
        self.version, self.status, self.answered = r.version, status, clock()
        self.tags = r.tags
        self.ttl, self.swr, self.sie, fields = r.lifetime()
        is_public = "public" in fields.get("Cache-Control", "") or (r.folder == "sess" and "Cache-Control" in fields)
        self.is_unshared = (r.folder in ("priv", "fill") and self.ttl == 0) or (
            r.folder in ("auth", "sess") and self.user != "" and not is_public)
        self.is_public = is_public
        is_error = status >= 300 and status != 304
        if is_error and (word is not None or "max-age" not in fields.get("Cache-Control", "")):
            self.ttl = self.swr = self.sie = 0
            if word is not None:
                fields = ERROR_FIELDS[word]
                self.is_unshared = False
            is_kept = "Set-Cookie" in fields or "Vary" in fields or fields.get("Cache-Control") == "no-store" or (
                fields.get("Cache-Control") == "private" and r.folder != "mine")
            is_kept = is_kept or (r.folder == "mine" and not self.user)
            is_trouble = status == 429 or status >= 500
            self.shares = "one" if self.is_alone or is_kept else "moment" if is_trouble else "waiters"
            self.befalls = is_trouble and not is_kept and not self.has_credential
        name = "X-Head-Fetch" if self.method == "HEAD" else "X-Fetch"
        return {**fields, name: str(self.number), "Cache-Tag": ", ".join(sorted(self.tags))}


WRITE = "a write"


class Failure:
    """Of the fetch `fetch`, or of a WRITE, or, where that is None, of all that is asked for meanwhile."""

    def __init__(self, path, begin, end, fetch):
        self.path, self.begin, self.end, self.fetch = path, begin, end, fetch


class Site:
    def __init__(self):
        self.resources = {}
        self.fetches = {}
        self.count = 0
        self.failures = []
        self.still_at = 0  # when this process last stood still
        self.listener = model_http.Listener(self.on_request)

    def resource(self, path):
        if path not in self.resources:
            self.resources[path] = Resource(path)
        return self.resources[path]

    def fail(self, path, begin, end, fetch=None):
        failure = Failure(path, begin, end, fetch)
        self.failures.append(failure)
        return failure

    def stood_still(self, since):
        """This process, and the origin in it: from then until now the proxy may have found that nothing comes."""
        self.fail(None, since, clock())
        self.still_at = clock()

    def failures_between(self, path, begin, end):
        return [f for f in self.failures if f.path in (path, None) and f.begin <= end and f.end >= begin]

    def failed_between(self, path, begin, end):
        return any(f.path in (path, None) and f.begin <= end and f.end >= begin for f in reversed(self.failures))

    def forget(self):
        """Forgets versions that can't be seen any more, so that long runs stay small."""
        oldest = clock() - KEEP_S
        for n in [n for n, f in self.fetches.items() if f.at < oldest]:
            del self.fetches[n]
        self.failures = [f for f in self.failures if f.end > oldest]
        for r in self.resources.values():
            r.written = r.written[-500:]
            r.refreshed = r.refreshed[-100:]

    def related(self, path):
        """What a write to this path changes besides it."""
        m = re.fullmatch(r"/users/(\w+)", path)
        if not m:
            return []
        return [path + "/posts"] + [p for p in self.resources if p.startswith("/users?")]

    def change(self, path, is_deleted=False):
        """{path: its version now}"""
        out = {}
        for p in [path, *self.related(path)]:
            r = self.resource(p)
            r.version += 1
            r.is_deleted = is_deleted and p == path
            out[p] = r.version
        return out

    # ---- the origin ----

    async def on_request(self, request, reader, writer):
        method, target, _ = request.start.split(" ")
        if method not in ("GET", "HEAD"):
            return await self.on_write(method, target, request, writer)
        self.count += 1
        r = self.resource(target)
        f = self.fetches[self.count] = Fetch(self.count, r, request)
        fault = r.faults.pop(0) if r.faults else r.mood
        if fault and fault[0] == "cut" and f.has_range:
            fault = ("slow", fault[1])
        r.fetches = [*r.fetches[-100:], f]
        kind = fault[0] if fault else ""
        is_failure = kind in ("reset_head", "reset_body", "short", "hang", "garbage", "cut") or kind.startswith("e5")
        failure = self.fail(r.path, f.at, math.inf, f) if is_failure else None
        try:
            if is_failure and not kind.startswith("e5"):
                return await self.misbehave(fault, f, request, reader, writer)
            if kind in ERRORS or kind == "slow":
                await asyncio.sleep(fault[1])
            return await self.answer(f, request, writer, fault)
        finally:
            f.ended = clock()
            if failure:
                failure.end = f.ended

    def head_of(self, f, request, fault=None):
        r = f.resource
        etag = r.etag(f.variant, f.user) if r.has_etag else None
        status, word = 404 if r.is_deleted else 200, None
        if fault and fault[0] in ERRORS:
            status, word = int(fault[0][1:4]), fault[0][5:]
        if status == 200 and etag and request.get("if-none-match") == etag:
            status = 304
        fields = f.decide(status, word)
        if etag and word is None:
            fields["ETag"] = etag
        if r.varies and "Vary" not in fields:
            fields["Vary"] = "X-Variant"
        body = body_of(r.path, f.variant, f.user, f.version)
        asked = model_ranges.of_request(request, len(body)) if request.get("if-range", etag) == etag else None
        if status == 200 and asked is not None and f.method == "GET" and (asked or number_of(r.path, "416", (False, True))):
            fields["Content-Range"] = f"bytes {asked[0]}-{asked[1]}/{len(body)}" if asked else f"bytes */{len(body)}"
            status, body = (206, body[asked[0]:asked[1] + 1]) if asked else (416, b"")
        return status, fields, body

    @staticmethod
    def head_bytes(status, fields):
        return "\r\n".join([f"HTTP/1.1 {status} Model", *(f"{n}: {v}" for n, v in fields.items()), "", ""]).encode()

    async def answer(self, f, request, writer, fault=None):
        status, fields, body = self.head_of(f, request, fault)
        is_chunked = f.resource.is_chunked and status != 304
        if status != 304:
            fields.update({"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))})
        if f.method == "HEAD" or status == 304:
            body = None
        writer.write(self.head_bytes(status, fields))
        pieces = [body] if body else []
        if body and fault and fault[0] == "drip":
            step = max(1, len(body) // 5)
            pieces = [body[i:i + step] for i in range(0, len(body), step)]
        for piece in pieces:
            if len(pieces) > 1:
                await asyncio.sleep(fault[1] / 5)
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await writer.drain()
        if is_chunked and body is not None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def misbehave(self, fault, f, request, reader, writer):
        kind = fault[0]
        f.is_cut = True
        if kind == "cut":
            await asyncio.sleep(fault[1])
        if kind == "hang":
            await reader.read(1)  # until the proxy has had enough
            return False
        if kind == "garbage":
            writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
            await writer.drain()
            return False
        if kind == "reset_head":
            writer.write(b"HTTP/1.1 200 Mo")
        else:
            await self.cut_body(f, request, writer)
        await writer.drain()
        if kind != "short":
            await asyncio.sleep(fault[1])
            model_http.reset(writer)
        return False

    async def cut_body(self, f, request, writer):
        status, fields, body = self.head_of(f, request)
        is_chunked = f.resource.is_chunked
        fields.update({"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))})
        if f.method == "HEAD" or status == 304 or not body:
            return  # cut before the head
        part = body[:len(body) // 2]
        if part and is_chunked:
            part = b"%x\r\n%b\r\n" % (len(part), part)
        writer.write(self.head_bytes(status, fields) + part)

    async def on_write(self, method, path, request, writer):
        r = self.resource(path)
        fault = r.faults.pop(0) if r.faults else None
        if fault and fault[0] == "slow":
            await asyncio.sleep(fault[1])
        failed_here = fault and fault[0] in ("reset_head", "reset_body", "short", "hang", "garbage")
        if fault and fault[0] in ERRORS:
            self.fail(path, clock() - 1, clock() + 1, WRITE)
            writer.write(b"HTTP/1.1 %b Model\r\nContent-Length: 0\r\n\r\n" % fault[0][1:4].encode())
            await writer.drain()
            return True
        versions = self.change(path, method == "DELETE")
        fields = {"X-Versions": ",".join(f"{v}@{p}" for p, v in versions.items()), "Content-Length": "0"}
        if method == "POST":
            other = number_of(path, "location", ("/long/1", "/long/2", "/short/1", "/swr/1"))
            versions = self.change(other)
            fields["Location"] = other
            fields["X-Versions"] += "," + ",".join(f"{v}@{p}" for p, v in versions.items())
        if failed_here:  # it is done, and nobody is told
            self.fail(path, clock() - 1, clock() + 1, WRITE)
            model_http.reset(writer)
            return False
        writer.write(self.head_bytes(201 if method == "POST" else 200, fields))
        await writer.drain()
        return True
