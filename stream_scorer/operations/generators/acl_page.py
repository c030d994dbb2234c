"""The generated page of Kafka ACLs."""

from collections.abc import Iterator

from stream_scorer.operations.generators.markdown import GENERATED, table
from stream_scorer.runtime.cluster.acls import WHO, Role, rights_of


def rights_page() -> list[str]:
    return [
        "# Rights on Kafka",
        GENERATED,
        "",
        "The ACLs that each user needs at least, where the cluster uses ACLs. `P` is `topics.prefix`; the group is `P` "
        "and `worker.group`. A user with several roles needs the ACLs of all of them. Kafka grants Describe with "
        "Read and with Write. At its start a worker checks its ACLs and names all that are missing.",
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
