# SPDX-License-Identifier: MIT
"""For whom a response is: what decides it (key, variant, user) is what the origin was sent, and nothing that the client said
beside it. Each on both paths, and from disk after a restart."""
import pytest

from support.origin import Reply
from support.proxy import Proxy, Port, eventually
from support.rawclient import Client, build
from support.secure import Pair, TlsClient

ROUTES = {
    "defaults": {"ttl": "60s"},
    "route keyed-by-address": {"match": "/address/*", "key_headers": "X-Forwarded-For"},
    "route user-by-address": {"match": "/user-address/*", "scope": "user", "user_from": "header:X-Forwarded-For"},
    "route user-by-field": {"match": "/user/*", "scope": "user", "user_from": "header:X-User"},
    "route user-by-word": {"match": "/user-word/*", "scope": "user", "user_from": "header:X-Forwarded-User"},
    "route keyed": {"match": "/keyed/*", "key_headers": "X-Tenant, X_Named"},
    "route forwarded": {"match": "/forwarded/*", "forward_headers": "X_Forwarded_Host"},
    "route passing": {"match": "/passing/*", "underscore_headers": "pass", "key_headers": "X-Tenant"},
    "route off": {"match": "/off/*", "cache": "off"},
    "route post": {"match": "/post/*", "methods": "GET, HEAD, POST, QUERY"},
    "route dropping": {"match": "/dropping/*", "query": "drop:utm"},
    "route any": {"match": "*"},
}
OWN = {"host", "via", "cdn-loop", "x-forwarded-for", "x-forwarded-proto"}


@pytest.fixture(scope="module", params=["fast path", "transaction"])
def two(request, origin):
    """A proxy on either path."""
    with Proxy(origin.url, {"cache": {"fast_path": "on" if request.param == "fast path" else "off"}, **ROUTES}) as p:
        yield p


def echo(vary="", status=200, fields=None):
    """Answers with all that the origin can see of who asked."""
    def script(request):
        seen = sorted(f"{n.lower()}={v}" for n, v in request.fields)
        out = {"Vary": vary} if vary else {}
        return [Reply(status, {**out, **(fields or {})}, "\n".join(seen).encode("latin-1"))]
    return script


def seen(response):
    """name -> values, as the origin saw them for this response."""
    out = {}
    for line in response.body.decode("latin-1").split("\n"):
        name, _, value = line.partition("=")
        out.setdefault(name, []).append(value)
    return out


def restarted(p, path, ask):
    """With what is stored on disk only."""
    eventually(lambda: all(e["disk"] for e in p.admin_json("GET", "/entries")["entries"]), "it is on disk")
    p.restart_from_disk()
    return ask()


# ---- fields that the proxy writes ----

def by_address(p, path):
    """Two clients of two forwarded addresses, twice: each sees its own."""
    for _ in range(2):
        for address in ("1.1.1.1", "9.8.7.6"):
            r = p.fetch(path, {"X-Forwarded-For": address})
            assert seen(r)["x-forwarded-for"] == [f"{address}, 127.0.0.1"], r.cache_status
            yield r


@pytest.mark.parametrize("folder, vary", [("/vary/", "X-Forwarded-For"), ("/address/", ""), ("/user-address/", "")])
def test_a_forwarded_address_that_selects_is_the_one_that_is_sent(two, origin, folder, vary):
    path = origin.on(folder + origin.fresh()[1:], echo(vary))
    assert [r.is_hit for r in by_address(two, path)] == [False, False, True, True]
    assert origin.count(path) == 2


@pytest.mark.parametrize("folder, vary", [("/vary/", "X-Forwarded-For"), ("/address/", ""), ("/user-address/", "")])
def test_clients_that_say_nothing_are_told_apart_by_their_own_address(two, origin, folder, vary):
    path = origin.on(folder + origin.fresh()[1:], echo(vary))
    for is_hit in (False, True):
        for address in ("127.0.0.1", "127.0.0.2"):
            with Client(two.port, source=address) as c:
                r = c.get(path)
                assert (seen(r)["x-forwarded-for"], r.is_hit) == ([address], is_hit)


def test_what_is_no_address_in_a_forwarded_list_selects_nothing(two, origin):
    path = origin.on(origin.fresh(), echo("X-Forwarded-For"))
    assert not two.fetch(path, {"X-Forwarded-For": "evil"}).is_hit
    assert two.fetch(path).is_hit
    assert two.fetch(path, {"Connection": "X-Forwarded-For", "X-Forwarded-For": "1.1.1.1"}).is_hit
    assert seen(two.fetch(path))["x-forwarded-for"] == ["127.0.0.1"]


