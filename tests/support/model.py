# SPDX-License-Identifier: MIT
"""Thousands of operations at random on a running memoproxy, and a simple model that says which responses are allowed.

What a request that began at `a` may be answered with, from fetch f (whose request the origin saw at f.at):
  whole        its body is exactly that of its URL, variant, user and version; it ended early only if the origin's did
  its own      URL, variant and user are those asked for; what may not be shared went to one client only; what is stored by the
               route's word for visitors went to nobody who bears a credential
  not older    than what was written and acknowledged before a; not from before a hard purge acknowledged before a; not fetched
               before a refresh that was acknowledged before a was asked, whether or not its response could be stored; and not
               before what another client was shown from the store and had all of before a
  fresh        a - f.born is within its lifetime; or it came in after a; or stale-while-revalidate, stale-if-error (and there
               was an error) or a soft purge allow it
  small        what is larger than max_object comes from the origin, each time
  for all      who may be told an error that is not stored, and for how long, is in model_errors.py
Times are taken so that what the proxy does in an order that no client can tell apart is never blamed.
"""
import asyncio
import json
import math
import os
import random
import re
import time

from . import model_http, model_ranges
from .model_errors import Errors
from .model_site import (COALESCE_S, ERRORS, FAILURE_MEMORY_S, FAULTS, FIRST_BYTE_S, FOLDERS, MAX_OBJECT, PASS_MEMORY_S,
                         ROUTE_TTL_LONG_S, Fetch, Site, body_of, clock, config, form_of)
from .proxy import SLOW, Proxy, ini_text, merge

CLIENTS = 16
SLACK_S = 0.15 * SLOW
HANG_S = 20 * SLOW
LOOK_S = 0.02
CLOCK_S = 0.2  # so much earlier than now the proxy may take it to be
STEP_S = 5 * SLOW  # longer than a step of a herd takes
USERS = ("alice", "bob", "carol")
VARIANTS = ("", "a", "b")
HOLD_S = 0.4  # for so long the origin keeps a herd waiting
HERDS_WITHOUT_ROOM = 3  # in a run, by accident
HERDS = {
    "plain": [{}] * 5,
    "alice": [{"user": "alice"}] * 5,
    "odd": [{"user": "alice"}] + [{}] * 4,
    "each": [{"user": "alice"}, {"user": "bob"}, {"user": "carol"}, {}, {}],
    "credential": [{"cookie": "sid=1"}, {"cookie": "sid=2"}, {}, {}, {}],
}


# ---- operations: JSON lists, made from a seed ----

def paths_of(folder):
    if folder == "users":
        return ["/users/1", "/users/2", "/users/1/posts", "/users/2/posts", "/users?page=1", "/users?page=2"]
    if folder == "q":
        return ["/q/1?a=1&b=2", "/q/2?a=1&b=2", "/q/1?a=1&a=2&c"]
    return [f"/{folder}/{i}" for i in range(1, 7)]


PATHS = {f: paths_of(f) for f in FOLDERS}
WEIGHTS = [("get", 100), ("pipe", 6), ("write", 9), ("purge", 7), ("change", 6), ("refresh", 4), ("race", 2), ("fault", 10),
           ("storm", 2), ("herd", 1.5), ("ranges", 2), ("refuse", 0.3), ("reload", 0.5), ("pause", 3)]


def pick_path(rng):
    # Some are hot.
    return rng.choice(PATHS[rng.choice(FOLDERS)][:rng.choice((2, 6))])


def make_get(rng, path=None):
    how, path = {}, path or pick_path(rng)
    if rng.random() < 0.5:
        how["variant"] = rng.choice(VARIANTS)
    if rng.random() < 0.7:
        how["user"] = rng.choice(USERS)
    dice = rng.random()
    if dice < 0.05:
        how["method"] = "HEAD"
    elif dice < 0.12 or (path.startswith("/part/") and dice < 0.7):
        how["range"] = model_ranges.make_range(rng)
        how["if_range"] = rng.random() < 0.2 and how["range"][-1] is not None
    elif dice < 0.22:
        how["if_none_match"] = True
    dice = rng.random()
    if dice < 0.04:
        how["cc"] = rng.choice(("no-cache", "max-age=0", "only-if-cached", "no-store", "max-stale=2", "min-fresh=1"))
    if rng.random() < 0.04:
        how["leave"] = rng.choice(("at once", "head", "body"))
    if rng.random() < 0.1:
        how["fresh_connection"] = True
    return ["get", path, how]


def own_fields(path, how):
    """What this request has beyond its URL, as the origin will see it."""
    folder = path.split("/")[1].split("?")[0]
    fields = {"x-variant": how.get("variant"), "x-user": how.get("user"), "cookie": how.get("cookie")}
    if "user" in how and folder == "auth":
        fields["authorization"] = how["user"]
    elif "user" in how and folder == "sess":
        fields["cookie"] = f"_ga=1; sid={how['user']}"
    return {n: v for n, v in fields.items() if v}


def make_purge(rng):
    kind = rng.choice(("url", "url", "url", "prefix", "tag", "user", "all"))
    if kind == "all" and rng.random() < 0.7:
        kind = "url"
    folder = rng.choice(FOLDERS)
    what = {"url": lambda: pick_path(rng), "prefix": lambda: rng.choice((f"/{folder}/", f"/{folder}/1", "/users/1", "/users?")),
            "tag": lambda: rng.choice((folder, folder, "even", "odd")), "user": lambda: rng.choice(USERS), "all": lambda: "1"}[kind]()
    return ["purge", kind, what, rng.random() < 0.4]


