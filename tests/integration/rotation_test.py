"""A log file that is rotated by others: moved away and told, or copied and cut."""

import os
import signal
import tempfile
import unittest

from harness import Gateway, Sim, chat, main, portfolio, until

CHAT = "/v1/chat/completions"


class Rotation(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.sim = self.enterContext(Sim("--instant"))
        self.gw = Gateway(portfolio(self.sim, serve="log: {file: \"${LOG}\"}"), env={"LOG": self.file()})
        self.addCleanup(self.gw.stop)

    def file(self):
        return os.path.join(self.folder, "caudal.log")

    def lines(self, name=""):
        with open(self.file() + name) as f:
            return f.read().count(" request ")

    def ask(self, n):
        for _ in range(n):
            self.assertEqual(self.gw.post(CHAT, chat("x")).status, 200)

    def test_moved_away_and_told(self):
        self.ask(3)
        until(lambda: self.lines() == 3, "three lines")
        os.rename(self.file(), self.file() + ".1")
        self.ask(2)
        until(lambda: self.lines(".1") == 5, "the moved file goes on until it is told")
        self.gw.process.send_signal(signal.SIGUSR1)
        until(lambda: os.path.exists(self.file()), "the new file")
        self.ask(4)
        until(lambda: self.lines() == 4, "four lines in the new one")
        self.assertEqual(self.lines(".1"), 5)

    def test_copied_and_cut(self):
        self.ask(3)
        until(lambda: self.lines() == 3, "three lines")
        os.truncate(self.file(), 0)
        self.ask(2)
        until(lambda: self.lines() == 2, "two lines, at the beginning of the file")
        with open(self.file(), "rb") as f:
            self.assertNotIn(b"\0", f.read())

    def test_a_folder_that_is_gone_keeps_the_old_file(self):
        os.rename(self.folder, self.folder + ".moved")
        self.addCleanup(os.rename, self.folder + ".moved", self.folder)
        self.gw.process.send_signal(signal.SIGUSR1)
        self.ask(1)

        def said():
            with open(os.path.join(self.folder + ".moved", "caudal.log")) as f:
                return "error log" in f.read().replace("  ", " ")

        until(said, "the complaint, in the file that is still open")


if __name__ == "__main__":
    main()
