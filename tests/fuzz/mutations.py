"""Changes to the files of an input: bytes, words of a text, and values of a JSON document; by one source of chance."""

import json
import re
import struct
from collections.abc import Callable, Sequence
from random import Random

Files = dict[str, bytes]
WORD = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[-+]?\d[\w.+-]*|\w+|[^\w\s]|\s+')
STRETCH = 1 << 14  # bytes of a longer text that are taken apart at once
DEEP = (50, 900, 20_000, 100_000)  # levels
EXTREMES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 2, 255, 256, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30),
    *(0.5, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 1e-9, 10**400),
    *("", "a", "0", "x" * 5000, "\0", "..", "../x", "/etc/passwd", "\x1b[2J", "\ud800", "é", "²", "{i}", "{", "%s"),
    *(
        "nan",
        "1e999",
        "true",
        "0x10",
        "source",
        "os:system",
        "http://127.0.0.1:1/",
        [],
        {},
        [[]],
        [0],
        [[0.5]],
        {"": 0},
    ),
)
WORDS = (
    *(b"0", b"-1", b"1", b"99999999999999999999", b"1e999", b"-1e308", b"nan", b"inf", b"0x7fffffff", b"9" * 5000),
    *(b'""', b'"\\u0000"', b'"../x"', b'"{i}"', b'"{"', b'"\\ud800"', b'"' + b"x" * 5000 + b'"', b"true", b"null"),
    *(b"[]", b"{}", b"[[]]", b"1979-05-27T07:32:00Z", b"\xff", b"\0", b"=", b"[[rule]]", b"[a]", b",", b"\n", b"#"),
)
SIZES = (0, 1, 7, 8, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)


def mutated(files: Files, others: Sequence[Files], random: Random) -> Files:
    """A changed copy of an input: one to four changes to its files, or to what files it has."""
    made = dict(files)
    for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
        if not made:
            break
        name = random.choice(sorted(made))
        if len(files) > 1 and random.random() < 0.1:
            _other_files(made, name, others, random)
        else:
            made[name] = changed(made[name], [one[name] for one in others if name in one], random)
    return made


def _other_files(made: Files, name: str, others: Sequence[Files], random: Random) -> None:
    kind = random.randrange(4)
    if kind == 0:
        del made[name]
    elif kind == 1:
        made[name] = random.choice([one[name] for one in others if name in one] or [b""])
    elif kind == 2:
        made[name] = made[random.choice(sorted(made))]
    else:
        place, _, last = name.rpartition("/")
        made[f"{place}/{last[::-1]}" if place else last[::-1]] = made.pop(name)


