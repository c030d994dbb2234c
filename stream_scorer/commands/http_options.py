"""Options of the commands that serve HTTP beside the workers: the console and the gateway."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer


class HttpListener(NamedTuple):
    """Where a server listens, as its options say, and the file for the address that it got."""

    host: str | None
    port: int | None
    address_file: Path | None

    def write(self, host: str, port: int) -> None:
        """Write the address that is served to the file, if one was named."""
        from stream_scorer.runtime.worker.http_server import write_address

        if self.address_file is not None:
            write_address(self.address_file, host, port)


def http_listener(
    http_host: Annotated[
        str | None, typer.Option("--http-host", help="The address to listen on. Default: the settings.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option("--http-port", help="The port to listen on; 0 takes any free one.")
    ] = None,
    http_address_file: Annotated[
        Path | None,
        typer.Option(
            "--http-address-file", metavar="FILE", help="Write the address that is served, host:port, to this file."
        ),
    ] = None,
) -> HttpListener:
    """Option group: where the server listens."""
    return HttpListener(http_host, http_port, http_address_file)
