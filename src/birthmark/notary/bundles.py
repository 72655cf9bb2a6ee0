"""Model files signed as an OpenSSF Model Signing bundle (v1.0), which `model_signing verify key` accepts.

https://github.com/sigstore/model-transparency: a Sigstore bundle around a DSSE envelope, ECDSA keys only.
"""

import json
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from birthmark.artifact import canonical, file_digest
from birthmark.errors import ArtifactError
from birthmark.notary.signing import Private, public_pem, sign, statement

MEDIA, KIND = "application/vnd.dev.sigstore.bundle.v0.3+json", "https://model_signing/signature/v1.0"


def model_bundle(model: Path, key: Private) -> bytes:
    """The bundle for one model file, to be kept beside it.

    Raises:
        ArtifactError: the key is not ECDSA P-256, which is all that model signing knows of ours.
    """
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ArtifactError("model files are signed with ECDSA P-256 keys alone; make one with --new-key p256")
    digest = file_digest(model)
    about = {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
        "resources": [{"algorithm": "sha256", "name": ".", "digest": digest}],
    }
    whole = sha256(bytes.fromhex(digest)).hexdigest()
    envelope = json.loads(sign(statement({model.name: whole}, KIND, about), key))
    hint = sha256(public_pem(key.public_key())).hexdigest()
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    return canonical({"mediaType": MEDIA, "verificationMaterial": material, "dsseEnvelope": envelope})