def make_step(rng):
    """What the origin answers, to which forms, and how long after its response before: 1 is when an error is forgotten."""
    return [rng.choice((*ERRORS, "e500", "e503", "e404", "reset_head", "ok")),
            rng.choice(("plain", "plain", "alice", "odd", "each", "credential")), rng.choice((0, 0, 0.4, 1))]


def make_operation(rng):
    kind = rng.choices([k for k, _ in WEIGHTS], [w for _, w in WEIGHTS])[0]
    if kind == "get":
        return make_get(rng)
    if kind == "pipe":
        return ["pipe", [make_get(rng) for _ in range(rng.randint(2, 4))]]
    if kind == "write":
        return ["write", rng.choice(("PUT", "PUT", "POST", "DELETE")), pick_path(rng), rng.random() < 0.05]
    if kind == "purge":
        return make_purge(rng)
    if kind == "race":
        return ["race", pick_path(rng), rng.choice(("drip", "slow")), round(rng.uniform(0.1, 0.8), 3), rng.choice((0, 0, 1))]
    if kind == "storm":
        return ["storm", pick_path(rng), rng.choice(ERRORS), rng.randint(2, 3), round(rng.uniform(0, 0.4), 3)]
    if kind == "herd":
        return ["herd", rng.randrange(10**6), [make_step(rng) for _ in range(rng.randint(1, 3))]]
    if kind == "ranges":
        return ["ranges", rng.randrange(10**6), *model_ranges.make_herd(rng)]
    if kind == "fault":
        return ["fault", pick_path(rng), rng.choice(FAULTS[:-2] if rng.random() < 0.9 else FAULTS), round(rng.uniform(0, 0.4), 3)]
    if kind == "refuse":
        return ["refuse", round(rng.uniform(0.02, 0.15), 3)]
    if kind == "reload":
        return ["reload", rng.choice(("same", "ttl", "bad"))]
    if kind == "pause":
        return ["pause", round(rng.uniform(0, 0.3), 3)]
    return [kind, pick_path(rng)]


def make_operations(seed, n):
    rng = random.Random(seed)
    return [make_operation(rng) for _ in range(n)]


# ---- the model ----

class Forbidden(Exception):
    pass


class Missing(Forbidden):
    """No response, or not all of it, or one that says so: forbidden as long as the proxy runs."""


def is_from_store(answer):
    return "memoproxy; hit" in (answer.get("cache-status") or "")


class Purge:
    def __init__(self, kind, what, soft):
        self.kind, self.what, self.soft, self.asked = kind, what, soft, clock()

    def covers(self, f):
        if self.kind == "url":
            return f.path == self.what
        if self.kind == "prefix":
            return f.path.startswith(self.what)
        if self.kind == "tag":
            return self.what in f.tags
        if self.kind == "user":
            return f.resource.folder == "mine" and f.user == self.what
        return True


