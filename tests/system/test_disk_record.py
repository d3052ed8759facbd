"""What lives in memory lives on disk in the same way: windows of staleness, users, parts, encodings."""
from support.origin import Reply, Reset

from test_disk import Site, written


def test_an_unreachable_origin_is_stood_in_for_by_the_record_not_by_the_route(origin, tmp_path):
    """The window is the answer's own, as it was stored: a route changed since has no say in it."""
    site = Site(origin, tmp_path, sections={"defaults": {"stale_if_unreachable": "1h"}})
    path, broken = site.stem + "/u", []
    fields = {"Cache-Control": "max-age=0", "ETag": '"1"'}
    origin.on(path, lambda r: [Reset()] if broken else [Reply(200, fields, b"old")])
    with site.proxy() as p:
        assert p.fetch(path).body == b"old"
        written(p)
    broken.append(True)
    site.sections["defaults"]["stale_if_unreachable"] = "0"
    with site.proxy() as p:
        answer = p.fetch(path)
        assert answer.status == 200 and answer.body == b"old", answer
