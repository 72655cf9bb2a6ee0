"""What users write by hand, in TOML: descriptions of suspects, plans, recipes of cohorts, settings of a gateway."""

from pathlib import Path

from birthmark.gateway import config, dialects
from birthmark.suspects.description import SuspectSpec
from birthmark.suspects.writing import encoded
from birthmark.workshop import cohort
from birthmark.zoo import catalogue
from fuzz import packing
from fuzz.harness import IMAGES, Reader, X
from fuzz.mutations import Files

TOML = (packing.values_of, packing.toml_of)


SPEC = b"""
url = "https://models.example.org/v2/models/toy"
auth = "env:TOKEN"
headers = {x-a = "b"}
answers = "probabilities"
layout = "nhwc"
order = [2, 1, 0]
mean = [0.5]
std = [0.25]
high = 255.0
timeout = 12.5
batch = 16
shape = [1, 4, 4]
body = {a = ["$inputs", 1], b = {c = true}}
"""
LABELLED = b"""
url = "http://127.0.0.1:1/"
labels = "names.txt"
answers = "topk"
top = 3
scale = 100.0
encoding = "jpeg"
quality = 90
"""


def _specs() -> list[Files]:
    return [{"s.toml": SPEC}, {"s.toml": LABELLED, "names.txt": b"a\nb\nc\n"}]


def _read_spec(folder: Path) -> object:
    spec = SuspectSpec.read(folder / "s.toml")
    assert SuspectSpec(**spec.flat()) == spec
    spec.declaration(), spec.says()
    return encoded(X, spec.writing)


PLAN = b"""
title = "t"
data = "digits"
sources = [0, 1]
lists = {a = ["prune", "ftal"]}
cohort = {twins = 2, references = 3, surrogates = 1, crafting = 2}
source = {recipe = "mlp:width=8", split = "owner", training = {epochs = 2}, suspect = true}
students = {"mlp" = {epochs = 3}}
methods = {kinship = {queries = 20}}
[[rule]]
name = "{attack} of source"
of = "source"
attack = "{attack}"
split = "attacker"
settings = {epochs = 1, student = "mlp"}
each = {attack = "a"}
[[rule]]
name = "other {i}"
split = "innocent"
count = 2
training = {rate = 0.1}
tier = "other data"
[[rule]]
name = "rounded"
of = ["other 0"]
evasion = ["round:digits=2"]
[[rule]]
name = "marked"
of = "source"
attack = "distill"
split = "attacker"
watermark = {name = "dynamarks"}
through = ["round:digits=3"]
"""


def _read_plan(folder: Path) -> object:
    plan = catalogue.read(str(folder / "p.toml"))
    return [card.key for card in plan.cards()]


COHORT = b"""
about = "x"
twins = 3
thin = 2
[[independent]]
recipes = ["mlp", "mlp:width=8"]
split = "reserve"
training = {epochs = 2}
times = 2
[[treatment]]
attack = "prune"
settings = {amount = 0.5}
split = "attacker"
students = ["mlp"]
times = 1
"""


def _read_cohort(folder: Path) -> object:
    return cohort.recipe(str(folder / "c.toml"))


GATEWAY = b"""
upstream = "http://127.0.0.1:8000"
keyring = "keyring/"
secret = "env:S"
policy = "closed"
client = "header:X"
clients = ["alice"]
pass_through = ["/docs.*"]
timeout = 3.5
[wire]
dialect = "oip"
mean = [0.5]
[log]
folder = "log/"
segment = 8192
"""


def _read_gateway(folder: Path) -> object:
    found = config.read_config(folder / "g.toml", {})
    return dialects.codec(found.wire, IMAGES)


READERS = (
    Reader("spec", _specs, _read_spec, *TOML, elsewhere=True),
    Reader("plan", lambda: [{"p.toml": PLAN}], _read_plan, *TOML),
    Reader("cohort", lambda: [{"c.toml": COHORT}], _read_cohort, *TOML),
    Reader("gateway", lambda: [{"g.toml": GATEWAY}], _read_gateway, *TOML),
)