class Judge:
    def __init__(self, site):
        self.site, self.purges, self.slack = site, [], SLACK_S
        self.errors = Errors(site)
        self.largest = MAX_OBJECT  # that may come from the store
        self.known_from, self.note_lag = lambda began: clock(), lambda: None  # see Run

    def answer(self, path, how, a, answer):
        """Raises Forbidden, with why."""
        self.note_lag()  # which may be news
        if "leave" in how and answer.problem == "we left":
            return
        if answer.head_at is None:
            raise Missing(f"no answer: {answer.problem}")
        number, head_number = answer.get("x-fetch"), answer.get("x-head-fetch")
        if not number and not head_number:
            self.own(path, how, a, answer)
            return
        f = self.site.fetches.get(int(number or head_number))
        head = self.site.fetches.get(int(head_number or number))
        if f is None or head is None:
            raise Forbidden(f"from fetch {number} {head_number}, which is unknown or too old")
        f.taken += 1
        try:
            self.identity(path, how, f)
            self.content(how, f, answer)
            self.age(path, how, a, f, head)
        except Forbidden as e:
            raise type(e)(f"{e}\n{answer.start} {answer.fields}\nasked {a:.3f}, head {answer.head_at:.3f}, "
                            f"{f.method} fetch {number} at {f.at:.3f}, answered {f.answered:.3f}, status {f.status}") from None
        self.note_shown(how, f, a, answer)
        if f.taken > 1 and (f.shares == "one" or f.is_unshared):
            raise Forbidden(f"{f.method} fetch {f.number} is not for sharing and was used {f.taken} times: "
                            f"{f.status}, form {f.form}, range {f.range}")

    def own(self, path, how, a, answer):
        """Made by the proxy."""
        if answer.status == 504 and how.get("cc") == "only-if-cached":
            return
        r = self.site.resource(path)
        user = how.get("user", "") if r.folder == "mine" else ""
        if not self.errors.is_known(path, how, form_of(own_fields(path, how)), user, a, answer.status, self.slack,
                                    lambda f: self.is_undone(f, a)):
            raise Missing(f"{answer.status} although nothing failed: {answer.start} {answer.fields} {answer.body[:200]}")
        if answer.status not in (502, 503, 504) and not any(f.status == answer.status for f in r.fetches):
            raise Forbidden(f"status {answer.status} from nowhere")

    def identity(self, path, how, f):
        user = how.get("user", "") if f.resource.folder in ("mine", "auth", "sess") else ""
        variant = how.get("variant", "") if f.resource.varies else ""
        if f.path != path or f.variant != variant or (f.user != user and not (
                f.is_public or (f.resource.folder == "auth" and f.user == ""))):
            raise Forbidden(f"foreign: fetch {f.number} is of {f.path} variant {f.variant!r} user {f.user!r}")

    def content(self, how, f, answer):
        body = body_of(f.path, f.variant, f.user, f.version)
        expected, got = body, answer.body
        if answer.status == 304:
            if not how.get("if_none_match") or answer.get("etag") != how["etag"]:
                raise Forbidden(f"304 to If-None-Match {how.get('etag')} for {answer.get('etag')}")
            expected = b""
        elif answer.status == 206:
            expected, why = model_ranges.expected(how["range"], answer, body) if "range" in how else (None, "206 of no range")
            if why or (how.get("if_range") and answer.get("etag") != how["etag"]):
                raise Forbidden(why or f"206 to If-Range {how['etag']} of {answer.get('etag')}")
        elif answer.status == 416 and "range" in how and not model_ranges.picked(how["range"], len(body)):
            return
        elif answer.status != (200 if f.status in (200, 304, 206) else f.status):
            raise Forbidden(f"status {answer.status}, the origin said {f.status}")
        if how.get("method") == "HEAD":
            expected = b""
        if not expected.startswith(got) or (answer.complete and len(got) != len(expected)):
            raise Forbidden(f"body of {len(got)} bytes {got[:80]!r}..{got[-40:]!r}, not {len(expected)} {expected[:80]!r}")
        if f.is_cut and answer.complete and expected and answer.status != 206:
            raise Forbidden(f"whole, though the origin cut fetch {f.number} short")
        if not answer.complete and not f.is_cut and self.site.still_at < f.at:
            raise Missing(f"ended after {len(got)} of {len(expected)} bytes: {answer.problem}")
        if len(got) > self.largest and is_from_store(answer):
            raise Forbidden(f"{len(got)} bytes from the store, which takes {self.largest}")

    def age(self, path, how, a, f, head):
        """head: a response to HEAD that confirmed it later, or f itself."""
        r = f.resource
        needed = max((v for at, v in r.written if at < a), default=0)
        if f.version < needed:
            raise Forbidden(f"version {f.version}, though {needed} was written before")
        for asked, acknowledged in r.refreshed:
            if acknowledged < a and f.variant == "" and f.user == "" and f.at < asked - self.slack:
                raise Forbidden(f"fetched {asked - f.at:.3f} s before a refresh")
        had, newest = r.shown.get((f.variant, f.user), (a, 0))
        if had < a and f.at < newest - self.slack:
            raise Forbidden(f"fetched {newest - f.at:.3f} s before what was shown {a - had:.3f} s before the request")
        age = a - max(f.born, head.born) - self.slack
        swr = f.swr > 0 and age <= f.ttl + f.swr and how.get("cc") not in ("no-cache", "max-age=0", "min-fresh=1")
        sie = f.sie > 0 and age <= f.ttl + f.sie and self.site.failed_between(
            f.path, a - FAILURE_MEMORY_S - self.slack, clock())
        self.purged(a, f, swr or sie or how.get("cc") == "max-stale=2")
        if f.shares:
            why = self.errors.why_not_told(f, how, form_of(own_fields(path, how)), a, self.slack)
            if why:
                raise Forbidden(f"an error that is not for it: {why}")
            return
        came_after = max(f.answered, head.answered) >= a - self.slack
        wants_new = how.get("cc") in ("no-cache", "max-age=0")
        max_stale = 2 if how.get("cc") == "max-stale=2" else 0
        fresh = f.ttl > 0 and age <= f.ttl + max_stale and not wants_new
        if not (came_after or fresh or swr or sie):
            raise Forbidden(f"stale: {a - f.born:.3f} s old, lifetime {f.ttl}+{f.swr}, {how.get('cc')}")

    def note_shown(self, how, f, a, answer):
        """A response from the store. (One whose head says `stored` may be too late for that by its end.)"""
        if answer.status not in (200, 206) or f.has_range or f.is_rest or not answer.complete or how.get("method") == "HEAD" or f.resource.folder in ("auth", "sess"):
            return
        if not is_from_store(answer) or self.site.failed_between(f.path, f.at - 1, clock()):
            return
        key = (f.variant, f.user)
        if f.at > f.resource.shown.get(key, (0, 0))[1]:
            f.resource.shown[key] = (self.known_from(a), f.at)

    def is_undone(self, f, a):
        """Had a purge said to who asked at `a` that nothing is known of what f met? Without an answer that is kept, it has no tags."""
        return any(p.acknowledged < a and p.asked > f.at and p.kind != "tag" and p.covers(f) for p in self.purges[-500:])

    def purged(self, a, f, stale_is_allowed):
        for p in reversed(self.purges):
            if p.asked <= f.at:
                return
            if p.acknowledged < a and p.covers(f) and not (p.soft and stale_is_allowed):
                raise Forbidden(f"purged by {p.kind}={p.what} soft={p.soft} {a - p.acknowledged:.3f} s before the request")