def test_variants_by_a_forwarded_address_come_from_disk(origin, tmp_path):
    path = origin.on(origin.fresh(), echo("X-Forwarded-For"))
    with Proxy(origin.url, {"disk": {"path": str(tmp_path / "d"), "size": "16M"}, **ROUTES}) as p:
        list(by_address(p, path))
        for r in restarted(p, path, lambda: list(by_address(p, path))):
            assert r.is_hit
    assert origin.count(path) == 2


def test_a_claimed_scheme_selects_nothing(two, origin):
    path = origin.on(origin.fresh(), echo("X-Forwarded-Proto"))
    assert seen(two.fetch(path, {"X-Forwarded-Proto": "https"}))["x-forwarded-proto"] == ["http"]
    assert two.fetch(path).is_hit and two.fetch(path, {"X-Forwarded-Proto": "gopher"}).is_hit


def test_a_via_that_selects_is_the_one_that_is_sent(two, origin):
    path = origin.on(origin.fresh(), echo("Via"))
    own = seen(two.fetch(path))["via"][0]
    assert seen(two.fetch(path, {"Via": "1.0 a"}))["via"] == [f"1.0 a, {own}"]
    assert two.fetch(path).is_hit
    assert two.fetch(path, {"Via": "1.0 a"}).is_hit


# ---- what Connection takes away ----

@pytest.mark.parametrize("connection", [["Accept-Language"], ["accept-LANGUAGE"], ["close, Accept-Language, X-Y"],
                                        ["X-Y", "Accept-Language"], ["keep-alive", "x, y", ",Accept-Language,"]])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_field_between_hops_makes_no_variant(two, origin, connection, method):
    path = origin.on(origin.fresh(), echo("Accept-Language"))
    hop = [("Connection", c) for c in connection] + [("Accept-Language", "de")]
    assert not two.fetch(path, hop).is_hit
    assert "accept-language" not in seen(two.fetch(path))
    assert two.fetch(path, hop, method).is_hit and two.fetch(path, method=method).is_hit
    assert not two.fetch(path, {"Accept-Language": "de"}).is_hit, "this one was sent"
    assert origin.count(path) == 2


def test_a_field_between_hops_is_in_no_key(two, origin):
    path = origin.on("/keyed/" + origin.fresh()[1:], echo())
    assert not two.fetch(path, {"Connection": "X-Tenant", "X-Tenant": "a"}).is_hit
    assert "x-tenant" not in seen(two.fetch(path))
    assert two.fetch(path).is_hit
    assert seen(two.fetch(path, {"X-Tenant": "a"}))["x-tenant"] == ["a"]


def test_an_identity_between_hops_is_none(two, origin):
    path = origin.on("/user/" + origin.fresh()[1:], echo(fields={"Cache-Control": "private, max-age=60"}))
    assert seen(two.fetch(path, {"X-User": "alice"}))["x-user"] == ["alice"]
    for _ in range(2):
        r = two.fetch(path, {"Connection": "X-User", "X-User": "alice"})
        assert not r.is_hit and "x-user" not in seen(r)
    assert two.fetch(path, {"X-User": "alice"}).is_hit


def test_an_identity_that_only_a_proxy_may_say_is_sent_where_it_is_the_key(two, origin):
    path = origin.on("/user-word/" + origin.fresh()[1:], echo())
    for _ in range(2):
        for user in ("alice", "bob"):
            assert seen(two.fetch(path, {"X-Forwarded-User": user}))["x-forwarded-user"] == [user]
    assert origin.count(path) == 2


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "Cache-Control"])
def test_what_connection_can_not_take_is_sent_and_selects(two, origin, name):
    path = origin.on(origin.fresh(), echo(name, fields={"Cache-Control": "public, max-age=60"}))
    a, b = ({"Connection": name, name: v} for v in ("x=1", "x=2"))
    assert seen(two.fetch(path, a))[name.lower()] == ["x=1"]
    assert seen(two.fetch(path, b))[name.lower()] == ["x=2"]


def test_a_condition_or_range_between_hops_counts_for_nobody(two, origin):
    path = origin.on(origin.fresh(), [Reply(200, {"ETag": '"v"'}, b"0123456789")])
    two.fetch(path)
    for name, value in (("If-None-Match", '"v"'), ("Range", "bytes=0-1"), ("If-Match", '"other"')):
        r = two.fetch(path, {"Connection": name, name: value})
        assert (r.status, r.body) == (200, b"0123456789")