def changed(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """One file's bytes with one change; `others` are files of the same name."""
    text = len(blob) < 1 << 16 and blob[:1].strip() in (b"{", b"[") and random.random() < 0.6
    if text and (found := _document(blob, random)) is not None:
        return found
    kinds: list[Callable[[bytes, Sequence[bytes], Random], bytes]] = [_flipped, _cut, _spliced, _doubled, _sized, _put]
    if b"\0" not in blob[:1000]:
        kinds += [_word, _word, _word, _nested, _lines]
    return random.choice(kinds)(blob, others, random)


def _place(blob: bytes, random: Random) -> int:
    """Anywhere, heads more often."""
    return random.randrange(min(len(blob), 64) if random.random() < 0.3 else len(blob)) if blob else 0


def _flipped(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    made = bytearray(blob)
    for _ in range(random.choice((1, 1, 1, 8)) if made else 0):
        made[_place(blob, random)] ^= 1 << random.randrange(8)
    return bytes(made)


def _cut(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    start = _place(blob, random)
    if random.random() < 0.5:
        return blob[:start]
    return blob[:start] + blob[start + random.choice((1, 2, 4, 16, 64, 1024)) :]


def _spliced(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(others) if others else blob
    return blob[: _place(blob, random)] + other[_place(other, random) :]


def _doubled(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    start = _place(blob, random)
    end = start + random.choice((1, 4, 16, 64, 1024))
    return blob[:end] + blob[start:end] * random.choice((1, 1, 3, 100)) + blob[end:]


def _sized(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    """A whole number at its ends, written over what is there."""
    start, form = _place(blob, random), random.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    size = struct.calcsize(form)
    return blob[:start] + struct.pack(form, random.choice(SIZES) % (1 << 8 * size)) + blob[start + size :]


def _put(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    start = _place(blob, random)
    new = random.choice((random.randbytes(random.choice((1, 4, 30))), b"\0" * 8, b"\xff" * 8, random.choice(WORDS)))
    return blob[:start] + new + blob[start:]


def _word(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    before, found, after = _words(blob, random)
    if not found:
        return random.choice(WORDS)
    at, kind = random.randrange(len(found)), random.randrange(5)
    new = (random.choice(WORDS), random.choice(found), b"", found[at] * 2, found[at] + random.choice(WORDS))[kind]
    return b"".join([before, *found[:at], new, *found[at + 1 :], after])


def _words(blob: bytes, random: Random) -> tuple[bytes, list[bytes], bytes]:
    """The words of a stretch of a text, and what lies before and after it."""
    start = random.randrange(len(blob) - STRETCH) if len(blob) > STRETCH else 0
    return blob[:start], WORD.findall(blob[start : start + STRETCH]), blob[start + STRETCH :]


def _nested(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    before, found, after = _words(blob, random)
    at = random.randrange(len(found)) if found else 0
    return b"".join([before, *found[:at], _deep(random), *found[at + 1 :], after])


def _deep(random: Random) -> bytes:
    n = random.choice(DEEP)
    return random.choice((b"[" * n + b"]" * n, b'{"a":' * n + b"0" + b"}" * n, b"[" * n, b"{a=" * n + b"0" + b"}" * n))


def _lines(blob: bytes, others: Sequence[bytes], random: Random) -> bytes:
    found = blob.splitlines(keepends=True) or [b""]
    a, b, kind = random.randrange(len(found)), random.randrange(len(found)), random.randrange(3)
    if kind == 0:
        del found[a]
    elif kind == 1:
        found[a], found[b] = found[b], found[a]
    else:
        found.insert(a, found[b])
    return b"".join(found)


def _document(blob: bytes, random: Random) -> bytes | None:
    """A JSON document, or one line of JSON lines, with one value changed; None if it is none."""
    lines = blob.split(b"\n")
    at = random.randrange(len(lines)) if len(lines) > 1 else 0
    head, sep, body = (b"", b"", lines[at]) if lines[at][:1] in (b"{", b"[") else lines[at].partition(b" ")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    try:
        text = json.dumps(altered(value, random)).encode()
    except (ValueError, RecursionError):
        return None
    lines[at] = head + sep + text.replace(b'"DEEP"', _deep(random))
    return b"\n".join(lines)


def altered(value: object, random: Random) -> object:
    """Plain JSON data with one of its values changed."""
    places = _places(value)
    at, other = random.choice(places), random.choice(places)
    kind = random.randrange(8)
    if kind < 4:
        return _with(value, at, random.choice(EXTREMES))
    if kind == 4:
        return _with(value, at, _at(value, other))
    if kind == 5:
        return _with(value, at, random.choice(([_at(value, at)], {"a": _at(value, at)}, [_at(value, at)] * 3, "DEEP")))
    holder = _at(value, at[:-1]) if at else value
    if isinstance(holder, dict) and at:
        kept = {key: item for key, item in holder.items() if kind == 6 or key != at[-1]}
        renamed = random.choice(("", "x", "__class__", "../x", *map(str, holder)))
        made: object = {renamed if key == at[-1] else key: item for key, item in kept.items()}
    elif isinstance(holder, list) and at:
        made = [item for i, item in enumerate(holder) if i != at[-1]] if kind == 6 else [*holder, holder[int(at[-1])]]
    else:
        made = random.choice(EXTREMES)
    return _with(value, at[:-1], made)


Place = tuple[str | int, ...]


def _places(value: object, at: Place = ()) -> list[Place]:
    found: list[Place] = [at]
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        found += _places(item, (*at, key))
        if len(found) > 2000:
            break
    return found


def _at(value: object, place: Place) -> object:
    for key in place:
        value = value[key]  # type: ignore[index]
    return value


def _with(value: object, place: Place, new: object) -> object:
    if not place:
        return new
    inner = _with(value[place[0]], place[1:], new)  # type: ignore[index]
    if isinstance(value, dict):
        return {**value, place[0]: inner}
    return [inner if i == place[0] else item for i, item in enumerate(value)]  # type: ignore[arg-type,var-annotated]
