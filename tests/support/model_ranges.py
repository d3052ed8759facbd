# SPDX-License-Identifier: MIT
"""What the model says of Ranges: which bytes one may be answered with, and what a herd of them costs the origin.

  bytes        206 bears exactly the bytes that were asked for and that there are, each in its place; 416 is said only where there are
               none of them; 200 with the whole always does. With If-Range, a part is of that very version.
  calls        A herd on nothing that is stored, whatever its ranges are, is one call for the whole, and so are those who want the whole
               with it. What may not be shared costs one call for the whole, and then each his own Range; so does what is larger
               than max_object. It is remembered: the next herd goes with its own Ranges at once. Where the whole breaks off, who is
               behind that asks once by himself, and gets it. A herd of HEADs is one HEAD, or none where the whole is being fetched.
               With range_fill = pass a Range never makes the whole be fetched.
The herds are on paths that nobody else asks for: support/model.py's do_ranges.
"""
import re

LOWS = (0, 0, 10, 100, 1000, 50000)  # where clients' ranges begin
KINDS = ("plain", "plain", "private", "nostore", "large", "large", "cut", "pass", "head")


# ---- ranges: [first, last], [first, None], [None, how many], or a list of these ----

def _pairs(asked):
    return asked if isinstance(asked[0], list) else [asked]


def text_of(asked):
    return "bytes=" + ",".join("-".join("" if x is None else str(x) for x in pair) for pair in _pairs(asked))


def picked(asked, n):
    """(first, last) of each that a body of n bytes has."""
    out = []
    for first, last in _pairs(asked):
        if first is None:
            first, last = max(0, n - last), n - 1
        last = n - 1 if last is None else min(last, n - 1)
        if first <= last:
            out.append((first, last))
    return out


def of_request(request, n):
    """Of a request to the origin, which heeds one range: (first, last); () where it has none of it; None: the whole is meant."""
    m = re.fullmatch(r"bytes=(\d*)-(\d*)", request.get("range", ""))
    if not m:
        return None
    first, last = (int(x) if x else None for x in m.groups())
    return (picked([first, last], n) or [()])[0]


def is_rest(request):
    """Is it the proxy's own, for the rest of a part that it has? Without a validator that goes without If-Range; then only where it
    begins tells it from a client's, of whose parts none ends just before one of LOWS."""
    m = re.fullmatch(r"bytes=(\d+)-", request.get("range", ""))
    return bool(m and (request.get("if-range") or int(m[1]) not in LOWS))


def make_range(rng):
    dice = rng.random()
    low = rng.choice(LOWS)
    if dice < 0.1:
        return [None, rng.choice((1, 50, 5000))]
    if dice < 0.2:
        return [low, None]
    if dice < 0.25:
        return [[low, low + 9], [low + 200, low + 300]]
    return [low, low + rng.choice((0, 5, 100, 100000))]


def expected(asked, answer, body):
    """(the bytes that a 206 has to bear, None) or (None, why it is no response). Of several parts, those that it bears."""
    ranges = picked(asked, len(body))
    kind = answer.get("content-type") or ""
    if not ranges:
        return None, f"206 of {asked}, of {len(body)} bytes"
    if not kind.startswith("multipart/byteranges"):
        first, last = ranges[0]
        if len(ranges) > 1 or answer.get("content-range") != f"bytes {first}-{last}/{len(body)}":
            return None, f"Content-Range {answer.get('content-range')} for {asked} of {len(body)}"
        return body[first:last + 1], None
    if not answer.complete:
        return answer.body, None
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    parts = [p.partition(b"\r\n\r\n") for p in answer.body.split(boundary)[1:-1]]
    got = [(re.search(rb"(?i)content-range: (.*)", head)[1].strip(), data[:-2]) for head, _, data in parts]
    if got != [(b"bytes %d-%d/%d" % (first, last, len(body)), body[first:last + 1]) for first, last in ranges]:
        return None, f"parts {[g[0] for g in got]} for {asked} of {len(body)}"
    return answer.body, None


# ---- herds ----

def make_herd(rng):
    """[kind, what each client wants]: a range, "whole", "HEAD", or "own": a range asked for with a credential."""
    kind = rng.choice(KINDS)
    if kind == "head":
        return [kind, ["HEAD"] * 5 + [make_range(rng)] * rng.choice((0, 0, 2))]
    wants = [make_range(rng) for _ in range(rng.randint(2, 7))]
    if kind != "cut":
        wants += rng.choice(([], [], ["whole"], ["HEAD"], ["whole", "HEAD", "own"]))
    rng.shuffle(wants)
    return [kind, wants]


def how_of(want):
    if want == "whole":
        return {}
    if want == "HEAD":
        return {"method": "HEAD"}
    return {"range": [5, 20], "cookie": "sid=1"} if want == "own" else {"range": want}


def why_not_herd(kind, is_first, asked, fetches, n):
    """asked: [(how, when, answer)], of one step; fetches: what the origin saw in it; n: how long the body is. is_first: nothing was
    known before."""
    if fetches and any(a > fetches[0].answered for _, a, _ in asked):
        return None  # the machine was busy with something else
    ranges = [how for how, _, _ in asked if "range" in how]
    alone = sum("cookie" in how for how in ranges)
    heads = sum(how.get("method") == "HEAD" for how, _, _ in asked)
    wholes = len(asked) - len(ranges) - heads
    if not is_first and kind == "cut":
        return None
    # A body that is wanted whole and too large for memory may have gone to disk, and come from there.
    leads_again = is_first or (kind == "large" and wholes > 0)
    at_most = {"plain": (1, alone), "head": (min(len(ranges), 1), 0), "pass": (min(wholes, 1), len(ranges)), "cut": (1, len(ranges))}.get(
        kind, (wholes + leads_again, len(ranges)))
    seen = (sum(f.method == "GET" and not f.has_range for f in fetches), sum(f.method == "GET" and f.has_range for f in fetches))
    if seen[0] > at_most[0] or seen[1] > at_most[1]:
        return f"{seen[0]} calls for the whole and {seen[1]} for ranges, not {at_most[0]} and {at_most[1]}"
    if sum(f.method == "HEAD" for f in fetches) > (heads if kind in ("private", "nostore", "large") else min(heads, 1)):
        return f"{sum(f.method == 'HEAD' for f in fetches)} HEADs"
    return next(filter(None, (_why_not(how, answer, n, n // 2 if kind == "cut" else None) for how, _, answer in asked)), None)


def _why_not(how, answer, n, cut_at):
    """A client that the whole did not reach is answered by a call of its own; one that has got a part of its bytes is not."""
    if "range" not in how:
        return None if answer.complete else f"not answered to its end: {answer.problem}"
    ranges = picked(how["range"], n)
    if not answer.complete and not (cut_at and any(first < cut_at <= last for first, last in ranges)):
        return f"{how} is not answered to its end: {answer.problem}"
    is_whole_as_good = len(ranges) != 1 or ranges[0] == (0, n - 1) or isinstance(how["range"][0], list)
    if answer.status not in (206, 416) and not (answer.status == 200 and is_whole_as_good):
        return f"{answer.status} for the range {how['range']} of {n}"
    return None