def test_a_body_is_keyed_with_the_fields_that_go_with_it(two, origin):
    for method in ("POST", "QUERY"):
        path = origin.on("/post/" + origin.fresh()[1:], echo("Accept-Language"))
        hop = {"Connection": "Accept-Language", "Accept-Language": "de"}
        assert not two.fetch(path, hop, method, b"q").is_hit
        r = two.fetch(path, {}, method, b"q")
        assert r.is_hit and "accept-language" not in seen(r)
        assert not two.fetch(path, {}, method, b"r").is_hit


def test_a_connection_that_names_too_much_is_refused(two, origin):
    path = origin.on(origin.fresh(), echo())
    two.fetch(path)
    r = two.fetch(path, {"Connection": ", ".join(f"x-{i}" for i in range(300))})
    assert r.status == 431
    assert two.fetch(path).is_hit


# ---- names that become others ----

TWINS = ["X_Forwarded_Host", "X_HTTP_Method_Override", "Accept_Language", "X-Forwarded_For", "x_original-url", "X.Forwarded.Host",
         "Cookie_", "_", "X_Api_Key", "Content_Length", "Transfer_Encoding", "If_None_Match", "X_Tenant"]


@pytest.mark.parametrize("folder", ["/plain/", "/keyed/", "/off/", "/user/", "/post/"])
def test_names_that_programs_take_for_others_do_not_pass(two, origin, folder):
    path = origin.on(folder + origin.fresh()[1:], echo())
    for method in ("GET", "POST"):
        r = two.fetch(path, [(n, "evil") for n in TWINS] + [("X-Stays", "1")], method, b"b" if method == "POST" else b"")
        assert "evil" not in r.body.decode() and seen(r)["x-stays"] == ["1"]


@pytest.mark.parametrize("folder", ["/plain/", "/keyed/", "/off/", "/user/", "/post/"])
def test_names_that_are_dropped_are_counted(two, origin, folder):
    path = origin.on(folder + origin.fresh()[1:], [Reply(200, {"Cache-Control": "max-age=60"}, b"x")])
    fields = {"x_one": "1", "x.two": "2", "X-Stays": "3"}
    for _ in range(2):
        before = two.stats()["requests"]["underscore_fields"]
        two.fetch(path, fields)
        assert two.stats()["requests"]["underscore_fields"] == before + 2
    assert "underscore_fields_total" in two.admin("GET", "/metrics").body.decode()


def test_a_name_with_an_underscore_that_is_keyed_passes(two, origin):
    path = origin.on("/keyed/" + origin.fresh()[1:], echo())
    for _ in range(2):
        for value in ("a", "b"):
            assert seen(two.fetch(path, {"x_named": value}))["x_named"] == [value]
    assert origin.count(path) == 2


def test_a_name_with_an_underscore_that_may_go_on_passes(two, origin):
    path = origin.on("/forwarded/" + origin.fresh()[1:], echo())
    assert seen(two.fetch(path, {"X_Forwarded_Host": "a", "X_Other": "b"})).get("x_forwarded_host") == ["a"]
    assert "x_other" not in seen(two.fetch(path))


def test_where_underscores_pass_those_of_known_fields_do_not(two, origin):
    path = origin.on("/passing/" + origin.fresh()[1:], echo())
    r = two.fetch(path, [(n, "evil") for n in TWINS if n not in ("_", "Cookie_")] + [("page_id", "7")])
    assert "evil" not in r.body.decode()
    assert seen(r)["page_id"] == ["7"]


OVERRIDES = ["Client-IP", "X-Remote-Addr", "X-Originating-IP", "X-Base-Url", "X-Matched-Path", "X-Invoke-Path", "X-Invoke-Query",
             "X-Nextjs-Data", "X-Envoy-Original-Path", "X-SSL-Client-Cert", "X-Proto", "X-Original-URL", "X-Rewrite-URL",
             "X-HTTP-Method-Override", "X-Middleware-Subrequest", "X-Real-IP", "Forwarded", "X-Host", "Fastly-Client-IP",
             "X-Original-Method", "X-Http-Path-Override", "Remote-User", "SSL-Client-Cert", "X-Client-Cert",
             "X-Sendfile-Type", "X-Now-Route-Matches", "X-React-Router-SPA-Mode", "X-Nuxt-No-SSR", "X-Astro-Path", "Disguised-Host",
             "X-Vercel-Forwarded-For", "X-Http-Scheme"]


def test_fields_that_programs_obey_do_not_pass_unkeyed(two, origin):
    path = origin.on(origin.fresh(), echo())
    r = two.fetch(path, [(n, "evil") for n in OVERRIDES])
    assert set(seen(r)) == OWN
    off = origin.on("/off/" + origin.fresh()[1:], echo())
    assert seen(two.fetch(off, {"X-HTTP-Method-Override": "PUT"}))["x-http-method-override"] == ["PUT"]


