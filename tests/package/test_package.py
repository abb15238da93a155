"""The Debian package, tried in a Debian of its own, and what cmake --install puts where.

LBSTICKY_BUILD   the build that is packaged (default: build/release)
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LBSTICKY_BUILD", PROJECT / "build/release"))
PACKAGE = "libapache2-mod-lbmethod-sticky"
MODULE = "lbmethod_sticky"
DEPENDENCIES = ["proxy_balancer", "slotmem_shm", "proxy"]
CONF = f"/etc/apache2/mods-available/{MODULE}.conf"

TUTORIAL = """
<Proxy "balancer://mycluster">
    BalancerMember http://127.0.0.1:8081 route=node1
    BalancerMember http://127.0.0.1:8082 route=node2
    ProxySet lbmethod=byrequests stickysession=JSESSIONID
</Proxy>
ProxyPass / balancer://mycluster/
ProxyPassReverse / balancer://mycluster/
<Location "/balancer-manager">
    SetHandler balancer-manager
    Require local
</Location>
"""


def output_of(*command, **options):
    """What the command wrote; a failed test that shows it, if the command failed."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, **options)
    if done.returncode:
        shown = " ".join(map(str, command))
        pytest.fail(f"{shown}: exit status {done.returncode}\n{done.stdout[-4000:]}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="session")
def build():
    if not (BUILD / "CMakeCache.txt").exists():
        output_of("cmake", "--preset", "release", "-B", BUILD, cwd=PROJECT)
    output_of("nice", "cmake", "--build", BUILD)
    return BUILD


@pytest.fixture(scope="session")
def deb(build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    output_of("cpack", "-G", "DEB", "-B", folder, cwd=build)
    [package] = folder.glob("*.deb")
    return package


def field(deb, name):
    return output_of("dpkg-deb", "--field", deb, name).strip()


class Debian:
    """A Debian in a folder of its own, in which this package and, for its sake, httpd are installed."""

    def __init__(self, folder, deb):
        self.folder = pathlib.Path(folder)
        base = output_of(PROJECT / "tests/container/debian-base.sh").splitlines()[-1]
        output_of("tar", "-C", folder, "-xf", base)
        # What is installed here starts no server.
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n").chmod(0o755)
        self.write("/etc/resolv.conf", pathlib.Path("/etc/resolv.conf").read_text())
        self.path(f"/tmp/{deb.name}").write_bytes(deb.read_bytes())
        self.deb = f"/tmp/{deb.name}"
        self.run("apt-get", "update", "-q")

    def path(self, path):
        return self.folder / path.lstrip("/")

    def write(self, path, text):
        self.path(path).write_text(text)
        return self.path(path)

    def command(self, *command):
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                "chroot", self.folder, *command]

    def run(self, *command):
        return output_of(*self.command(*command))

    def succeeds(self, *command):
        return subprocess.run(self.command(*command), capture_output=True).returncode == 0

    def install(self):
        return self.run("apt-get", "install", "-q", "-y", "--reinstall", self.deb)

    def is_enabled(self, module):
        return self.succeeds("a2query", "-q", "-m", module)

    def traces(self):
        """Every path that is there for the sake of this package."""
        found = output_of("find", self.folder, "-mindepth", "1", "-xdev", "-name", "*sticky*", "-printf", "/%P\n")
        return sorted(set(found.splitlines()) - {self.deb})


@pytest.fixture(scope="session")
def debian(deb):
    if os.geteuid() != 0:
        # Where every change is tried, a test that tries nothing must not pass for one that did.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs root: makes a Debian by debootstrap")
    # Not in /tmp, which may be small or allow no devices.
    with tempfile.TemporaryDirectory(prefix="lbsticky-package-", dir="/var/tmp") as folder:
        debian = Debian(folder, deb)
        debian.first_install = debian.install()
        yield debian


@pytest.fixture
def installed(debian):
    """The package just installed, as on a machine that never had it."""
    if not debian.succeeds("dpkg-query", "-W", PACKAGE):
        debian.install()
    yield debian
    debian.run("dpkg", "--purge", PACKAGE)
    debian.run("a2dismod", "-f", *DEPENDENCIES, "proxy_http")
    for path in debian.path("/etc/apache2/conf-enabled").glob("test-*.conf"):
        path.unlink()


def configured(debian, text):
    """Whether httpd takes the text as a part of its configuration."""
    debian.write("/etc/apache2/conf-enabled/test-balancer.conf", text)
    return debian.succeeds("apache2ctl", "configtest")


# The package


def test_its_name_says_package_version_and_architecture(build, deb):
    version = re.search(r"^CMAKE_PROJECT_VERSION:STATIC=(.+)$", (build / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
    architecture = output_of("dpkg", "--print-architecture").strip()
    assert deb.name == f"{PACKAGE}_{version}_{architecture}.deb"


def test_it_depends_on_the_interface_of_the_httpd_it_was_built_for_and_on_the_libraries_it_uses(deb):
    headers = pathlib.Path(output_of("apxs", "-q", "INCLUDEDIR").strip())
    api = re.search(r"define MODULE_MAGIC_NUMBER_MAJOR (\d+)", (headers / "ap_mmn.h").read_text())[1]
    release = re.search(r"Apache/([\d.]+)", output_of("apache2", "-v"))[1]
    depends = field(deb, "Depends").split(", ")
    assert {f"apache2-api-{api}", f"apache2-bin (>= {release})"} <= set(depends)
    assert {"libc6", "libstdc++6"} <= {dependency.split()[0] for dependency in depends}


def test_the_module_is_hardened_as_distributions_want_it(build):
    module = build / f"mod_{MODULE}.so"
    dynamic = output_of("readelf", "--wide", "--dynamic", "--program-headers", module)
    assert "GNU_RELRO" in dynamic and re.search(r"\(FLAGS\) .*BIND_NOW", dynamic)
    assert "__stack_chk_fail" in output_of("readelf", "--wide", "--dyn-syms", module)
    commands = [entry["command"] for entry in json.loads((build / "compile_commands.json").read_text())
                if "mod_lbmethod_sticky.dir" in entry["command"]]
    assert commands and all(" -D_FORTIFY_SOURCE=2 " in command and " -O2 " in command for command in commands)


def test_lintian_finds_neither_errors_nor_warnings(deb):
    output_of("lintian", "--allow-root", "--fail-on", "error,warning", deb)


# Installing and removing it


def test_apt_installs_it_on_a_bare_debian_and_leaves_it_to_the_administrator_to_enable(installed):
    assert "Enable module lbmethod_sticky" not in installed.first_install
    assert not installed.is_enabled(MODULE)
    installed.run("apache2ctl", "configtest")


def test_a2enmod_also_enables_what_it_depends_on(installed):
    assert not any(installed.is_enabled(module) for module in [MODULE, *DEPENDENCIES])
    installed.run("a2enmod", MODULE)
    assert all(installed.is_enabled(module) for module in [MODULE, *DEPENDENCIES])
    assert "lbmethod_sticky_module (shared)" in installed.run("apache2ctl", "-M")


def test_a_tutorials_configuration_works_with_one_word_changed(installed):
    changed = TUTORIAL.replace("lbmethod=byrequests", "lbmethod=sticky")
    installed.run("a2enmod", MODULE, "proxy_http")
    assert configured(installed, changed)
    installed.run("a2dismod", MODULE)
    assert not configured(installed, changed)


def test_the_example_in_its_configuration_file_works_once_uncommented(installed):
    before, start, example = installed.path(CONF).read_text().partition("    #<Proxy")
    assert start
    text = before + (start + example).replace("    #", "    ")
    installed.run("a2enmod", MODULE, "proxy_http")
    secret = installed.write("/etc/apache2/lbsticky.secret", "x" * 32)
    secret.chmod(0o640)
    installed.write(CONF, text)
    installed.run("apache2ctl", "configtest")
    # It was not a comment that passed.
    installed.write(CONF, text.replace("LBStickyHash on\n", "LBStickyHash perhaps\n"))
    assert not installed.succeeds("apache2ctl", "configtest")
    secret.unlink()


def test_removed_it_is_disabled_and_installed_again_it_is_as_it_was(installed):
    installed.run("a2enmod", MODULE)
    installed.run("apt-get", "remove", "-q", "-y", PACKAGE)
    assert not installed.path(f"/etc/apache2/mods-enabled/{MODULE}.load").is_symlink()
    assert installed.path(CONF).exists()
    installed.run("apache2ctl", "configtest")
    installed.install()
    assert installed.is_enabled(MODULE)


@pytest.mark.parametrize("enabled", [True, False])
def test_an_upgrade_keeps_what_the_administrator_changed(installed, enabled):
    installed.run("a2enmod", MODULE)
    if not enabled:
        installed.run("a2dismod", MODULE)
    installed.write(CONF, "# mine\n")
    installed.run("dpkg", "--force-confdef", "-i", installed.deb)
    assert installed.path(CONF).read_text() == "# mine\n"
    assert installed.is_enabled(MODULE) == enabled


@pytest.mark.parametrize("before", [["a2enmod", MODULE], ["a2dismod", MODULE], ["apt-get", "remove", "-y", PACKAGE]],
                         ids=["enabled", "disabled", "removed"])
def test_purged_it_leaves_nothing_behind(installed, before):
    installed.run("a2enmod", MODULE)
    installed.run(*before)
    assert installed.traces()
    installed.run("apt-get", "purge", "-q", "-y", PACKAGE)
    assert installed.traces() == []
    assert PACKAGE not in installed.run("dpkg-query", "-W")
    installed.run("apache2ctl", "configtest")


# cmake --install


@pytest.fixture(scope="session")
def staged(build, tmp_path_factory):
    """A folder with what `cmake --install` puts into it, and not onto this machine."""
    folder = tmp_path_factory.mktemp("staged")
    output_of("cmake", "--install", build, env={**os.environ, "DESTDIR": str(folder)})
    return folder


def test_cmake_install_puts_each_file_where_debian_wants_it_below_destdir(staged):
    modules = output_of("apxs", "-q", "LIBEXECDIR").strip()
    prefix = re.search(r"^CMAKE_INSTALL_PREFIX:PATH=(.+)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)[1]
    documents = f"{prefix}/share/doc/mod_lbmethod_sticky"
    files = {f"/{path.relative_to(staged)}" for path in staged.rglob("*") if path.is_file()}
    examples = [f"examples/{path.name}" for path in (PROJECT / "apache-conf/examples").iterdir()]
    assert examples
    assert files == {f"{modules}/mod_{MODULE}.so", CONF, CONF.replace(".conf", ".load"),
                     f"{prefix}/sbin/lbsticky-drain", f"{prefix}/share/man/man8/lbsticky-drain.8.gz",
                     *(f"{documents}/{name}" for name in ["README.md", "CHANGELOG.md", "LICENSE", *examples])}


def test_the_load_file_names_what_the_module_depends_on_and_where_it_is(staged):
    load = (staged / CONF[1:].replace(".conf", ".load")).read_text().splitlines()
    modules = output_of("apxs", "-q", "LIBEXECDIR").strip()
    assert load == ["# Depends: proxy_balancer", f"LoadModule lbmethod_sticky_module {modules}/mod_{MODULE}.so"]
