"""Ports for servers that are started a moment later."""

import socket

import pytest

from devstack import ports as module
from devstack.ports import free_ports


def test_each_is_given_once_and_can_be_bound() -> None:
    found = free_ports(20) + free_ports(20)
    assert len(set(found)) == 40
    for port in found:
        assert 20_000 <= port < 30_000
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = free_ports(1)
    with socket.create_server(("127.0.0.1", taken)):
        monkeypatch.setattr(module, "_given", set())
        monkeypatch.setattr(module, "_FIRST", taken)
        monkeypatch.setattr(module, "_COUNT", 1)
        monkeypatch.setattr(module, "_TRIES", 3)
        with pytest.raises(OSError, match="no free port"):
            free_ports(1)
    assert free_ports(1) == [taken]
