# SPDX-License-Identifier: MIT
"""What was found: tables on the terminal and in results.md, aims with whether they are met, where the time goes if not."""
import os
import pathlib
import platform
import re
import shutil
import subprocess
import time

import servers

HERE = pathlib.Path(__file__).resolve().parent


def number(v):
    if v is None:
        return "-"
    if isinstance(v, str):
        return v
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.2f}"


class Report:
    def __init__(self, quick):
        self.quick, self.parts, self.missed, self.failures = quick, [], [], 0
        self.busy = os.getloadavg()[0]

    def heading(self, text):
        print(f"\n== {text}", flush=True)
        self.parts.append(f"\n## {text}\n")

    def text(self, text):
        print(text, flush=True)
        self.parts.append(text + "\n")

    def table(self, columns, rows):
        rows = [[number(cell) for cell in row] for row in rows]
        widths = [max(len(r[i]) for r in [columns, *rows]) for i in range(len(columns))]
        for row in [columns, *rows]:
            print("   " + "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                                    for i, (cell, w) in enumerate(zip(row, widths))), flush=True)
        self.parts.append("| " + " | ".join(columns) + " |")
        self.parts.append("| --- |" + " ---: |" * (len(columns) - 1))
        self.parts += ["| " + " | ".join(row) + " |" for row in rows]
        self.parts.append("")

    def aim(self, what, value, at_most=None, at_least=None):
        bound = at_most if at_most is not None else at_least
        met = value <= bound if at_most is not None else value >= bound
        words = f"{what}: {number(value)}; aim: at {'most' if at_most is not None else 'least'} {number(bound)}: " \
                f"{'met' if met else 'MISSED'}"
        print(f"   {words}", flush=True)
        self.parts.append(f"- {words}")
        if not met:
            self.missed.append(words)
        return met

    def failed(self, what):
        self.failures += 1
        self.text(f"\n**{what}**\n")

    def profile(self, title, lines):
        self.text(f"\nWhere the time goes ({title}):\n")
        for line in lines:
            self.text(f"    {line}")

    def write(self, path):
        head = ["# What `make bench` measured\n",
                "Written by bench/run.sh; every figure is of one run on one machine. CPU microseconds a request are "
                "the user and system time of all threads and processes of a server (/proc/PID/stat), divided by the "
                "requests answered; medians of interleaved rounds. The server has one core, the load another.\n"]
        if self.quick:
            head.append("**A quick run: too short for conclusions.**\n")
        head.append("| what | version |\n| --- | --- |")
        head += [f"| {name} | {version} |" for name, version in servers.versions().items()]
        head += [f"| machine | {machine()} |", f"| kernel | {platform.release()} |",
                 f"| load average before the run | {self.busy:.2f} (others' work, which falsifies latency most) |",
                 f"| date | {time.strftime('%Y-%m-%d', time.gmtime())} |"]
        tail = ["\n## Aims missed\n"] + ([f"- {m}" for m in self.missed] or ["None."])
        pathlib.Path(path).write_text("\n".join(head + self.parts + tail) + "\n")


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    return f"{os.cpu_count()} x {model.group(1) if model else platform.machine()}, " \
           f"{int(memory.group(1)) // (1 << 20)} GiB, {system.group(1) if system else platform.system()}"


def profiled(server, load, folder):
    """The functions that a server spends its time in while load() runs."""
    if not shutil.which("perf"):
        load()
        return ["perf is not installed"]
    data = pathlib.Path(folder) / "perf.data"
    pids = ",".join(map(str, server.pids))
    recorder = subprocess.Popen(["perf", "record", "-q", "-F", "1999", "-e", "cpu-clock", "-o", data, "-p", pids],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    load()
    recorder.terminate()
    recorder.wait()
    lines = []
    for sort, most in (("dso", 4), ("sym", 16)):
        text = subprocess.run(["perf", "report", "-i", data, "--stdio", "-q", "--sort", sort], capture_output=True,
                              text=True).stdout
        lines += [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if "%" in line][:most]
    return lines or ["perf recorded nothing"]