def has_replaced(said, failed):
    """By what /refresh said: is what was stored before it gone? What the origin answered and could not be stored retires that, too; without
    a status nobody was asked."""
    return said.get("stored") or ("status" in said and not failed)


def outlasts(fetches, marked):
    """Did a herd last for longer than its leader is waited for, or than it is remembered what was learnt at `marked`? The machine may
    have held up the proxy and not this process."""
    began = [f.at for f in fetches if not f.has_range]
    return began and max(began) >= min(min(began) + COALESCE_S, marked + PASS_MEMORY_S) - CLOCK_S


# ---- a run ----

class Run:
    LARGEST = MAX_OBJECT

    def __init__(self, operations, proxy_sections=None, seconds=None, clients=CLIENTS):
        self.operations = iter(operations)
        self.sections, self.seconds, self.clients = proxy_sections, seconds, clients
        self.proxy = self.admin_lock = None
        self.problem = None
        self.done = {}
        self.looked = math.inf
        self.lag = 0.0  # the longest
        self.lost_s = 0.0  # all lags together
        self.log = []  # the last of what happened, for the report
        self.latencies = []
        self.on_second = None
        self.without_room = 0  # herds that cost more than they should, when there was no room for something
        self.pace_s = 0  # each client's longest rest after an operation

    # -- whole runs --

    def go(self):
        """None, or what is wrong."""
        try:
            return asyncio.run(self._go())
        except AssertionError as e:  # the proxy's end
            return str(e)

    def text(self, ttl_s=None, extra=""):
        p = self.proxy
        base = {"proxy": {"listen": f"127.0.0.1:{p.port}", "workers": 2, "shutdown_grace": "2s"},
                "admin": {"listen": f"127.0.0.1:{p.admin_port}"}, "upstream": {"url": p.upstream}}
        sections = merge(merge(base, config(ttl_s) if ttl_s else config()), self.sections)
        return ini_text(sections) + extra

    async def _go(self):
        self.site = Site()
        self.judge = Judge(self.site)
        self.judge.known_from, self.judge.note_lag = self.known_from, self.note_lag
        self.judge.largest = self.LARGEST
        self.admin_lock = asyncio.Lock()
        await self.site.listener.listen()
        self.proxy = Proxy(f"http://127.0.0.1:{self.site.listener.port}", merge(config(), self.sections)).start()
        try:
            tasks = [asyncio.create_task(self._client(i)) for i in range(self.clients)]
            watch = asyncio.create_task(self._watch())
            await asyncio.gather(*tasks)
            watch.cancel()
            if not self.problem:
                self.problem = await self._at_rest()
        finally:
            self.site.listener.close()
            if self.problem:
                self.problem += "\n" + self.proxy.stderr[-4000:]
            self._stop()
        return self.problem

    def _stop(self):
        self.proxy.stop()

    def summary(self):
        return f"{sum(self.done.values())} operations {self.done}, {getattr(self, 'stats', {}).get('answers')}"

    def note_lag(self):
        """How late this process itself is counts as slack, and as a reason for time-outs."""
        now = clock()
        lag = now - self.looked - LOOK_S
        if lag <= 0:
            return
        self.lost_s += lag
        if lag > self.lag:
            self.lag = lag
            self.judge.slack = SLACK_S + lag
        if lag > FIRST_BYTE_S / 4:
            self.site.stood_still(self.looked)
        self.looked = now

    async def _watch(self):
        second = clock()
        while True:
            self.looked = clock()
            await asyncio.sleep(LOOK_S)
            self.note_lag()
            if clock() > second + 1:
                second = clock()
                self.site.forget()
                self.judge.purges = self.judge.purges[-5000:]
                if self.on_second:
                    await self.on_second(self)

    async def _at_rest(self):
        """No fetch and no flight is left under way when no client asks any more."""
        wanted = {("cache", "flights"): 0, ("cache", "waiters"): 0, ("requests", "fills_active"): 0,
                  ("upstreams", "default", "active"): 0, ("upstreams", "default", "queued"): 0}
        deadline = clock() + 10 * SLOW
        while True:
            stats = json.loads((await self._admin("GET", "/stats")).body)
            left = {}
            for keys, value in wanted.items():
                at = stats
                for key in keys:
                    at = at[key]
                if at != value:
                    left[keys] = at
            if not left:
                self.stats = stats
                return None
            if clock() > deadline:
                return f"left at the end: {left}"
            await asyncio.sleep(0.05)

    async def _client(self, index):
        connection = model_http.Connection(self.proxy.port)
        end = clock() + self.seconds if self.seconds else None
        for op in self.operations:
            if self.problem or (end and clock() > end):
                break
            self.done[op[0]] = self.done.get(op[0], 0) + 1
            self.log.append((index, round(clock(), 3), op))
            del self.log[:-200]
            began = clock()
            try:
                may_take = HANG_S + (STEP_S * len(op[2]) if op[0] == "herd" else 2 * STEP_S if op[0] == "ranges" else 0)
                await self._within(may_take, getattr(self, "do_" + op[0])(connection, *op[1:]))
            except asyncio.TimeoutError:
                self._fail(op, f"no end within {may_take} s")
            except (Missing, OSError, model_http.Broken, asyncio.IncompleteReadError) as e:
                if not self.is_excused(began):
                    self._fail(op, f"{type(e).__name__}: {e}")
            except Forbidden as e:
                self._fail(op, str(e))
            if self.pace_s:
                await asyncio.sleep(random.uniform(0, self.pace_s))
        connection.close()

    async def _within(self, may_take, work):
        """As asyncio.wait_for, but for so much time that the machine let this process have."""
        task, lost = asyncio.ensure_future(work), self.lost_s
        while may_take > 0 and not (await asyncio.wait({task}, timeout=may_take))[0]:
            may_take, lost = self.lost_s - lost, self.lost_s
        if not task.done():
            task.cancel()
            raise asyncio.TimeoutError
        return task.result()

    def known_from(self, began):
        """The time from which requests must see a change that is acknowledged now and was asked for at `began`."""
        return clock()

    def is_excused(self, began):
        """May an operation that began then have been left without its response?"""
        return False

    def _fail(self, op, why):
        if not self.problem:
            self.problem = f"{json.dumps(op)}: {why}"
            if not self._is_alive():
                self.problem += f"\nmemoproxy ended, status {self.proxy.process.child.returncode}"

    def _is_alive(self):
        return self.proxy.process.alive

    # -- operations --

    def _prepare(self, path, how):
        """The request's bytes, and the target as the origin will see it."""
        folder = path.split("/")[1].split("?")[0]
        r = self.site.resource(path)
        fields, target = list(own_fields(path, how).items()), path
        if "range" in how:
            fields.append(("Range", model_ranges.text_of(how["range"])))
        if how.get("if_none_match") or how.get("if_range"):
            user = how.get("user", "") if folder in ("mine", "auth", "sess") else ""
            how["etag"] = r.etag(how.get("variant", "") if r.varies else "", user)
            fields.append(("If-Range" if how.get("if_range") else "If-None-Match", how["etag"]))
        if "cc" in how:
            fields.append(("Cache-Control", how["cc"]))
        if folder == "q" and "a=1&b=2" in path:
            target = path.replace("a=1&b=2", random.choice(("a=1&b=2", "b=2&a=1")))
        return model_http.request_bytes(how.get("method", "GET"), target, fields)

    async def _send(self, connection, data):
        await connection.open()
        a = clock()
        connection.writer.write(data)
        await connection.writer.drain()
        return a

    async def do_get(self, connection, path, how):
        how = dict(how)
        if "fresh_connection" in how:
            connection.close()
        a = await self._send(connection, self._prepare(path, how))
        leave = how.get("leave")
        if leave == "at once":
            connection.close()
            return
        answer = await connection.answer(clock, how.get("method") == "HEAD", (lambda _: True) if leave == "head" else None)
        self.latencies.append((a, clock() - a))
        self.judge.answer(path, how, a, answer)

    async def do_pipe(self, connection, gets):
        hows = [{k: v for k, v in g[2].items() if k != "leave"} for g in gets]
        a = await self._send(connection, b"".join(self._prepare(g[1], h) for g, h in zip(gets, hows)))
        for get, how in zip(gets, hows):
            answer = await connection.answer(clock, how.get("method") == "HEAD")
            self.judge.answer(get[1], how, a, answer)
            if not connection.is_open:
                break  # a response that broke takes the connection along

    async def do_write(self, connection, method, path, leaves):
        # A connection of its own: whether a write was done is not known when a kept one ends.
        connection.close()
        await self._send(connection, model_http.request_bytes(method, path, [("X-User", "alice")], b"x" * 100 if method != "DELETE" else b""))
        if leaves:
            connection.close()
            return
        began = clock()
        answer = await connection.answer(clock)
        self.note_lag()
        if answer.head_at is None:
            raise Missing(f"no answer: {answer.problem}")
        for item in filter(None, (answer.get("x-versions") or "").split(",")):
            version, _, changed = item.partition("@")
            self.site.resource(changed).written.append((self.known_from(began), int(version)))
        if answer.status >= 502 and not self.site.failed_between(path, began - 1 - self.judge.slack, clock() + 1):
            raise Missing(f"{answer.status} although nothing failed: {answer.body[:200]}")

    async def _admin(self, method, target):
        connection = model_http.Connection(self.proxy.admin_port)
        await self._send(connection, model_http.request_bytes(method, target, [], host="127.0.0.1"))
        answer = await connection.answer(clock)
        connection.close()
        self.note_lag()
        if not answer.complete:
            raise Missing(f"{method} {target}: {answer.problem}")
        return answer

    async def do_purge(self, _, kind, what, soft):
        purge = Purge(kind, what, soft)
        quoted = what.replace("?", "%3F").replace("&", "%26").replace("=", "%3D")
        answer = await self._admin("POST", f"/purge?{kind}={quoted}" + ("&soft=1" if soft else ""))
        if answer.status != 200:
            raise Missing(f"{answer.status} {answer.body[:300]}")
        purge.acknowledged = self.known_from(purge.asked)
        # In the order in which they were asked for, as Judge.purged needs it.
        at = len(self.judge.purges)
        while at and self.judge.purges[at - 1].asked > purge.asked:
            at -= 1
        self.judge.purges.insert(at, purge)

    async def do_change(self, _, path):
        self.site.change(path)

    async def do_refresh(self, _, path):
        asked = clock()
        quoted = path.replace("?", "%3F").replace("&", "%26").replace("=", "%3D")
        answer = await self._admin("POST", f"/refresh?url={quoted}")
        failed = self.site.failed_between(path, asked - 1 - self.judge.slack, clock()) or any(
            f.shares and f.ended > asked - 1 for f in self.site.resource(path).fetches)
        said = json.loads(answer.body) if answer.status == 200 else {}
        if has_replaced(said, failed):
            self.site.resource(path).refreshed.append((asked, clock()))
        elif answer.status != 200 and not failed:
            raise Missing(f"{answer.status} {answer.body[:300]}")

    async def do_race(self, connection, path, kind, length_s, changes):
        """A fetch that is slow to come, or to end, and a refresh that overtakes it."""
        self.site.resource(path).faults.insert(0, (kind, length_s))
        slow = model_http.Connection(self.proxy.port)
        task = asyncio.create_task(self.do_get(slow, path, {"cc": "no-cache"}))
        try:
            await asyncio.sleep(0.02)
            if changes:
                self.site.change(path)
            await self.do_refresh(connection, path)
            await task
        finally:
            task.cancel()
            slow.close()

    async def do_fault(self, _, path, kind, length_s):
        faults = self.site.resource(path).faults
        if len(faults) < 3:
            faults.append((kind, length_s))

    async def do_storm(self, _, path, kind, n, length_s):
        """The same error some times in a row, and many clients that ask meanwhile."""
        self.site.resource(path).faults += [(kind, length_s)] * n
        hows = [{"user": "alice"}, {}, {}, {"user": "bob"}, {"variant": "a"}, {}, {"user": "alice"}]
        await self._all(path, [how for how in hows for _ in range(2)], 0.3)

    async def _all(self, path, hows, spread_s):
        """All of them, each on a connection of its own, within spread_s. [(form, how, when, answer)]"""
        return await asyncio.gather(*(self._one(path, how, spread_s * i / len(hows)) for i, how in enumerate(hows)))

    async def _one(self, path, how, after_s):
        await asyncio.sleep(after_s)
        connection = model_http.Connection(self.proxy.port)
        try:
            a = await self._send(connection, self._prepare(path, how))
            answer = await connection.answer(clock, how.get("method") == "HEAD")
            self.judge.answer(path, how, a, answer)
            return form_of(own_fields(path, how)), how, a, answer
        finally:
            connection.close()

    async def do_herd(self, connection, number, steps):
        """Errors on a path that no other operation asks for, and herds of clients: see model_errors.py."""
        path = f"/herd/{number}"
        r, began, asked, refused = self.site.resource(path), clock(), [], await self._refusals()
        for kind, who, waits in [*steps, ["ok", "plain", 1]]:
            await asyncio.sleep(waits * (FAILURE_MEMORY_S + self.judge.slack + 0.05))
            r.mood = ("slow" if kind == "ok" else kind, HOLD_S)
            asked += [x for x in await self._all(path, [dict(how) for how in HERDS[who]], 0) if x[3].head_at]
            why = self.judge.errors.why_not_herd(r, asked, self.judge.slack)
            if why and not self.is_disturbed(began, r) and not await self._had_no_room(refused):
                raise Forbidden(f"herd {steps}, {kind} {who}: {why}")
            if kind == "ok":
                await self._forget(connection, path, r)

    async def do_ranges(self, connection, number, kind, wants):
        """Ranges and whole requests on a path that no other operation asks for, twice: see model_ranges.py."""
        path, began = f"/fill/{kind}-{number}", clock()
        r = self.site.resource(path)
        r.mood = ("cut" if kind == "cut" else "slow", HOLD_S)
        refused, marked = await self._refusals(), math.inf
        for is_first in (True, False):
            n = self.site.count
            hows = [model_ranges.how_of(want) for want in wants]
            asked = [x[1:] for x in await self._all(path, hows, 0)]
            fetches = [f for f in r.fetches if f.number > n]
            why = model_ranges.why_not_herd(kind, is_first, asked, fetches, len(body_of(path, "", "", r.version)))
            was_marked, marked = marked, min((f.answered for f in fetches if not f.has_range), default=math.inf)
            if not why or self.is_disturbed(began, r) or outlasts(fetches, was_marked):
                continue
            if not await self._had_no_room(refused):
                raise Forbidden(f"{'first' if is_first else 'second'}: {why}; " + "; ".join(
                    f"{f.method} {f.range} at {f.at:.3f}, answered {f.answered:.3f}" for f in fetches) + f"; asked {asked[0][1]:.3f}")
        await self.do_purge(connection, "url", path, False)

    async def _refusals(self):
        """How often something could not be kept for want of room: then nothing can be shared."""
        return json.loads((await self._admin("GET", "/stats")).body)["cache"]["refused_memory"]

    async def _had_no_room(self, refused):
        """Since there were so many refusals. Not in many herds of a run."""
        self.without_room += refused != await self._refusals()
        return self.without_room <= HERDS_WITHOUT_ROOM and refused != await self._refusals()

    async def _forget(self, connection, path, r):
        answer = (await self._one(path, {}, 0))[3]
        if answer.status == 200 and is_from_store(answer):
            r.stored_at = clock()
        await self.do_purge(connection, "url", path, False)

    def is_disturbed(self, began, r):
        """Did anything happen that herds are not judged through?"""
        return self.site.failures_between(None, began, clock()) or self.is_excused(began) or any(
            p.acknowledged >= began and (p.kind == "all" or (p.kind == "tag" and p.what in r.tags)) for p in self.judge.purges[-200:])

    async def do_refuse(self, _, length_s):
        failure = self.site.fail(None, clock(), clock() + 3600)
        self.site.listener.refuse()
        await asyncio.sleep(length_s)
        await self.site.listener.listen()
        failure.end = clock() + self.judge.slack

    async def do_reload(self, _, what):
        async with self.admin_lock:
            text = self.text(ROUTE_TTL_LONG_S if what == "ttl" else None, "nonsense\n" if what == "bad" else "")
            with open(self.proxy.config_path, "w", encoding="ascii") as f:
                f.write(text)
            answer = await self._admin("POST", "/reload")
        if (answer.status == 200) == (what == "bad"):
            raise Forbidden(f"{answer.status} {answer.body[:300]}")

    async def do_pause(self, _, length_s):
        await asyncio.sleep(length_s)