# ---- a response to POST that is kept for GET ----

@pytest.mark.parametrize("field", ["X-HTTP-Method-Override", "X-Original-URL", "X-Real-IP", "Client-IP"])
def test_a_response_made_for_an_unkeyed_field_is_not_kept_for_get(two, origin, field):
    path = origin.fresh()
    origin.on(path, echo(fields={"Cache-Control": "max-age=60", "Content-Location": path}))
    assert seen(two.fetch(path, {field: "evil"}, "POST", b"x"))[field.lower()] == ["evil"]
    r = two.fetch(path)
    assert not r.is_hit and "evil" not in r.body.decode()
    two.purge(url=path)
    two.fetch(path, {}, "POST", b"x")
    assert two.fetch(path).is_hit


def test_a_response_made_for_a_dropped_parameter_is_not_kept_for_get(two, origin):
    path = "/dropping/" + origin.fresh()[1:]
    origin.on(path, echo(fields={"Cache-Control": "max-age=60", "Content-Location": path}))
    two.fetch(path + "?utm=evil", {}, "POST", b"x")
    assert not two.fetch(path).is_hit


# ---- long fields ----

def test_long_fields_select_byte_for_byte(two, origin):
    path = origin.on(origin.fresh(), echo("Accept-Language"))
    with two.client() as c:
        for n in range(64):
            c.get(path, {"Accept-Language": f"x{n}" + ", de;q=0.5" * 2900})
        assert c.get(path, {"Accept-Language": "x63" + ", de;q=0.5" * 2900}).is_hit
        assert not c.get(path, {"Accept-Language": "x64" + ", de;q=0.5" * 2900}).is_hit
        assert c.get(path, {"Accept-Language": "x64" + ", de;q=0.5" * 2900}).is_hit
        assert not c.get(path, {"Accept-Language": "x64" + ",de;q=0.5" * 2900}).is_hit


# ---- Host ----

@pytest.fixture(scope="module", params=["on", "off"])
def by_host(request, origin):
    with Proxy(origin.url, {"cache": {"fast_path": request.param}, "upstream": {"host_header": "client"}, **ROUTES}) as p:
        yield p


SPELLINGS = ["victim.test:80", "victim.test:", "victim.test:00080", "VICTIM.test", "Victim.Test:0080"]


def test_the_host_of_the_key_is_the_host_that_is_sent(by_host, origin):
    for spelling in SPELLINGS:
        path = origin.on(origin.fresh(), echo())
        assert seen(by_host.fetch(path, host=spelling))["host"] == ["victim.test"]
        assert by_host.fetch(path, host="victim.test").is_hit
        assert by_host.fetch(f"http://{spelling}{path}", host="other.test").is_hit
        assert not by_host.fetch(path, host="victim.test:443").is_hit
        assert seen(by_host.fetch(path, host="victim.test:443"))["host"] == ["victim.test:443"]


@pytest.mark.parametrize("host", ["victim.test:99999", "victim.test:x", "victim.test:-1", "victim.test:80:80", "victim.test:000000080"])
def test_a_host_with_a_bad_port_is_refused(by_host, origin, host):
    path = origin.on(origin.fresh(), echo())
    assert by_host.fetch(path, host=host).status == 400
    assert origin.count(path) == 0


def test_a_purge_finds_the_host_in_any_spelling(by_host, origin):
    for spelling in [*SPELLINGS, "victim.test:443"]:
        path = origin.on(origin.fresh(), echo())
        by_host.fetch(path, host=spelling)
        assert by_host.fetch(path, host=spelling).is_hit
        by_host.purge(url=f"http://{spelling}{path}")
        assert not by_host.fetch(path, host=spelling).is_hit
    assert by_host.explain(f"http://victim.test:80{path}")["cacheable"]


def test_a_write_invalidates_what_was_asked_with_another_spelling(by_host, origin):
    path = origin.on(origin.fresh(), echo())
    by_host.fetch(path, host="victim.test")
    by_host.fetch(path, method="PUT", body=b"x", host="VICTIM.TEST:80")
    assert not by_host.fetch(path, host="victim.test").is_hit


# ---- the scheme, where clients come by both ----

