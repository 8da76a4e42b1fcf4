"""Ways to a network, a socket of another process, or a name server."""

import struct

from .core import arena, attack, libc, syscall


def connect(family, kind, address, protocol=0):
    import socket

    with socket.socket(family, kind, protocol) as end:
        end.settimeout(2)
        end.connect(address)
        return True


@attack
def tcp():
    import socket

    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", arena.tcp_port))


@attack
def tcp6():
    import socket

    return connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", arena.tcp6_port))


@attack
def multipath_tcp():
    import socket

    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", arena.tcp_port), 262)


@attack
def udp():
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        return end.sendto(b"x", ("127.0.0.1", arena.udp_port))


@attack
def listening():
    import socket

    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        return True


@attack
def unix_socket():
    import socket

    return connect(socket.AF_UNIX, socket.SOCK_STREAM, arena.unix_path)


@attack
def abstract_socket():
    import socket

    return connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + arena.abstract_name)


@attack
def unix_datagram_from_a_pair():
    import socket

    left, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return left.sendto(b"x", arena.datagram_path)


@attack
def passing_descriptors():
    import socket

    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [0])
    return socket.recv_fds(right, 9, 1)[1]


@attack
def unix_socket_file():
    import socket

    with socket.socket(socket.AF_UNIX) as end:
        end.bind(arena.out + "/socket")
        return True


@attack
def netlink():
    import socket

    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))
    return True


@attack
def raw_packets():
    import socket

    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).fileno()


@attack
def raw_ip():
    import socket

    return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno()


@attack
def urllib_request():
    from urllib.request import urlopen

    return urlopen(f"http://127.0.0.1:{arena.http_port}/", timeout=5).read()


@attack
def pandas_from_a_url():
    import pandas

    return list(pandas.read_csv(f"http://127.0.0.1:{arena.http_port}/"))


@attack
def asyncio_connection():
    import asyncio

    return asyncio.run(asyncio.open_connection("127.0.0.1", arena.tcp_port))


@attack
def name_lookup():
    """A DNS question, as a resolver sends it, to a server that listens."""
    import socket

    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\6secret\7example\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.connect(("127.0.0.1", arena.udp_port))
        return end.send(question)


@attack
def raw_socket_call():
    return syscall(41, 198, 2, 1, 0)


@attack
def ctypes_socket():
    end = libc().socket(1, 1, 0)
    address = struct.pack("=H", 1) + arena.unix_path.encode() + b"\0"
    return libc().connect(end, address, len(address)) == 0


@attack
def raw_kernel_events():
    return syscall(41, 198, 16, 3, 15)  # a netlink socket for device events


@attack
def urgent_data_between_own_sockets():
    """No way out by itself, but kernels had flaws there that were one."""
    import socket

    left, right = socket.socketpair()
    left.send(b"x", socket.MSG_OOB)
    return right.recv(1, socket.MSG_OOB)


@attack
def virtual_machine_socket():
    import socket

    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).fileno()
