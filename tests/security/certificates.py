"""Certificates for a test's own brokers and users, made when they are needed, in the formats that Kafka reads."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

KEY_PASSWORD = "a key's password"


class Certificates:
    """One authority and those whom it signs for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self.authority_file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.authority_file))

    def broker_properties(self, *hosts: str) -> dict[str, str]:
        """A broker's own certificate for these hosts, and whom it trusts."""
        made = self._authority.issue_cert(*hosts, common_name="broker")
        store = self.folder / f"broker-{hosts[0]}.pem"
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        store.write_bytes(_as_pkcs8(made, NoEncryption()) + chain)
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority_file),
        }

    def of_user(self, name: str, password: str = "") -> tuple[Path, Path]:
        """The files of a user's certificate and key; with a password the key is encrypted."""
        made = self._authority.issue_cert(f"{name}@example.org", common_name=name)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(_as_pkcs8(made, BestAvailableEncryption(password.encode()) if password else NoEncryption()))
        return certificate, key


def _as_pkcs8(made: trustme.LeafCert, encryption: KeySerializationEncryption) -> bytes:
    key = load_pem_private_key(made.private_key_pem.bytes(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