@pytest.fixture(scope="module", params=["on", "off"])
def both(request, origin, tmp_path_factory):
    """A plain and a tls listener: (proxy, ask) with ask(scheme, path, ...)."""
    folder, plain = tmp_path_factory.mktemp("both"), Port()
    pair = Pair(folder)
    text = (f"[proxy]\nlisten = 127.0.0.1:{{port}} tls, 127.0.0.1:{plain.number}\nworkers = 2\nshutdown_grace = 2s\n"
            f"tls_certificate = {pair.certificate}\ntls_key = {pair.key}\n[admin]\nlisten = 127.0.0.1:{{admin_port}}\n"
            f"[upstream]\nurl = {origin.url}\n[cache]\nfast_path = {request.param}\n"
            f"[disk]\npath = {folder}/disk\nsize = 16M\n[defaults]\nttl = 60s\n")
    context = pair.context()
    with Proxy(origin.url, config_text=text) as p:
        def ask(scheme, path, fields=None):
            c = TlsClient(p.port, context) if scheme == "https" else Client(plain.number)
            with c:
                c.send(build("GET", path, fields))
                return c.response("GET")
        yield p, ask
    plain.release()


def to_https(request):
    """An origin that wants https."""
    if request.get("X-Forwarded-Proto") == "https":
        return [Reply(200, {}, b"secret page")]
    return [Reply(301, {"Location": "https://victim.test" + request.target, "Cache-Control": "max-age=60"})]


def test_a_redirect_to_https_is_not_for_those_who_came_by_it(both, origin):
    proxy, ask = both
    path = origin.on(origin.fresh(), to_https)
    for _ in range(2):
        assert ask("http", path).status == 301
        assert ask("https", path).body == b"secret page"
    assert origin.count(path) == 2
    for status, scheme in ((301, "http"), (200, "https")):
        assert restarted(proxy, path, lambda: ask(scheme, path)).status == status
    assert origin.count(path) == 2


def test_admin_calls_reach_the_responses_of_both_schemes(both, origin):
    proxy, ask = both
    path = origin.on(origin.fresh(), echo())
    count = lambda: origin.count(path)
    for scheme in ("http", "https"):
        ask(scheme, path)
        told = eventually(lambda: (lambda j: j["disk"] and j)(proxy.admin_json("GET", f"/explain?url={path}&scheme={scheme}")),
                          "it is on disk")
        assert (told["scheme"], len(told["memory"])) == (scheme, 1)
    assert proxy.explain(path)["scheme"] == "http"
    assert proxy.admin("GET", f"/explain?url={path}&scheme=gopher").status == 400
    assert proxy.refresh(path)["stored"] and count() == 4
    assert sorted(r.get("X-Forwarded-Proto") for r in origin.seen(path)[2:]) == ["http", "https"]
    for scheme in ("http", "https"):
        assert ask(scheme, path).is_hit
    proxy.purge(url=path)
    for scheme in ("http", "https"):
        assert not ask(scheme, path).is_hit
    assert len([e for e in proxy.admin_json("GET", f"/entries?prefix={path}")["entries"]]) == 2


def test_variants_by_scheme_survive_revalidation(both, origin):
    """The background fetch of a stale response asks for it by the scheme that it was stored for."""
    proxy, ask = both

    def script(request):
        return [Reply(200, {"Vary": "X-Forwarded-Proto", "Cache-Control": "max-age=0, stale-while-revalidate=60"},
                      request.get("X-Forwarded-Proto").encode())]
    path = origin.on(origin.fresh(), script)
    for n in range(3):
        for scheme in ("http", "https"):
            assert ask(scheme, path).body == scheme.encode()
        origin.wait_for(path, 2 * (n + 1))
        origin.wait_idle(path)


def test_a_trusted_balancer_says_the_scheme(start_proxy, origin):
    proxy = start_proxy({"proxy": {"trusted_proxies": "127.0.0.2, 10.0.0.0/8"}, "route all": {"match": "*", "ttl": "60s"}})
    path = origin.on(origin.fresh(), lambda r: [Reply(body=r.get("X-Forwarded-Proto"))])

    def ask(source, *said):
        with proxy.client(source=source) as c:
            fields = "".join(f"X-Forwarded-Proto: {v}\r\n" for v in said)
            c.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
            return c.response()
    assert ask("127.0.0.2", "https").body == b"https"
    assert ask("127.0.0.3", "https").body == b"http", "nobody else is believed, and the two are kept apart"
    for said in (("https, http",), ("gopher",), ("https", "http"), ()):
        r = ask("127.0.0.2", *said)
        assert r.body == b"http" and r.is_hit
    r = ask("127.0.0.2", "HTTPS")
    assert r.body == b"https" and r.is_hit
    proxy.write_config({"route all": {"match": "*", "ttl": "60s"}})
    proxy.admin_json("POST", "/reload")
    assert ask("127.0.0.2", "https").body == b"http"