# ---- shrinking ----

def fails(operations, repeats, make=Run, clients=CLIENTS):
    for _ in range(repeats):
        problem = make(operations, clients=clients).go()
        if problem:
            return problem
    return None


def shrink(operations, deadline, repeats=2, make=Run):
    """Drops parts, by halves and then smaller, as long as it still fails."""
    size = len(operations) // 2
    while size >= 1 and time.monotonic() < deadline:
        at = 0
        while at < len(operations) and time.monotonic() < deadline:
            fewer = operations[:at] + operations[at + size:]
            if fewer and fails(fewer, repeats, make):
                operations = fewer
            else:
                at += size
        size //= 2
    return operations


def save(folder, seed, operations, problem):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"seed-{seed}.json")
    with open(path, "w", encoding="ascii") as f:
        f.write(json.dumps({"seed": seed, "problem": problem.splitlines()[0]}, indent=1)[:-2] + ',\n "operations": [\n')
        f.write(",\n".join("  " + json.dumps(op) for op in operations) + "\n ]\n}\n")
    return path


def replay(path, repeats=1, make=Run):
    with open(path, encoding="ascii") as f:
        case = json.load(f)
    return fails(case["operations"], repeats, make, clients=case.get("clients", CLIENTS))


# ---- the judge, judged ----

