"""An httpd for one test, and what curl gets from it."""

import contextlib
import copy
import itertools
import json
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree

import pytest

MODULES = "/usr/lib/apache2/modules"

# Modules that all tests load, beside the MPM.
ALWAYS = """authn_core authz_core authz_host headers env setenvif status alias rewrite slotmem_shm
            proxy proxy_http proxy_balancer lbmethod_byrequests""".split()

# Lines of level warn and above that have nothing to do with what is tested.
HARMLESS = [
    r"AH00098: pid file .* overwritten",
    r"server is within MinSpareThreads",
    r"server reached MaxRequestWorkers",
    # mpm_event, now and then, when it is stopped just as it has answered.
    r"AH0309[23]: process_\w+: apr_pollset_add failure",
    r"AH01873: Init: Session Cache is not configured",
    r"AH01882: Init: this version of mod_ssl was compiled against a newer library",
]

# What httpd says when a backend does not answer.
BACKEND_IS_DOWN = [
    r"AH00957: .* attempt to connect to .* failed",
    r"AH01114: .* failed to make connection to backend",
    r"AH01102: error reading status line from remote server",
    r"AH00898: Error reading from remote server",
    r"AH00959: ap_proxy_connect_backend disabling worker",
    r"AH00940: .* disabled connection for",
]


def own_ports():
    """The ports of this process of pytest-xdist, again and again, from a random one on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = 22000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = list(range(10000 + number * share, 10000 + (number + 1) * share))
    start = random.randrange(share)
    return itertools.cycle(ports[start:] + ports[:start])


PORTS = own_ports()


def wait_until(condition, what, seconds=20):
    """Polls; returns what the condition returned, or fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port(host="127.0.0.1"):
    """A port that nobody takes before it is listened on: not the system, for outgoing connections, nor a test that runs
    beside this one."""
    while True:
        with socket.socket() as probe:
            try:
                probe.bind((host, next(PORTS)))
                return probe.getsockname()[1]
            except OSError:
                pass


class Answer:
    """A response as curl printed it with --include (the last one, if there are several)."""

    def __init__(self, text):
        self.interim = []  # the heads of the responses before it
        while True:
            head, _, rest = text.partition("\r\n\r\n")
            if not re.match(r"HTTP/\S+ (1\d\d|200 Connection established)", head):
                break
            self.interim.append(head)
            text = rest
        lines = head.split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:] if ": " in line]
        self.body = rest

    def header(self, name):
        """The value of the first header of that name, or None; httpd's "(null)" is None too."""
        for key, value in self.headers:
            if key.lower() == name.lower():
                return None if value == "(null)" else value
        return None

    @property
    def set_cookies(self):
        """The values of all Set-Cookie headers, in order."""
        return [value for key, value in self.headers if key.lower() == "set-cookie"]

    # What the module left in the environment: the configuration of every test sends it in these headers.
    affinity = property(lambda self: self.header("X-Affinity"))
    worker = property(lambda self: self.header("X-Worker"))
    route = property(lambda self: self.header("X-Route"))
    route_changed = property(lambda self: self.header("X-Route-Changed"))
    session_sticky = property(lambda self: self.header("X-Session-Sticky"))
    session_route = property(lambda self: self.header("X-Session-Route"))


