"""Fetches the tests of PyTorch from Debian's source package, into build/pytorch/."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = "trixie"  # PyTorch 2.6.0
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NEEDED = ("test/test_optim.py", "test/test_modules.py", "test/test_nn.py", "test/optim", "test/nn", "LICENSE")


class FetchError(Exception):
    """PyTorch's tests are not to be had; the message tells the way out."""


def tests() -> Path:
    """Return PyTorch's folder `test`: of PYTORCH_SOURCE, a folder or a tarball, or else of Debian's package."""
    given = os.environ.get("PYTORCH_SOURCE", "")
    if given and Path(given).is_dir():
        return _checked(Path(given).resolve(), given)
    here = ROOT / "build/pytorch"
    if given:
        shutil.rmtree(here, ignore_errors=True)
        _extract(Path(given), here)
    elif not here.exists():
        with tempfile.TemporaryDirectory() as folder:
            _extract(_download(Path(folder)), here)
    return _checked(here, given or "the package pytorch")


def _checked(folder: Path, source: str) -> Path:
    if not (folder / "test/test_optim.py").exists():
        raise FetchError(f"PYTORCH_SOURCE: got {source}, want PyTorch's sources, with test/test_optim.py")
    return folder / "test"


def _extract(tarball: Path, target: Path) -> None:
    """Extract what is needed; an interrupted extraction leaves no target."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    patterns = [f"*/{name}" for name in NEEDED]
    options = ("--strip-components=1", "--wildcards", "--no-wildcards-match-slash")
    _run("tar", "-C", str(partial), *options, "-xf", str(tarball.resolve()), *patterns)
    partial.rename(target)


def _download(folder: Path) -> Path:
    """Download the source package with apt, whose configuration names the server and stays as it is."""
    sources = folder / "debian.sources"
    fields = {"Types": "deb-src", "URIs": _server(), "Suites": SUITE, "Components": "main", "Signed-By": KEYRING}
    sources.write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    for name in ("lists", "cache"):
        (folder / name / "partial").mkdir(parents=True)
    settings = {"sourcelist": sources, "sourceparts": folder / "none"}
    options = [f"-oDir::Etc::{key}={value}" for key, value in settings.items()]
    options += [f"-oDir::State::lists={folder / 'lists'}", f"-oDir::Cache={folder / 'cache'}", "-oAPT::Sandbox::User="]
    _run("apt-get", *options, "-q", "update", cwd=folder)
    _run("apt-get", *options, "-q", "source", "--download-only", "--tar-only", "pytorch", cwd=folder)
    return next(folder.glob("pytorch_*.orig.tar.*"))


def _server() -> str:
    """Return the address of the Debian archive that apt uses on this machine."""
    try:
        lines = _run("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)")
    except FetchError:
        lines = ""
    found = re.search(r"^Debian Debian (\S+)", lines, re.M)
    if not found:
        raise FetchError("apt knows no Debian archive; set PYTORCH_SOURCE to a folder or tarball of PyTorch's sources")
    return found[1]


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise FetchError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        raise FetchError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