class _Fake:
    """A response as a client would have read it."""

    def __init__(self, f, body=None, status=200, complete=True, **fields):
        self.start, self.status, self.complete, self.problem, self.head_at = f"HTTP/1.1 {status} OK", status, complete, None, clock()
        self.body = body_of(f.path, f.variant, f.user, f.version) if body is None else body
        self.fields = {"x-fetch": str(f.number), **{n.replace("_", "-"): v for n, v in fields.items()}}

    def get(self, name, default=None):
        return self.fields.get(name, default)


def _fetched(site, path, ago=0.0, fields=(), method="GET", error=None):
    """error: a status, and what is said besides it, as in ERRORS without the e."""
    site.count += 1
    r = site.resource(path)
    f = site.fetches[site.count] = Fetch(site.count, r, model_http.Message(f"{method} / HTTP/1.1", list(fields)))
    f.decide(int(error[:3]) if error else 200, error and error[4:])
    f.at -= ago
    f.answered -= ago
    f.ended = f.answered
    r.fetches.append(f)
    return f


def _is_herd_refused(site, judge, number, began_s, late_s):
    """Two fetches at once of a herd that came at 0; the first one's request was seen at began_s, the other's at late_s."""
    r, now = site.resource(f"/herd/{number}"), clock()
    for at in (began_s, late_s):
        f = _fetched(site, r.path)
        f.at, f.answered, f.ended, f.is_cut = now + at, math.inf, now + began_s + HOLD_S, True
    answer = _Fake(f, status=502)
    answer.head_at = now + 10
    return judge.errors.why_not_herd(r, [((), {}, now, answer)] * 2, judge.slack)


