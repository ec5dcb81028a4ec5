"""Programs of a module of tests on ranks, one after another: to start ranks takes seconds."""

import importlib
import json

from admm.comm import launch


def main(module: str, *programs: str) -> None:
    """Run functions of a module, each with a communicator; an error in any ends all.

    Args:
        module: Its name.
        programs: Names of functions and numbers of ranks, like `ring:3`. What each returns on its
            ranks is printed as a line of JSON.
    """
    world = launch.world()
    for program in programs:
        name, ranks = program.split(":")
        takes_part = world.rank < int(ranks)
        comm = world.Split(int(takes_part), world.rank)
        if takes_part:
            values = comm.gather(getattr(importlib.import_module(module), name)(comm))
            if comm.rank == 0:
                print(json.dumps([program, values]), flush=True)
        world.Barrier()
