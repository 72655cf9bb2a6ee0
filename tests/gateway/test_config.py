"""Settings: from a file, the environment, and refused when misspelt."""

from pathlib import Path

import pytest

from birthmark.errors import SettingError
from birthmark.gateway.config import read_config
from birthmark.gateway.writer import LogSettings


def test_settings_from_toml_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        'upstream = "http://a"\nkeyring = "ring"\nsecret = "env:S"\n[wire]\ndialect = "mlflow"\nhigh = '
        '255\n[log]\nfolder = "log"\n'
    )
    config = read_config(
        file,
        {
            "BIRTHMARK_GATEWAY_POLICY": "open",
            "BIRTHMARK_GATEWAY_CLIENTS": "a, b",
            "BIRTHMARK_GATEWAY_LOG_FSYNC": "always",
        },
        upstream="http://b",
    )
    assert (config.upstream, config.policy, config.clients, config.wire.high) == ("http://b", "open", ("a", "b"), 255)
    assert config.log == LogSettings(Path("log"), fsync="always")
    for text, match in (
        ('upstrem = "http://a"', "no setting upstrem"),
        ('upstream = "http://a"', "missing keyring"),
        ("upstream = 3", "to be str"),
        ("=", "not a TOML file"),
        ('upstream = "ftp://a"\nkeyring = "r"\nsecret = "s"', "to be a URL"),
        ('upstream = "http://a:b@c"\nkeyring = "r"\nsecret = "s"', "without a user name"),
        ('upstream = "http://a"\nkeyring = "r"\nsecret = "s"\npolicy = "maybe"', "open or closed"),
    ):
        file.write_text(text)
        with pytest.raises(SettingError, match=match):
            read_config(file, {})