def _check_errors(site, judge, refused):
    head, not_found, nobody = {"method": "HEAD"}, "/long/2", {"x_fetch": ""}
    seen = _fetched(site, not_found, method="HEAD", error="404 ")
    said = {"how": head, "body": b"", "status": 404, "x_fetch": "", "x_head_fetch": str(seen.number)}
    assert refused(not_found, seen, **said) is refused(not_found, seen, **said) is None, "HEADs that wait share an error"
    yield "what HEAD is told, for GET", refused(not_found, seen, **{**said, "how": {}})
    yield "what HEAD was told, for who asks later", refused(not_found, seen, a=clock() + 2 * judge.slack, **said)
    yield "what HEAD is told, for another form", refused(not_found, seen, **{**said, "how": {**head, "user": "bob"}})
    for what in ("404 private", "503 cookie"):
        seen = _fetched(site, not_found, method="HEAD", error=what)
        said.update(status=int(what[:3]), x_head_fetch=str(seen.number))
        assert refused(not_found, seen, **said) is None
        yield f"{what} to HEAD, twice", refused(not_found, seen, **said)
    for asked in ("bytes=6-", "bytes=10-"):
        seen = _fetched(site, "/part/1", fields=[("range", asked)], error="404 ")
        refused("/part/1", seen, status=404)
        why = refused("/part/1", seen, status=404)
        assert why is None or seen.has_range, why
        if seen.has_range:
            yield "what the origin said to one client's range, twice", why
    cut = _fetched(site, "/long/3", 0.2)
    cut.is_cut = True
    site.fail(cut.path, cut.at, cut.answered, cut)
    assert refused("/long/3", cut, status=502, **nobody) is None, "a failure is remembered"
    for kind, what in (("tag", "long"), ("url", "/long/3")):
        judge.purges[:] = [Purge(kind, what, False)]
        judge.purges[0].asked = judge.purges[0].acknowledged = clock() - 0.1
        why = refused("/long/3", cut, status=502, **nobody)
        assert why is None or kind == "url", "a failure has no tags"
    yield "a failure that was purged", why
    judge.purges.clear()
    assert _is_herd_refused(site, judge, 1, 0.7, 1.02) is None, "the first one's leader was silent for coalesce_timeout"
    yield "two fetches at once", _is_herd_refused(site, judge, 2, 0.5, 0.8)


