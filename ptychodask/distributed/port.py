"""Does anybody listen where a scheduler should be, and does it speak?"""

from __future__ import annotations

import socket

from distributed.comm import parse_address, parse_host_port

SECONDS = 2
"""For a port to open; where nobody listens, most machines say so at once."""


def knock(address: str, patience: float) -> None:
    """Try the port of a scheduler once.

    Dask tries it until its time is over, also where it is refused, and waits for ever for the first words of a server
    that takes the connection and says nothing, such as one of another kind.

    Parameters
    ----------
    address : str
        Of the scheduler; what is neither tcp nor tls is not tried.
    patience : float
        Seconds to wait for its first words, which with tcp come unasked.

    Raises
    ------
    ConnectionRefusedError
        Nobody listens.
    TimeoutError
        Nobody speaks. Whatever else goes wrong is left to Dask, which has more patience.
    ValueError
        The address has no port.
    """
    scheme, place = parse_address(address)
    if scheme not in ("tcp", "tls"):
        return
    try:
        opened = socket.create_connection(parse_host_port(place), timeout=SECONDS)
    except ConnectionRefusedError:
        raise
    except OSError:
        return
    with opened:
        if scheme == "tcp":
            opened.settimeout(patience)
            try:
                opened.recv(1)
            except ConnectionError:
                return
