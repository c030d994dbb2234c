"""The generated page of Kafka ACLs."""

from collections.abc import Iterator

from stream_scorer.operations.generators.markdown import GENERATED, table
from stream_scorer.runtime.cluster.acls import WHO, Role, rights_of


def rights_page() -> list[str]:
    return [
        "# Rights on Kafka",
        GENERATED,
        "",
        "The least that each user needs, where the cluster has access lists. `P` is `topics.prefix`; the group is `P` "
        "and `worker.group`. Who is several of these has the rights of all. Kafka grants Describe with Read and with "
        "Write. A worker asks at its start which of its rights are missing, and names them all.",
        *(line for role in Role for line in rights_section(role)),
    ]


def rights_section(role: Role) -> Iterator[str]:
    yield from ("", f"## {role.replace('-', ' ').capitalize()}", "", f"{WHO[role][:1].upper()}{WHO[role][1:]}.", "")
    rights = [
        (
            f"{right.kind.replace('-', ' ')}{'s that begin with' if right.prefixed else ''}",
            f"`P` + `{right.name}`",
            right.operation.value,
            right.why,
        )
        for right in rights_of(role)
    ]
    yield from table(("resource", "name", "operation", "why"), rights)
