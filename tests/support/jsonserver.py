# SPDX-License-Identifier: MIT
"""json-server as a child process, with the data that node/make-data.js writes."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from .nginx import wait_listening
from .proxy import Port, Process

NODE = pathlib.Path(__file__).resolve().parent / "node"
SCRIPT = NODE / "node_modules" / "json-server" / "lib" / "cli" / "bin.js"


class JsonServer:
    @staticmethod
    def available():
        return shutil.which("node") and SCRIPT.exists()

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="json-server-test-")
        db = os.path.join(self.folder, "db.json")
        subprocess.run(["node", NODE / "make-data.js", db], check=True)
        self.reserved = Port()
        self.port = self.reserved.number
        self.process = Process(["node", str(SCRIPT), "--host", "127.0.0.1", "--port", str(self.port), "--quiet", db],
                               cwd=self.folder)
        wait_listening(self.port, self.process, "json-server")
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.reserved.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"
