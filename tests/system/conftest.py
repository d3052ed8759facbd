# SPDX-License-Identifier: MIT
"""Fixtures: one origin and one proxy per module (tests use paths of their own), and a factory for other configurations.

A module says what its shared proxy is configured with in a global CONFIG (sections of proxy.ini, over the defaults in
support/proxy.py).
"""
import os
import pathlib
import resource
import types

import pytest

from support.jsonserver import JsonServer
from support.nginx import Nginx
from support.origin import Origin
from support.proxy import Proxy, binary, eventually, merge

FILES_NEEDED = 10000
MARK = "MEMOPROXY_TEST_RUN"  # in the environment of all that the tests start


def pytest_configure(config):
    os.environ[MARK] = f"{os.getpid()}"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_NEEDED if hard == resource.RLIM_INFINITY else min(FILES_NEEDED, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def pytest_collection_modifyitems(items):
    """Files that hold a long test begin first: a file is run by one process, and the last one to begin ends the run."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)  # else in their order


def left_processes():
    """{number: the test that started it}"""
    left, mark = {}, f"{MARK}={os.environ[MARK]}"
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or is another user's
        if mark in environment and int(folder.name) != os.getpid():
            left[folder.name] = next((e for e in environment if e.startswith("PYTEST_CURRENT_TEST=")), "")
    return left


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(nextitem):
    """No process outlives the tests, above all no proxy that one believes to have stopped. After the last fixture, which a fixture can't be."""
    yield
    if nextitem:
        return
    try:
        eventually(lambda: not left_processes(), "all processes have ended", 10)
    except AssertionError:
        pytest.fail(f"left behind: {left_processes()}", pytrace=False)


def need_binary():
    if not os.access(binary(), os.X_OK):
        pytest.fail(f"no program at {binary()}: run make, or set MEMOPROXY_BIN", pytrace=False)


@pytest.fixture(scope="module")
def origin():
    with Origin() as o:
        yield o


@pytest.fixture(scope="module")
def shared(request, origin):
    """Holds the module's proxy: a test that kills it must not take the following ones along."""
    need_binary()
    holder = types.SimpleNamespace(proxy=Proxy(origin.url, getattr(request.module, "CONFIG", None)).start())
    yield holder
    if holder.proxy:
        holder.proxy.stop()


@pytest.fixture
def proxy(shared, origin, request):
    if shared.proxy is None:
        shared.proxy = Proxy(origin.url, getattr(request.module, "CONFIG", None)).start()
    yield shared.proxy
    if not shared.proxy.process.alive:
        dead, shared.proxy = shared.proxy, None
        status, text = dead.process.child.returncode, dead.stderr[-8000:]
        pytest.fail(f"memoproxy ended in this test, status {status}:\n{text}", pytrace=False)


@pytest.fixture(scope="module", params=["fast path", "transaction"])
def either_path(request, origin):
    """The module's proxy, for every test once with the fast path and once without it."""
    need_binary()
    path = {"cache": {"fast_path": "on" if request.param == "fast path" else "off"}}
    with Proxy(origin.url, merge(request.module.CONFIG, path)) as p:
        yield p


@pytest.fixture
def start_proxy(origin):
    """start_proxy({"cache": {...}}): another proxy in front of the module's origin, ended and checked with the test."""
    need_binary()
    started = []

    def start(sections=None, upstream=None, **kwargs):
        started.append(Proxy(upstream or origin.url, sections, **kwargs).start())
        return started[-1]
    yield start
    failures = []
    for p in started:
        try:
            p.stop()
        except AssertionError as e:
            failures.append(str(e))
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="session")
def nginx():
    if not Nginx.available():
        pytest.skip("nginx is not installed")
    with Nginx() as n:
        yield n


@pytest.fixture(scope="module")
def json_server():
    if not JsonServer.available():
        pytest.skip("json-server is not installed: npm ci in tests/support/node")
    with JsonServer() as server:
        yield server
