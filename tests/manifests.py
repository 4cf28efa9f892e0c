"""The Kubernetes manifests, as kubectl builds them."""

import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.programs import program

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"
_VERSION = "1.34"
_CUSTOM = {"PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
Manifest = dict[str, Any]


def build(folder: Path) -> tuple[Manifest, ...]:
    """Return the manifests of a folder with a kustomization."""
    command = [program("kubectl", "kubectl"), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def check_schemas(manifests: tuple[Manifest, ...]) -> None:
    """Hold all that are Kubernetes' own kinds against its schemas."""
    own = [each for each in manifests if each["kind"] not in _CUSTOM]
    assert len(own) >= 5
    for manifest in own:
        kubernetes_validate.validate(manifest, _VERSION, strict=True)
