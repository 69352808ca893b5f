"""What `make install` puts in place works from there, and needs nothing of the sources."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import CAUDAL, Process, chat, main, until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.dirname(os.path.dirname(os.path.dirname(CAUDAL)))


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run([os.path.join(ROOT, "tools", "install"), cls.folder + "/root", "/usr/local", BUILD],
                       check=True, stdout=subprocess.DEVNULL, timeout=60)
        cls.there = cls.folder + "/root/usr/local"
        cls.caudal = cls.there + "/bin/caudal"
        cls.elsewhere = cls.folder + "/elsewhere"
        os.mkdir(cls.elsewhere)

    def run_it(self, *args):
        return subprocess.run([self.caudal, *args], cwd=self.elsewhere, capture_output=True, text=True, timeout=60)

    def example(self, name):
        return f"{self.there}/share/caudal/examples/{name}"

    def test_every_command_has_its_page(self):
        pages = os.listdir(self.there + "/share/man/man1")
        listed = self.run_it("--help").stdout
        commands = re.findall(r"^  (\w+)  +\w", listed, re.M)
        self.assertIn("serve", commands)
        for command in commands:
            self.assertIn(f"caudal-{command}.1", pages)
            self.assertEqual(self.run_it(command, "--help").returncode, 0, command)

    def test_what_the_documents_link_is_there(self):
        links = 0
        for folder, _, files in os.walk(self.there + "/share/doc/caudal"):
            for name in files:
                with open(os.path.join(folder, name)) as f:
                    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", f.read()):
                        self.assertTrue(os.path.exists(os.path.join(folder, link)), f"{name} links {link}")
                        links += 1
        self.assertGreater(links, 20)

    def test_the_examples_are_right_from_anywhere(self):
        names = [n for n in os.listdir(self.there + "/share/caudal/examples") if n.endswith(".yaml")]
        self.assertIn("quickstart.yaml", names)
        for name in names:
            checked = self.run_it("check", self.example(name))
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_quickstart_serves(self):
        self.addCleanup(setattr, harness, "CAUDAL", harness.CAUDAL)
        harness.CAUDAL = self.caudal
        # The launcher of the real engine is found, or serve would not start; its weights are not here.
        env = {"CAUDAL_STATE": self.elsewhere + "/state", "XDG_CACHE_HOME": self.elsewhere, "LLAMA_SERVER": ""}
        env["MODEL"] = env["PORT"] = ""
        with Process(["serve", "--listen", "127.0.0.1:0", self.example("quickstart.yaml")], env=env,
                     cwd=self.elsewhere) as gw:
            until(lambda: gw.get("/readyz").status == 200)
            answer = gw.post("/v1/chat/completions", chat("hello", model="gpt-oss-120b"))
            self.assertEqual(answer.status, 200, answer)
            log = self.elsewhere + "/state/here-a.log"
            until(lambda: os.path.exists(log) and "there is no model SmolLM2" in open(log).read())


if __name__ == "__main__":
    main()
