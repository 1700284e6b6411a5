"""Ranks that send each other messages: simulated ones, as threads that take turns, and real ones, as processes.

A program is a function whose first argument is a `Comm`. It does the same in both worlds.
"""

from coursekit.world.baton import Deadlock
from coursekit.world.comm import Comm, Message
from coursekit.world.network import Network
from coursekit.world.processes import NoProcesses, ProcessFailed, launch, on_processes
from coursekit.world.simulated import World

__all__ = ["Comm", "Deadlock", "Message", "Network", "NoProcesses", "ProcessFailed", "World", "launch", "on_processes"]
