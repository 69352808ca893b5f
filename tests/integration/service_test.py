"""What a service manager hears (a socket of ours in systemd's place), and the files that it reads."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import CAUDAL, PATIENCE_S, ROOT, Gateway, Process, Sim, main, portfolio, until


class Manager:
    """Listens where NOTIFY_SOCKET says."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
        self.heard = []

    def listen(self, what):
        """Waits until a message has this line; returns that message's lines."""
        while True:
            for i, message in enumerate(self.heard):
                if re.search(f"^{what}$", message, re.M):
                    del self.heard[:i + 1]
                    return message.split("\n")
            if not select.select([self.socket], [], [], PATIENCE_S)[0]:
                raise AssertionError(f"in vain for {what}, heard {self.heard}")
            self.heard.append(self.socket.recv(4096).decode())

    def close(self):
        self.socket.close()


class Service(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.sim = self.enterContext(Sim("--instant"))

    def manager(self, name=None):
        m = Manager(name or os.path.join(self.folder, "notify"))
        self.addCleanup(m.close)
        return m

    def gateway(self, text=None, name=None, **env):
        gw = Gateway(text or portfolio(self.sim), env={"NOTIFY_SOCKET": name or os.path.join(self.folder, "notify"), **env})
        self.addCleanup(gw.stop)
        return gw

    def test_ready_reloading_stopping(self):
        m = self.manager()
        gw = self.gateway()
        said = m.listen("READY=1")
        self.assertIn(f"MAINPID={gw.process.pid}", said)
        self.assertIn(f"STATUS=serving at http://127.0.0.1:{gw.port}/v1", said)
        gw.process.send_signal(signal.SIGHUP)
        m.listen("RELOADING=1")
        self.assertIn("STATUS=serving; reloaded", m.listen("READY=1"))
        with open(gw.file, "a") as f:
            f.write("nonsense: 1\n")
        gw.process.send_signal(signal.SIGHUP)
        m.listen("RELOADING=1")
        self.assertIn("STATUS=serving; the last reload was refused", m.listen("READY=1"))
        gw.process.send_signal(signal.SIGTERM)
        m.listen("STOPPING=1")
        self.assertEqual(gw.process.wait(PATIENCE_S), 0)

    def test_the_watchdog_is_fed_as_often_as_it_wants(self):
        m = self.manager("@caudal-test-" + str(os.getpid()))  # a name without a file
        self.gateway(name="@caudal-test-" + str(os.getpid()), WATCHDOG_USEC="300000", WATCHDOG_PID="1")
        m.listen("READY=1")
        for _ in range(5):
            m.listen("WATCHDOG=1")

    def test_without_a_watchdog_nothing_is_said_of_it(self):
        m = self.manager()
        gw = self.gateway()
        m.listen("READY=1")
        gw.process.send_signal(signal.SIGTERM)
        m.listen("STOPPING=1")
        self.assertNotIn("WATCHDOG=1", m.heard)

    def test_a_process_that_takes_over_is_the_main_one_from_then_on(self):
        m = self.manager()
        gw = self.gateway(portfolio(self.sim, serve=f"state: {self.folder}/state"), WATCHDOG_USEC="300000")
        m.listen("READY=1")
        next = Process(["serve", "--take-over", gw.file, "--listen", "127.0.0.1:0"],
                       env={"NOTIFY_SOCKET": os.path.join(self.folder, "notify"), "WATCHDOG_USEC": "300000"})
        self.addCleanup(next.stop)
        m.listen(f"MAINPID={next.process.pid}")
        self.assertEqual(gw.process.wait(PATIENCE_S), 0)
        m.listen("WATCHDOG=1")
        self.assertNotIn("STOPPING=1", "\n".join(m.heard).split("\n"))

    def test_engines_do_not_speak_for_the_gateway(self):
        m = self.manager()
        text = (f"caudal: 1\nserve: {{state: {self.folder}}}\npools: {{a: {{api: llama.cpp, serves: [m], "
                f"run: [{CAUDAL}, sim, --instant, --listen, \"127.0.0.1:${{PORT}}\"]}}}}\n")
        gw = self.gateway(text)
        m.listen("READY=1")
        pid = until(lambda: re.search(r"state=ready .*pid=(\d+)", gw.stderr()), "the engine").group(1)
        with open(f"/proc/{pid}/environ", "rb") as f:
            self.assertNotIn(b"NOTIFY_SOCKET", f.read())


class Files(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd-analyze here")
    def test_the_unit_is_right_and_lets_little_through(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = os.path.join(folder, "caudal.service")
            with open(os.path.join(ROOT, "dist", "caudal.service")) as f, open(unit, "w") as to:
                to.write(f.read().replace("/usr/local/bin/caudal", CAUDAL).replace("Documentation=", "#"))
            done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
            self.assertEqual((done.returncode, [x for x in done.stderr.splitlines() if "caudal.service" in x]), (0, []), done)
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", unit],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout[-3000:])

    def test_install_puts_them_in_place(self):
        with tempfile.TemporaryDirectory() as folder:
            build = os.path.dirname(os.path.dirname(os.path.dirname(CAUDAL)))
            subprocess.run([os.path.join(ROOT, "tools", "install"), folder, "/opt/caudal", build], check=True,
                           stdout=subprocess.PIPE)
            with open(os.path.join(folder, "opt/caudal/lib/systemd/system/caudal.service")) as f:
                self.assertIn("ExecStart=/opt/caudal/bin/caudal serve /etc/caudal/portfolio.yaml\n", f.read())
            for name in ("lib/sysusers.d/caudal.conf", "share/caudal/caudal.logrotate"):
                self.assertTrue(os.path.exists(os.path.join(folder, "opt/caudal", name)), name)


if __name__ == "__main__":
    main()
