"""Debian packages, downloaded and unpacked into a folder without root rights.

`apt-get download` checks signatures and hashes; `dpkg-deb` unpacks without installing.
Works on Debian and its relatives, Ubuntu among them, without being root.
"""

import contextlib
import pathlib
import shutil
import subprocess
import tarfile

from keras_vit.export.processors.environment import run
from keras_vit.export.runtime.console import say
from keras_vit.progress import Status

MIRROR = "http://deb.debian.org/debian"
KEYRING = pathlib.Path("usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = ("apt-get", "apt-config", "dpkg-deb")
HOOKS = ("APT::Update::", "DPkg::", "Dir::", "APT::Architecture", "Acquire::Languages")
POLL = 0.5  # seconds between two looks at what has arrived


def missing():
    """Programs that apt and dpkg steps need and this system lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class DebianSuite:
    """One suite of Debian for one architecture, downloaded through apt.

    Args:
        name: of the part, for messages. folder: where lists and packages arrive.
        suite: such as "bookworm". architecture: as Debian says, such as "arm64".
        verbose: 0 for silence.
    """

    def __init__(self, name, folder, suite, architecture, verbose=1):
        self._name, self._verbose = name, verbose
        self.folder = pathlib.Path(folder)
        (self.folder / "apt/lists/partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "apt/archives/partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "packages").mkdir(exist_ok=True)
        self._config = self.folder / "apt/apt.conf"
        self._sources = self.folder / "apt/sources.list"
        key = self._keyring()
        self._sources.write_text(
            f"deb [arch={architecture} signed-by={key}] {MIRROR} {suite} main\n"
        )
        self._config.write_text(self._settings(architecture))

    def _settings(self, architecture):
        """apt's configuration: the system's proxies, no hooks, folders of our own."""
        apt = self.folder / "apt"
        kept = [
            line
            for line in run(["apt-config", "dump"], self._name).splitlines()
            if not line.startswith(HOOKS) and line.endswith(";")
        ]
        places = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": self._sources,
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": apt / "lists",
            "Dir::Cache": apt,
            "Dir::Cache::archives": apt / "archives",
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        ours = [f'{name} "{value}";' for name, value in places.items()]
        return "\n".join([*kept, *ours]) + "\n"

    def _keyring(self):
        """Debian's signing keys: the system's, or those in Ubuntu's keyring package."""
        system = pathlib.Path("/") / KEYRING
        if system.is_file():
            return system
        keys = self.folder / "keys"
        if not (keys / KEYRING).is_file():
            keys.mkdir(exist_ok=True)
            get = ["apt-get", "download", "debian-archive-keyring"]
            run(get, f"{self._name}: keys of Debian", cwd=keys)
            run(["dpkg-deb", "-x", *keys.glob("*.deb"), keys], self._name)
        return keys / KEYRING

    def _apt(self, *arguments):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        environment["APT_CONFIG"] = str(self._config)
        return {"args": ["apt-get", "-q", *arguments], "env": environment}

    def download(self, packages):
        """Download packages; complete ones are only checked.

        Args:
            packages: names.

        Returns:
            list of `pathlib.Path`, one per package.

        Raises:
            OSError: when one cannot be had, or has another size than it should.
        """
        say(f"{self._name}: reading Debian's lists", self._verbose)
        update = self._apt("update")
        run(update["args"], self._name, env=update["env"])
        asked = self._apt("--print-uris", "download", *packages)
        lines = run(asked["args"], self._name, env=asked["env"]).splitlines()
        wanted = {}
        for line in lines:
            _, name, size, *_ = line.split()
            wanted[self.folder / "packages" / name] = int(size)
        self._fetch(packages, wanted)
        for path, size in wanted.items():
            found = path.stat().st_size if path.is_file() else 0
            if found != size:
                raise OSError(
                    f"{self._name}: {path.name} must have {size} bytes, got {found}. "
                    "Start again: what has arrived is kept."
                )
        return list(wanted)

    def _fetch(self, packages, wanted):
        """Run apt-get download, with progress."""
        order, total = self._apt("download", *packages), sum(wanted.values())
        progress = Status(self._name, self._verbose)
        with subprocess.Popen(
            order["args"],
            env=order["env"],
            cwd=self.folder / "packages",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            try:
                while process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(POLL)
                    have = sum(p.stat().st_size for p in wanted if p.exists())
                    progress.show(f"{have / 1e6:.0f} of {total / 1e6:.0f} MB")
            except BaseException:
                process.kill()
                raise
            finally:
                progress.close()
            last = " ".join(process.stderr.read().split())[-500:]
        if process.returncode:
            raise OSError(
                f"{self._name}: apt-get could not download {' '.join(packages)}: "
                f"{last} Look whether the network reaches {MIRROR}, and start again."
            )


def unpack(package, folder, only=None):
    """Unpack a package into a folder, without installing it.

    Args:
        package: `.deb` file. folder: to fill.
        only: names of files to take, None for all.
    """
    words, whole = ["dpkg-deb", "--fsys-tarfile", str(package)], True
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, **pipe) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    name = member.name.removeprefix("./")
                    if only is None or name in only:
                        tar.extract(member, folder, filter="tar")
            process.stdout.read()
        except tarfile.TarError:
            whole = False
    if process.returncode or not whole:
        raise OSError(
            f"{package}: must be a package of Debian, got damage. Delete it and start "
            "again."
        )
