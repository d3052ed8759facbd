# SPDX-License-Identifier: MIT
"""The documents: every configuration that they show is one that the program takes."""
import subprocess

import pytest

from support.pages import blocks, is_configuration
from support.proxy import ROOT, binary, sanitized_environment
from support.secure import Pair

from conftest import need_binary

PAGES = sorted(str(p.relative_to(ROOT)) for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
SHOWN = [pytest.param(block, id=f"{page}-{block.splitlines()[0]}") for page in PAGES for block in filter(is_configuration, blocks(page))]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A folder with what the documents take to be there."""
    folder = tmp_path_factory.mktemp("machine")
    Pair(folder / "etc")
    Pair(folder)
    (folder / "etc" / "urls.txt").write_text("/a\n")
    (folder / "etc" / "token").write_text("of-the-documents")
    (folder / "etc" / "token").chmod(0o600)
    for page in ("down.html", "down.json", "no.html"):
        (folder / "etc" / page).write_text("{{id}}")
    (folder / "cache").mkdir()
    (folder / "routes").mkdir()
    (folder / "routes" / "a.ini").write_text("[route a]\nmatch = /a\n")
    return folder


def test_the_pages_show_configurations():
    assert len(SHOWN) > 10


@pytest.mark.parametrize("block", SHOWN)
def test_a_configuration_that_is_shown_is_taken(block, machine):
    need_binary()
    path = machine / "shown.ini"
    path.write_text(block.replace("/etc/memoproxy", str(machine / "etc")).replace("/var/cache/memoproxy", str(machine / "cache")))
    upstream = [] if "\nurl = " in block else ["--to", "http://127.0.0.1:3000"]
    done = subprocess.run([binary(), "-t", "--strict", "-c", path, *upstream], cwd=machine, capture_output=True, text=True, timeout=60, check=False,
                          env=sanitized_environment({"ADMIN_TOKEN": "of-the-documents", "DEBUG_SECRET": "of-the-documents"}))
    assert done.returncode == 0, done.stderr
