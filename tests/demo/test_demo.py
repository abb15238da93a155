import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_demo_shows_what_it_says_and_ends_by_itself():
    result = subprocess.run([ROOT / "apache-conf/demo.sh", "--once"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All of that was so." in result.stdout