def self_check():
    """(what a broken proxy would do, why the judge refuses it or None)"""
    site = Site()
    judge = Judge(site)
    now = clock()

    def refused(path, f, a=None, how=None, **answer):
        try:
            judge.answer(path, how or {}, clock() if a is None else a, _Fake(f, **answer))
        except Forbidden as e:
            return str(e)
        return None

    long = "/long/5"
    good = _fetched(site, long, 10)
    assert refused(long, good) is None
    body = body_of("/q/2?a=1&b=2", "", "", 1)
    yield "another URL's answer", refused("/long/6", good)
    yield "a body of something else", refused(long, good, body=body + b"x" * 100)
    for first, status, of in ((5, 206, 6), (5, 206, 5), (0, 416, 0)):
        answer = {"content_range": f"bytes {first}-9/{len(body_of(long, '', '', 1))}"} if status == 206 else {}
        why = refused(long, good, how={"range": [5, 9]}, body=body_of(long, "", "", 1)[of:10], status=status, **answer)
        assert why is None or of != 5, why
        if of != 5:
            yield f"{status} that is not the range's", why
    yield "a part of another version than If-Range names", refused(
        long, good, how={"range": [5, 9], "if_range": True, "etag": '"0"'}, body=body_of(long, "", "", 1)[5:10], status=206,
        content_range=f"bytes 5-9/{len(body_of(long, '', '', 1))}")
    yield "a body cut short", refused(long, good, body=b"", complete=len(body_of(long, "", "", 1)) > 0)
    large = _fetched(site, "/fill/large-1")
    assert refused("/fill/large-1", large) is None
    yield "what is too large to be stored", refused("/fill/large-1", large, cache_status="memoproxy; hit")
    yield "an expired answer", refused(long, _fetched(site, long, 61 + SLACK_S))
    yield "no-cache answered from the store", refused(long, _fetched(site, long, 1 + SLACK_S), how={"cc": "no-cache"})
    yield "an error from nowhere", refused(long, good, status=502, x_fetch="")
    cut = _fetched(site, "/long/1", 1)
    cut.is_cut = True
    yield "what the origin cut short", refused("/long/1", cut) if body_of("/long/1", "", "", 1) else "empty"
    mine = _fetched(site, "/mine/1", 0.1, [("x-user", "alice")])
    yield "another user's answer", refused("/mine/1", mine, how={"user": "bob"})
    by_route, declared = (next(p for p in PATHS["sess"] if site.resource(p).lifetime()[0] < 60),
                          next(p for p in PATHS["sess"] if site.resource(p).lifetime()[0] == 60))
    yield "a session's page for another", refused(by_route, _fetched(site, by_route, 0, [("cookie", "sid=bob")]), how={"user": "carol"})
    yield "a session's page for a visitor", refused(by_route, _fetched(site, by_route, 0, [("cookie", "sid=bob")]))
    yield "a visitor's page for a session", refused(by_route, _fetched(site, by_route), how={"user": "bob"})
    assert refused(declared, _fetched(site, declared, 0, [("cookie", "sid=bob")]), how={"user": "carol"}) is None
    private = _fetched(site, "/auth/1", 0.1, [("authorization", "bob")])
    private.is_unshared = True
    refused("/auth/1", private, how={"user": "bob"})
    yield "what is not for sharing, twice", refused("/auth/1", private, how={"user": "bob"})
    for soft in (False, True):
        purge = Purge("prefix", "/long/", soft)
        purge.asked = purge.acknowledged = now - 5
        judge.purges[:] = [purge]
        yield f"what was purged, soft={soft}", refused(long, good)
        assert refused(long, good, a=now - 6) is None, "asked before the purge"
    judge.purges.clear()
    site.resource(long).written.append((now - 1, 2))
    yield "what was written over", refused(long, good)
    site.resource(long).written.clear()
    site.resource(long).refreshed.append((now - 2, now - 1))
    yield "what a refresh replaced", refused(long, good)
    site.resource(long).refreshed.clear()
    assert has_replaced({"stored": False, "reason": "no-store", "status": 200}, False)
    assert not has_replaced({"stored": False, "reason": "no-room"}, False), "nobody was asked, for want of memory"
    later = _fetched(site, long, 1)
    assert refused(long, later, cache_status="memoproxy; hit") is None
    yield from _check_errors(site, judge, refused)
    yield "an older answer than was shown", refused(long, _fetched(site, long, 5), a=clock())
    site.listener.close()
