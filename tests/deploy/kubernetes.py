"""The Kubernetes objects as kustomize builds them: the real tool where it is found, once for each folder."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import go_without

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
ENVIRONMENTS = ("staging", "production")
FOLDERS = tuple(f"{kind}/{environment}" for kind in ("overlays", "kafka", "smoke") for environment in ENVIRONMENTS)

Object = dict[str, Any]


def kustomize() -> list[str]:
    """How kustomize is called here: by itself, or as a part of kubectl."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if not shutil.which("kubectl"):
        go_without("nothing here builds the Kubernetes objects: install kustomize or kubectl")
    return ["kubectl", "kustomize"]


@cache
def built(folder: str) -> tuple[Object, ...]:
    """Every object of a folder, as `kubectl apply` would send it."""
    done = subprocess.run([*kustomize(), str(KUBERNETES / folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def the(kind: str, folder: str, name: str = "stream-scorer") -> Object:
    """The one object of a kind; where there are several, the one of that name."""
    found = [each for each in built(folder) if each["kind"] == kind]
    (one,) = found if len(found) == 1 else [each for each in found if each["metadata"]["name"] == name]
    return one


def name_of(each: Object) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"
