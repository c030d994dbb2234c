"""The generated objects under deploy/kubernetes say what the code, topics.toml and users.toml say."""

from pathlib import Path

import pytest

from stream_scorer.operations.generators.kubernetes import REGENERATE, described_kubernetes, load_users
from stream_scorer.runtime.cluster.acls import Role

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = described_kubernetes(DEPLOY)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_generated_file_is_what_the_code_generates(name: str) -> None:
    path = DEPLOY / name
    written = path.read_text(encoding="utf-8") if path.exists() else None
    assert written == FILES[name], f"{path} is not what the code generates; run: {REGENERATE}"


def test_every_role_of_users_toml_is_known() -> None:
    roles = {user.role for user in load_users(DEPLOY / "kubernetes" / "users.toml").values()}
    assert {"worker", "producer"} <= roles
    assert roles <= {*Role, "lag"}
