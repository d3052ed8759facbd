# SPDX-License-Identifier: MIT
"""What servers make of a path: steps that are known of some server or framework, and what any few of them make of it in any order."""
import re

OVERLONG = re.compile("[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf][\x80-\xbf]")


def unescape(path, kept=""):
    """Each %xx once, but those of the kept bytes; the result has one character a byte."""
    def one(match):
        c = chr(int(match[1], 16))
        return match[0] if c in kept else c
    return re.sub("%([0-9A-Fa-f]{2})", one, path)


def long_utf8(path):
    def one(match):
        n = 0
        for c in match[0][1:]:
            n = n << 6 | ord(c) & 0x3f
        return chr(n | (ord(match[0][0]) & 1) << 6 if len(match[0]) == 2 else n)
    return OVERLONG.sub(one, path)


def without_dots(path):
    out = []
    parts = path.split("/")
    for i, part in enumerate(parts):
        if part == ".." and len(out) > 1:
            out.pop()
        if part not in (".", ".."):
            out.append(part)
        elif i == len(parts) - 1:
            out.append("")
    return "/".join(out)


STEPS = {
    "decode": unescape,
    "decode but slashes": lambda p: unescape(p, "/\\"),  # Apache, Tomcat
    "decode but what is reserved": lambda p: unescape(p, "%:/?#[]@!$&'()*+,;=\\ \n\r\0"),  # RFC 3986 6.2.2.2
    "decode but semicolons": lambda p: unescape(p, ";"),
    "decode but percent signs": lambda p: unescape(p, "%"),
    "decode slashes": lambda p: re.sub("(?i)%2f", "/", p),
    "decode %u": lambda p: re.sub("%[uU]00([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), p),  # IIS
    "overlong": long_utf8,
    "fold": lambda p: re.sub("//+", "/", p),
    "strip": lambda p: re.sub(";[^/]*", "", p),  # Java's
    "cut at ;": lambda p: p.split(";")[0],
    "reverse": lambda p: p.replace("\\", "/"),  # IIS, .NET
    "dots": without_dots,
    "end at NUL": lambda p: p.split("\0")[0],
    "end at line": lambda p: re.split("[\r\n]", p)[0],
    "end at ? or #": lambda p: re.split("[?#]", p)[0],
}

# For messages, and so that no server that is known is lost where the depth is cut.
SERVERS = {
    "nginx": ["decode", "fold", "dots"],
    "Apache": ["decode but slashes", "dots", "fold"],
    "Tomcat": ["strip", "decode but slashes", "reverse", "fold", "dots"],
    "Jetty": ["decode", "strip", "dots", "fold"],
    "IIS": ["decode %u", "decode", "decode", "overlong", "reverse", "dots", "fold"],
    "Go": ["decode", "fold", "dots"],
    "Express": ["decode"],
    "CGI behind a decoding front": ["decode", "fold", "decode", "dots", "fold"],
    "C strings": ["decode", "end at NUL", "fold", "dots"],
    "a front that folds": ["fold", "decode", "dots"],
    "decoded before it is split": ["decode", "end at ? or #", "decode", "fold"],
}


def readings(path, depth):
    """All that servers may make of it by that many steps; with how they came to it."""
    known = {path: ()}
    edge = [path]
    for _ in range(depth):
        following = []
        for p in edge:
            for name, step in STEPS.items():
                q = step(p)
                if q not in known:
                    known[q] = (*known[p], name)
                    following.append(q)
        edge = following
    for server, steps in SERVERS.items():
        p = path
        for name in steps:
            p = STEPS[name](p)
        known.setdefault(p, (server,))
    return known
