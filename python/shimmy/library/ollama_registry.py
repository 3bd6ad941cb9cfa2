"""What an Ollama registry says of a model: its manifest, and where the layers are.

The protocol is that of the OCI distribution specification (GET /v2/NAME/manifests/TAG and /v2/NAME/blobs/DIGEST), the
layers are told apart by Ollama's own media types.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from shimmy.errors import ModelNotFoundError
from shimmy.library.blob import blob_file
from shimmy.library.download import RemoteFile
from shimmy.library.egress import DownloadError, Egress
from shimmy.library.reference import RegistryReference

MAX_MANIFEST_BYTES = 1024 * 1024

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.ollama.image."

Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}$")]


class Layer(msgspec.Struct, frozen=True, rename="camel"):
    """One file of a model."""

    media_type: str
    digest: Digest
    size: Annotated[int, Meta(ge=0, le=1 << 44)]

    @property
    def kind(self) -> str:
        """model, template, system, params, license, messages, adapter, projector, ..."""
        return self.media_type.removeprefix(_LAYER)

    @property
    def file(self) -> str:
        """Its path in a store."""
        return blob_file(self.digest)


class Manifest(msgspec.Struct, frozen=True):
    """The layers of a model, and its config."""

    config: Layer
    layers: Annotated[list[Layer], Meta(min_length=1, max_length=256)]

    def of_kind(self, kind: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.kind == kind]


def registry_host(base_url: str) -> str:
    """The host of a registry's address, with its port if it says one."""
    return urlsplit(base_url).netloc.rpartition("@")[2]


def fetch_manifest(egress: Egress, base_url: str, reference: RegistryReference) -> tuple[Manifest, bytes]:
    """The manifest, read and as it came. Blocks. Raises ModelNotFoundError, UnreachableError and DownloadError."""
    url = f"{_repository(base_url, reference)}/manifests/{reference.tag}"
    name = f"{reference.namespace}/{reference.model}:{reference.tag}"
    raw = b""
    try:
        with egress.get(url, {"accept": _MANIFEST}) as response:
            for chunk in response.iter_raw():
                raw += chunk
                if len(raw) > MAX_MANIFEST_BYTES:
                    raise DownloadError(
                        f"{reference.host}: the manifest of {name} is larger than {MAX_MANIFEST_BYTES} bytes"
                    )
    except ModelNotFoundError:
        raise ModelNotFoundError(f"{reference.host} has no model {name!r}") from None
    try:
        return msgspec.json.decode(raw, type=Manifest), raw
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DownloadError(f"{reference.host}: the manifest of {name} is not understood: {error}") from error


def remote_layer(base_url: str, reference: RegistryReference, layer: Layer) -> RemoteFile:
    """Where the file of a layer is."""
    url = f"{_repository(base_url, reference)}/blobs/{layer.digest}"
    return RemoteFile(url=url, size=layer.size, sha256=layer.digest.removeprefix("sha256:"))


def _repository(base_url: str, reference: RegistryReference) -> str:
    return f"{base_url.rstrip('/')}/v2/{reference.namespace}/{reference.model}"
