# SPDX-License-Identifier: MIT
"""What a reader would copy out of the documents: the indented blocks of README.md and docs/use."""
import re

from .proxy import ROOT


def section(page, heading):
    """The text under a heading, up to the next one of its depth or above."""
    text = (ROOT / page).read_text()
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.M)
    assert found, f"{page} has no heading '{heading}'"
    rest = text[found.end():]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.M)
    return rest[:end.start()] if end else rest


def blocks_of(text):
    return [re.sub(r"^    ", "", block, flags=re.M) for block in re.findall(r"(?:\A|\n)\n?((?:    .*\n|\n(?=    ))+)", text)]


def blocks(page, heading=None):
    """The blocks under a heading, or of the whole page, without their indentation."""
    return blocks_of(section(page, heading) if heading else (ROOT / page).read_text())


def is_configuration(block):
    first = next((line for line in block.splitlines() if line and not line.startswith("#")), "")
    return bool(re.match(r"\[[a-z]+( [\w-]+)?\]$|include = ", first))


def sections(block):
    """A block of a configuration as support.proxy takes it: {"route users": {"match": ...}}."""
    made, name = {}, None
    for line in block.splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            made[name] = {}
        elif line and not line.startswith("#"):
            key, value = line.split(" = ", 1)
            made[name][key] = value
    return made