class Daemon:
    """A process that is not a child of this one, with those methods of subprocess.Popen that Server uses."""

    def __init__(self, pid):
        self.pid = pid
        self.handle = os.pidfd_open(pid)  # of this process, even if it ends and another gets its id

    def poll(self):
        return 0 if select.select([self.handle], [], [], 0)[0] else None

    def wait(self, timeout=None):
        if not select.select([self.handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("httpd", timeout)

    def send_signal(self, number):
        signal.pidfd_send_signal(self.handle, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Server:
    """httpd in the foreground on a free loopback port, with a folder of its own.

    configuration: what the test is about; `{port}` is not replaced, use ProxyPass and relative URLs.
    modules:       names of further modules to load ("proxy_hcheck", "http2", …)
    without:       names of modules not to load, of those that all tests have
    processes:     how many child processes there are, all the time.
    expected:      patterns of log lines of level warn and above that this test provokes.
    daemon:        httpd leaves its terminal: Debian starts it so, by `apachectl start`.
    files:         {name of a module: another file to load it from}
    """

    def __init__(self, folder, module, configuration, mpm="event", modules=(), processes=2, expected=(),
                 log_level="info lbmethod_sticky:debug", port=None, environment=None, without=(), daemon=False, files=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        (self.folder / "run").mkdir()
        self.port = port or free_port()
        self.scheme = "http"
        self.process = None
        self.stopped_at = None  # so long was the log then
        self.mpm = mpm
        self.module = module
        self.modules = [name for name in (*ALWAYS, *modules) if name not in without]
        self.files = files or {}
        self.processes = processes
        self.expected = list(expected)
        self.log_level = log_level
        self.environment = {"APACHE_LOG_DIR": str(self.folder), **(environment or {})}  # as Debian's envvars
        self.daemon = daemon
        self.log_path = self.folder / "error.log"
        self.conf_path = self.folder / "httpd.conf"
        self.configure(configuration)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def at(self, port, scheme="http"):
        """The same server, asked at another of its ports."""
        same = copy.copy(self)
        same.port, same.scheme = port, scheme
        return same

    def configure(self, configuration):
        """Writes the configuration file; in force with the next start() or graceful()."""
        threads = {
            "prefork": f"StartServers {self.processes}\nMinSpareServers {self.processes}\n"
                       f"MaxSpareServers {self.processes}\nMaxRequestWorkers {self.processes}",
        }.get(self.mpm, f"StartServers {self.processes}\nThreadsPerChild 16\n"
                        f"MinSpareThreads {16 * self.processes - 15}\n"
                        f"MaxSpareThreads {16 * self.processes + 16}\nServerLimit 16\n"
                        f"MaxRequestWorkers {16 * self.processes}")
        self.conf_path.write_text(f"""{self.basics()}
{threads}
<Directory />
    AllowOverride None
</Directory>
Header always set X-Affinity "%{{BALANCER_AFFINITY}}e"
Header always set X-Worker "%{{BALANCER_WORKER_NAME}}e"
Header always set X-Route "%{{BALANCER_WORKER_ROUTE}}e"
Header always set X-Route-Changed "%{{BALANCER_ROUTE_CHANGED}}e"
Header always set X-Session-Sticky "%{{BALANCER_SESSION_STICKY}}e"
Header always set X-Session-Route "%{{BALANCER_SESSION_ROUTE}}e"
{configuration}
""")

    def basics(self):
        """What every configuration begins with: where httpd lives, what it loads and logs."""
        # As Debian does it, alphabetically: this module comes before mod_proxy.
        paths = {name: f"{MODULES}/mod_{name}.so" for name in [f"mpm_{self.mpm}", *self.modules]}
        paths.update(self.files)
        if self.module:
            paths["lbmethod_sticky"] = self.module
        load = "\n".join(f"LoadModule {name}_module {paths[name]}" for name in sorted(paths))
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        if os.geteuid() == 0:
            os.chmod(self.folder, 0o755)
        return f"""
ServerRoot {self.folder}
DefaultRuntimeDir {self.folder}/run
PidFile {self.folder}/run/httpd.pid
# Nothing is served from there; but httpd's children, who are not root, look for what is not proxied, and pytest keeps
# its own folders to itself.
DocumentRoot {MODULES}
ServerName 127.0.0.1
Listen 127.0.0.1:{self.port}
ErrorLog {self.log_path}
{load}

{user}
LogLevel {self.log_level}
"""

    def command(self, *arguments):
        return ["apache2", "-f", str(self.conf_path), *arguments]

    def environ(self):
        environ = {**os.environ, **self.environment}
        preload = [environ.get("LD_PRELOAD"), os.environ.get("LBSTICKY_PRELOAD")]
        if all(preload):  # a sanitizer's library complains unless it is the first
            environ["ASAN_OPTIONS"] = f"{environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"
        if preload[1]:  # it looks for C++ functions to replace as soon as httpd, a C program, starts
            preload.append("libstdc++.so.6")
        environ["LD_PRELOAD"] = " ".join(filter(None, preload))
        return environ

    def start(self):
        if self.daemon:
            pid_file = self.folder / "run/httpd.pid"
            try:
                self.control("start")
            finally:
                if pid_file.exists():
                    self.process = Daemon(int(pid_file.read_text()))
            return
        with open(self.folder / "output", "ab") as output:
            # A session of its own: httpd ends its whole process group when it stops.
            self.process = subprocess.Popen(self.command("-DFOREGROUND"), stdout=output, stderr=output,
                                            stdin=subprocess.DEVNULL, env=self.environ(), start_new_session=True)
        wait_until(lambda: self.process.poll() is not None or self.starts() >= 1, "httpd is up")
        assert self.process.poll() is None, f"httpd did not start: {self.output()}\n{self.log()}"

    def control(self, word):
        """`httpd -k start`, `restart` or `graceful`, as apachectl runs it; waits until it is done."""
        with self.another_start(), open(self.folder / "output", "ab") as output:
            status = subprocess.run(self.command("-k", word), stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                    env=self.environ()).returncode
            assert status == 0, f"httpd -k {word}: {self.output()}\n{self.log()}"

    @contextlib.contextmanager
    def another_start(self):
        """Waits until httpd has started, or restarted, as the block tells it to."""
        before = self.starts()
        yield
        wait_until(lambda: self.starts() > before, "httpd has started")

    def check_configuration(self):
        """(exit code, output) of `httpd -t`."""
        result = subprocess.run(self.command("-t"), capture_output=True, text=True, env=self.environ())
        return result.returncode, result.stdout + result.stderr

    def output(self):
        return (self.folder / "output").read_text(errors="replace")

    def starts(self):
        return len(re.findall(r"resuming normal operations", self.log()))

    def graceful(self):
        """Restarts gracefully, and waits until the new generation is there."""
        with self.another_start():
            self.process.send_signal(signal.SIGUSR1)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.stopped_at = len(self.log())
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind, error, trace):
        self.stop()
        if kind is None:
            self.check_log()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def decisions(self):
        """The module's log lines about requests, from the name of the balancer on."""
        return re.findall(r"\[lbmethod_sticky:debug\].*?(balancer://\S+: affinity .*)", self.log())

    def choices(self):
        """[(child process, affinity, member's URL or None)] of the requests, in the order of the decisions."""
        pattern = r"\[lbmethod_sticky:debug\] \[pid (\d+).*?balancer://\S+: affinity (\w+)[^,]*,.*?member ?(\S*)$"
        lines = re.findall(pattern, self.log(), re.MULTILINE)
        return [(int(pid), affinity, member or None) for pid, affinity, member in lines]

    def own_cookies(self, balancer="mycluster"):
        """(given, not understood): the counts of the balancer's own cookies that the last start logged."""
        pattern = rf"balancer://{balancer}: own cookies so far: (\d+) given, (\d+) not understood"
        return tuple(int(number) for number in re.findall(pattern, self.log())[-1])

    def children(self):
        """The ids of the child processes."""
        parent = self.process.pid
        return {int(child) for child in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}

    def in_every_process(self, send, served=r"\[lbmethod_sticky:debug\] \[pid (\d+)"):
        """Calls `send`, which makes requests and returns a list, until each child process has served at least one.

        Returns all the results in one list. served: a pattern for log lines, whose group is the process that served.
        """
        wait_until(lambda: len(self.children()) >= self.processes, "all child processes are there")
        before = len(self.log())
        results = []

        def all_have_served():
            results.extend(send())
            return self.children() <= {int(pid) for pid in re.findall(served, self.log()[before:])}

        wait_until(all_have_served, "every child process has served a request")
        return results

    def complaints(self):
        """Log lines of level warn and above that are not expected, and any reports of a sanitizer."""
        allowed = [re.compile(pattern) for pattern in HARMLESS + self.expected]
        # A child of mpm_event that stops closes the sockets of its workers, which close them too. Once in some
        # 1,500 times both do it at once, without any module of ours too, and it says so or crashes: one line.
        log = self.log()
        if self.stopped_at is not None and self.mpm == "event":
            both_closed = r".*(?:exit signal Segmentation fault|AH00468: error closing socket).*\n"
            log = log[:self.stopped_at] + re.sub(both_closed, "", log[self.stopped_at:], count=1)
        lines = [line for line in log.splitlines()
                 if re.search(r"\[[a-z0-9_]*:(warn|error|crit|alert|emerg)\]", line)
                 or re.search(r"Sanitizer|runtime error:|exit signal|Segmentation", line)]
        lines += [line for line in self.output().splitlines() if re.search(r"Sanitizer|runtime error:", line)]
        return [line for line in lines if not any(pattern.search(line) for pattern in allowed)]

    def check_log(self):
        complaints = self.complaints()
        assert not complaints, "unexpected in the error log:\n" + "\n".join(complaints)

    # -- requests ------------------------------------------------------------------------------------------------

    def curl_command(self, path="/", *arguments, cookie=None, url=None):
        """One request with curl, which prints the response; `arguments` are curl's own."""
        command = ["curl", "--silent", "--show-error", "--include", "--max-time", "60", *arguments]
        if cookie is not None:
            command += ["--cookie", cookie]
        return command + [(url or self.url) + path]

    def curl(self, path="/", *arguments, cookie=None, url=None):
        """One request with curl; arguments as for curl_command(). An Answer."""
        command = self.curl_command(path, *arguments, cookie=cookie, url=url)
        # Output as bytes: those beyond ASCII are kept.
        result = subprocess.run(command, capture_output=True)
        assert result.returncode == 0, f"{command}: {result.stderr.decode(errors='replace')}"
        return Answer(result.stdout.decode("latin-1"))

    def bodies(self, count, *arguments, cookie=None, path="/"):
        """The bodies of `count` requests, made one after the other by one curl, each on a connection of its own."""
        command = ["curl", "--silent", "--show-error", "--max-time", "60", "--no-keepalive", "--header",
                   "Connection: close", "--write-out", "\n", *arguments]
        if cookie is not None:
            command += ["--cookie", cookie]
        separator = "&" if "?" in path else "?"
        result = subprocess.run(command + [f"{self.url}{path}{separator}n=[1-{count}]"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.split()

    def parallel(self, count, *arguments, cookie=None, path="/", at_once=32):
        """The status codes of `count` requests, so many at a time, each on a connection of its own."""
        command = ["curl", "--silent", "--show-error", "--no-progress-meter", "--max-time", "60", "--no-keepalive",
                   "--header", "Connection: close", "--parallel", "--parallel-immediate", "--parallel-max",
                   str(at_once), "--output", "/dev/null", "--write-out", "%{http_code}\n", *arguments]
        if cookie is not None:
            command += ["--cookie", cookie]
        separator = "&" if "?" in path else "?"
        result = subprocess.run(command + [f"{self.url}{path}{separator}n=[1-{count}]"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return [int(code) for code in result.stdout.split()]

    def explain(self, balancer="mycluster", path="/", *arguments, cookie=None):
        """What lbsticky-status says of where such a request would go; arguments as for curl_command(). See STATUS."""
        query = ("--get", "--data-urlencode", f"explain={balancer}", "--data-urlencode", f"url={path}", "--data",
                 "format=json")
        answer = self.curl("/lbsticky-status", *query, *arguments, cookie=cookie)
        assert answer.status == 200, (answer.status, answer.body)
        return json.loads(answer.body)

    # -- balancer-manager ----------------------------------------------------------------------------------------

    def manager_page(self, query=""):
        # Without this header, httpd takes any visit for an attack and says so in the log.
        return self.curl(f"/balancer-manager{query}", "--referer", f"{self.url}/balancer-manager").body

    def manager(self, balancer, worker=None, **form):
        """Changes something in balancer-manager, as its page's own form does. The Answer."""
        page = self.manager_page()
        nonce = re.search(rf"b={re.escape(balancer)}[^\"']*?nonce=([-0-9a-f]+)", page).group(1)
        fields = {"b": balancer, "nonce": nonce, **form}
        if worker:
            fields["w"] = worker
        data = [item for key, value in fields.items() for item in ("--data-urlencode", f"{key}={value}")]
        return self.curl("/balancer-manager", "--referer", f"{self.url}/balancer-manager", *data)

    def state(self, balancer="mycluster"):
        """{member's URL: {"lbstatus": …, "elected": …, …}} as balancer-manager's XML has it, numbers as such."""
        page = self.manager_page("?xml=1")
        namespace = "{http://httpd.apache.org}"
        members = {}
        for entry in xml.etree.ElementTree.fromstring(page).iter(f"{namespace}balancer"):
            if entry.findtext(f"{namespace}name") != f"balancer://{balancer}":
                continue
            for worker in entry.iter(f"{namespace}worker"):
                fields = {field.tag.removeprefix(namespace): field.text or "" for field in worker}
                members[fields["name"]] = {key: int(value) if re.fullmatch(r"-?\d+", value) else value.strip()
                                           for key, value in fields.items()}
        return members

    def report(self, balancer="mycluster", server=""):
        """What lbsticky-status says of a balancer of that virtual host, as JSON has it; see STATUS."""
        balancers = json.loads(self.curl("/lbsticky-status?format=json").body)["balancers"]
        [report] = [report for report in balancers if (report["name"], report["server"]) == (balancer, server)]
        return report


class Sent:
    """A request that curl makes while the test goes on; arguments as for curl_command()."""

    def __init__(self, server, *arguments, **options):
        self.curl = subprocess.Popen(server.curl_command(*arguments, **options), stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL)

    def answer(self):
        """Waits for it. An Answer; its status is 0 if there is none."""
        return Answer(self.curl.communicate()[0].decode("latin-1"))

    def abort(self):
        """The client goes away."""
        self.curl.kill()
        self.curl.communicate()


class Client:
    """A client that keeps the cookies it is given, in a file."""

    def __init__(self, folder, name="jar"):
        self.jar = str(folder / name)

    def curl(self, server, path="/", *arguments):
        return server.curl(path, "--cookie-jar", self.jar, *arguments, cookie=self.jar)


def with_routes(backends, options=""):
    """Members for cluster(), with the routes node1, node2, …"""
    return [f"{backend.url} route=node{number} {options}" for number, backend in enumerate(backends, 1)]


# The two ways to name the session id, as arguments of cluster().
RESOLVERS = {
    "stickysession": dict(settings="lbmethod=sticky stickysession=JSESSIONID"),
    "LBStickySession": dict(settings="lbmethod=sticky", more="LBStickySession JSESSIONID"),
}
by_either = pytest.mark.parametrize("resolver", RESOLVERS.values(), ids=RESOLVERS)

MANAGER = """
ProxyPass /balancer-manager !
<Location "/balancer-manager">
    SetHandler balancer-manager
    Require local
</Location>
"""

STATUS = """
ProxyPass /lbsticky-status !
<Location "/lbsticky-status">
    SetHandler lbsticky-status
    Require local
</Location>
"""


def cluster(*members, settings="lbmethod=sticky", name="mycluster", more="", path="/"):
    """A balancer on `path`: members are lines after BalancerMember, `more` further lines in its section."""
    lines = "\n".join(f"    BalancerMember {member}" for member in members)
    return f"""{MANAGER if path == "/" else ""}
<Proxy "balancer://{name}">
{lines}
    ProxySet {settings}
    {more}
</Proxy>
ProxyPass {path} balancer://{name}/
ProxyPassReverse {path} balancer://{name}/
"""


def tutorial(*members, settings="lbmethod=sticky stickysession=JSESSIONID", more=""):
    """The site of every tutorial, <Proxy> outside and ProxyPass inside of <VirtualHost>; arguments as for cluster()."""
    lines = "\n".join(f"    BalancerMember {member}" for member in members)
    return f"""
<Proxy "balancer://mycluster">
{lines}
    ProxySet {settings}
    {more}
</Proxy>

<VirtualHost *>
    ServerName example.com

    ProxyPreserveHost On
    ProxyPass /balancer-manager !
    ProxyPass / balancer://mycluster/
    ProxyPassReverse / balancer://mycluster/

    <Location "/balancer-manager">
        SetHandler balancer-manager
        Require local
    </Location>

    ErrorLog ${{APACHE_LOG_DIR}}/error.log
    CustomLog ${{APACHE_LOG_DIR}}/load_balancer_access.log combined
</VirtualHost>
"""
