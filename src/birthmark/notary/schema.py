"""The JSON Schema of everything in an evidence folder, from the types that read and write it."""

from typing import Any

from pydantic import TypeAdapter

from birthmark import evidence
from birthmark.notary.commitments import DRAWN, FORMAT, Commitment, Drawn
from birthmark.notary.signing import PAYLOAD
from birthmark.notary.trees import OPENING, Opening

TEXT, HEX = {"type": "string"}, {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def schema() -> dict[str, Any]:
    """One document (2020-12) with a definition for each kind of file."""
    kinds = {"evidence": (evidence.Evidence, evidence.FORMAT), "commitment": (Commitment, FORMAT)}
    kinds |= {"drawn": (Drawn, DRAWN), "opening": (Opening, OPENING)}
    found = {name: _record(kind, form) for name, (kind, form) in kinds.items()}
    one = _object({"keyid": HEX, "sig": TEXT})
    found["envelope"] = _object(
        {
            "payload": TEXT,
            "payloadType": {"const": PAYLOAD},
            "signatures": {"type": "array", "items": one, "minItems": 1, "maxItems": 1},
        }
    )
    versions = {"type": "object", "additionalProperties": TEXT}
    about = {"format": {"const": "birthmark/environment/1"}, "versions": versions, "python": TEXT, "on": TEXT}
    found["environment"] = _object(about)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "birthmark evidence, version 1",
        "$defs": found,
    }


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": sorted(fields), "additionalProperties": False}


def _record(kind: type, form: str) -> dict[str, Any]:
    made = TypeAdapter(kind).json_schema()
    fields = {name: _nullable(_inlined(field, made)) for name, field in made["properties"].items()}
    return _object({"format": {"const": form}, **fields})


def _inlined(field: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    name = field.get("$ref", "").rpartition("/")[2]
    return made["$defs"][name] if name else field


def _nullable(field: Any) -> Any:
    """Numbers that are not finite are null; titles and defaults are left out."""
    if isinstance(field, list):
        return [_nullable(one) for one in field]
    if not isinstance(field, dict):
        return field
    kept = {key: _nullable(value) for key, value in field.items() if key not in ("title", "default", "description")}
    return {**kept, "type": ["number", "null"]} if kept.get("type") == "number" else kept
