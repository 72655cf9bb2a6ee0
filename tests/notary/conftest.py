"""A local time-stamp authority, and keys of both kinds."""

import subprocess
from pathlib import Path

import pytest

from birthmark.notary import stamps
from birthmark.notary.signing import Private, new_key

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = %s
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[tsa]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
[tsa_config]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
"""


class Authority:
    """`openssl ts` with a root and a signer of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.roots = folder, folder / "root.pem"
        for name, by in (("root", "ca"), ("tsa", "tsa")):
            (folder / f"{name}.cnf").write_text(CONFIG % name)
            self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
            self._run("req", "-new", "-key", f"{name}.key", "-config", f"{name}.cnf", "-out", f"{name}.csr")
            signer = (
                ("-signkey", "root.key") if by == "ca" else ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial")
            )
            self._run(
                "x509",
                "-req",
                "-in",
                f"{name}.csr",
                *signer,
                "-days",
                "9",
                "-extfile",
                f"{name}.cnf",
                "-extensions",
                by,
                "-out",
                f"{name}.pem",
            )
        (folder / "serial").write_text("01\n")

    def _run(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def stamp(self, data: bytes) -> bytes:
        (self.folder / "q.tsq").write_bytes(stamps.request(data))
        self._run(
            "ts",
            "-reply",
            "-queryfile",
            "q.tsq",
            "-signer",
            "tsa.pem",
            "-inkey",
            "tsa.key",
            "-config",
            "tsa.cnf",
            "-section",
            "tsa_config",
            "-out",
            "r.tsr",
        )
        return (self.folder / "r.tsr").read_bytes()

    def accepts(self, stamp: bytes, data: bytes) -> bool:
        """What `openssl ts -verify` says."""
        (self.folder / "in.tsr").write_bytes(stamp)
        (self.folder / "data").write_bytes(data)
        options = ("-in", "in.tsr", "-data", "data", "-CAfile", "root.pem")
        return subprocess.run(["openssl", "ts", "-verify", *options], cwd=self.folder, check=False).returncode == 0


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(params=["ed25519", "p256"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Private:
    return new_key(tmp_path / "key.pem", request.param)
