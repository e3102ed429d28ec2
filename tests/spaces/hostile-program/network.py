"""Ways out: to this host, to other Spaces, to the world."""

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from outcome import outcome

SECONDS = 0.5


def connect(addresses):
    """What each address, as [host, port], says over TCP; or the error."""
    return _at_once(_heard, addresses)


def send(addresses):
    """What each address answers to a datagram; or the error."""
    return _at_once(_answered, addresses)


def resolve(names):
    """The address of each name; or the error."""
    with ThreadPoolExecutor() as threads:
        return dict(zip(names, threads.map(_address, names)))


def ask_resolvers(name, addresses):
    """How many addresses each name server, as [host, port], has for a name; or the error."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = bytes([0, 1, 1, 0, 0, 1, *bytes(6), *labels, 0, 0, 1, 0, 1])
    return _at_once(partial(_asked, question), addresses)


def open_sockets():
    """Sockets that see or forge what others send."""
    kinds = {
        "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0x300),
        "raw": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
        "raw_icmp": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    }
    return {name: outcome(lambda kind=kind: socket.socket(*kind).close()) for name, kind in kinds.items()}


def local_sockets(paths):
    """Connect to each Unix socket; names that begin with @ are abstract ones."""
    return {path: outcome(_connect_local, path) for path in paths}


def _at_once(attempt, addresses):
    with ThreadPoolExecutor(len(addresses)) as threads:
        came = threads.map(attempt, *zip(*addresses))
        return {f"{host}:{port}": what for (host, port), what in zip(addresses, came)}


def _heard(host, port):
    try:
        with socket.create_connection((host, port), SECONDS) as connection:
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__ if error.errno is None else outcome(_again, error)


def _answered(host, port):
    try:
        return _reply(host, port, b"stolen").decode()
    except OSError as error:
        return type(error).__name__ if error.errno is None else outcome(_again, error)


def _asked(question, host, port):
    try:
        return int.from_bytes(_reply(host, port, question)[6:8], "big")
    except OSError as error:
        return type(error).__name__ if error.errno is None else outcome(_again, error)


def _reply(host, port, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(SECONDS)
        sender.sendto(data, (host, port))
        return sender.recv(1000)


def _address(name):
    try:
        return socket.getaddrinfo(name, 80)[0][4][0]
    except OSError as error:
        return type(error).__name__


def _connect_local(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + path[1:] if path.startswith("@") else path)


def _again(error):
    raise error
