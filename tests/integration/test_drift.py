"""What repeats the code is checked against it. A check that finds nothing to check fails."""

import itertools
import pathlib
import re
import subprocess

import pytest

from server import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORE = ROOT / "mod_lbsticky" / "core"
EXAMPLES = sorted((ROOT / "apache-conf" / "examples").glob("*.conf"))
SIGNED = ROOT / "apache-conf" / "examples" / "signed-cookie.conf"
SNIPPET = ROOT / "apache-conf" / "lbmethod_sticky.conf"
README = ROOT / "README.md"
PAGES = [page for page in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/README.md")) if page.is_file()]

# What the shown configurations use beside what every test has.
MODULES = ["proxy_hcheck", "proxy_ajp", "proxy_fcgi", "proxy_http2", "proxy_wstunnel", "http2", "ssl", "socache_shmcb",
           "expires", "log_debug", "dir", "mime", "remoteip"]


@pytest.fixture
def written(module, tmp_path, request):
    """written(configuration): a Server that is not started."""
    count = itertools.count()

    def write(configuration):
        return Server(tmp_path / f"httpd{next(count)}", module, configuration, modules=MODULES,
                      mpm=request.config.getoption("--mpm"))

    return write


@pytest.fixture
def with_secret(tmp_path):
    """with_secret(configuration): the same with a secret that is there, made by the command that the example shows."""
    secret = tmp_path / "secret"
    [command] = re.findall(r"^# +(\(umask .*)", SIGNED.read_text(), re.MULTILINE)
    subprocess.run(command.replace("/etc/apache2/lbsticky.secret", str(secret)), shell=True, check=True)
    return lambda text: re.sub(r"^( *LBStickySecretFile) .*", rf"\1 {secret}", text, flags=re.MULTILINE)


@pytest.fixture
def directives(written):
    """The names in the module's command table, as httpd lists them."""
    server = written("")
    listed = subprocess.run(server.command("-L"), capture_output=True, text=True, env=server.environ(), check=True)
    names = set(re.findall(r"^(\S+) \(mod_lbmethod_sticky\.c", listed.stdout, re.MULTILINE))
    assert {"LBStickySession", "LBStickyHash"} <= names
    return names


def without_comment_signs(text):
    """The configuration that a file shows as a comment: lines that begin with `#<`, up to the first that is none."""
    lines = [line.strip() for line in text.splitlines()]
    begin = next(i for i, line in enumerate(lines) if line.startswith("#<"))
    shown = []
    for line in lines[begin:]:
        if not line.startswith("#"):
            break
        shown.append(line[1:])
    return "\n".join(shown) + "\n"


def indented_blocks(text):
    """The blocks of a Markdown page that are indented by four spaces."""
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE)
            for block in re.findall(r"(?:^    .*\n(?:^\n(?=    ))?)+", text, re.MULTILINE)]


@pytest.mark.parametrize("page", [README, SNIPPET], ids=lambda page: page.name)
def test_each_directive_is_documented_and_each_documented_directive_exists(directives, page):
    assert set(re.findall(r"\bLBSticky\w+", page.read_text())) == directives


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_httpd_takes_each_example_without_a_warning(written, with_secret, example):
    assert written(with_secret(example.read_text())).check_configuration() == (0, "Syntax OK\n")
    assert "sticky" in example.read_text()


def test_httpd_takes_the_shipped_configuration(written):
    assert written(f"Include {SNIPPET}").check_configuration() == (0, "Syntax OK\n")


def test_httpd_takes_what_the_shipped_configuration_shows(written, with_secret, directives):
    shown = without_comment_signs(SNIPPET.read_text())
    assert "lbmethod=sticky" in shown
    assert {name for name in directives if re.search(rf"^\s*{name} ", shown, re.MULTILINE)} == directives
    assert written(with_secret(shown)).check_configuration() == (0, "Syntax OK\n")


def test_httpd_takes_the_configurations_of_the_readme(written, with_secret):
    blocks = [block for block in indented_blocks(README.read_text()) if "<Proxy" in block or "LogFormat" in block]
    assert sum("lbmethod=sticky" in block for block in blocks) >= 2
    server = written("")
    for block in blocks:
        server.configure(with_secret(block))
        assert server.check_configuration() == (0, "Syntax OK\n"), block


def test_the_core_includes_only_the_standard_library_and_itself():
    sources = sorted(CORE.glob("*.[ch]pp"))
    assert len(sources) >= 10
    quoted, standard = set(), set()
    for source in sources:
        text = source.read_text()
        quoted |= set(re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.MULTILINE))
        standard |= set(re.findall(r"^\s*#\s*include\s*<([^>]+)>", text, re.MULTILINE))
        assert not re.search(r"^\s*#\s*include\s*[^\s\"<]", text, re.MULTILINE), source
    assert quoted and {name for name in quoted if not re.fullmatch(r"core/\w+\.hpp", name)} == set()
    # Headers of C++ have no dot and no slash in their names; those of httpd, APR and the system do.
    assert standard and {name for name in standard if not re.fullmatch(r"[a-z_]+", name)} == set()
    assert all((CORE.parent / name).is_file() for name in quoted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_of_the_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    assert links or page != README
    relative = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in relative if not (page.parent / link).exists()] == []


def test_the_readme_links_to_the_other_pages():
    links = re.findall(r"\]\(([^)\s]+)\)", README.read_text())
    for other in ("mod_lbsticky/README.md", "apache-conf/examples", "CHANGELOG.md"):
        assert other in links


def test_files_that_the_readme_names_exist():
    """Commands and paths in backticks or in blocks that are shown: `tests/run.sh`, `docker/packages.txt`, …"""
    text = README.read_text()
    folders = "|".join(re.escape(folder.name) for folder in ROOT.iterdir()
                       if folder.is_dir() and folder.name not in ("build", ".git"))
    named = {path.rstrip(".") for path in re.findall(rf"(?<![\w./-])((?:{folders})/[\w./-]*)", text)}
    assert len(named) >= 5
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
